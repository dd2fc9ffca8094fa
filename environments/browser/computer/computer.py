"""The computer of one episode: an action of its provider's is one step, of as many of the browser's own as it takes.

    {"type": "computer", "action": "left_click", "coordinate": [5, 6]}                         Anthropic's
    {"type": "computer", "actions": [{"type": "click", "x": 5, "y": 6}, {"type": "wait"}]}     OpenAI's

They are carried out in their order; the first that does not work is the last. What an action means depends on where the
pointer is and on whether a page's question is open: both are what the last observation said, and part of the snapshot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from environments.browser.actions import ActionError, Viewport, parse_action
from environments.browser.computer.combining import combined, failed
from environments.browser.computer.providers import PROVIDERS
from environments.browser.computer.screen import Screen
from environments.environment import JsonObject, Transition

KIND = "computer"
BESIDE = ("goto", "dialog", "answer", "infeasible")
"""The other kinds of action, unless an episode chooses its own: what is no part of the picture, and the end."""
ENVELOPE = frozenset({"id", "call_id", "status", "pending_safety_checks"})
"""Members of OpenAI's `computer_call` that say nothing of what to do."""
MAX_ACTIONS = 200
"""Of the browser's, in one step."""
LEAST_S = 0.1
"""What the last action of a step has, whose time is over: it comes late, and is the last."""
SCREENSHOT: JsonObject = {"type": "read_page", "what": "screenshot"}
LOOK: JsonObject = {"type": "wait", "time_s": 0}
ASKED = "a dialog is open, and its page waits for an answer: press Enter for OK, or Escape for Cancel"

Act = Callable[[JsonObject, float], Awaitable[Transition]]
"""Carries out a request to the driver within so many seconds."""


class Computer:
    """Belongs to one generation of an episode."""

    def __init__(self, provider: str, viewport: Viewport, size: tuple[int, int], *, pictured: bool) -> None:
        """`size` is that of the pictures; `pictured`: every observation has one."""
        self._provider = PROVIDERS[provider]
        self._size = size
        self._pictured = pictured
        self._screen = Screen.of(viewport, {}, size)

    @property
    def tool(self) -> JsonObject:
        """Name, description and parameters."""
        return self._provider.tool_schema(self._screen)

    @property
    def declaration(self) -> JsonObject:
        """The provider's own, for a request's `tools`."""
        return self._provider.tool(self._screen)

    def hint(self, action: Any) -> str:
        """What to add where an action is none, and looks like the provider's own."""
        written = self._provider.mistaken(action)
        return f"; write {written}" if written else ""

    def parse(self, action: JsonObject) -> JsonObject:
        """What `carry_out` takes. Raises: ActionError."""
        members = {name: value for name, value in action.items() if name != "type" and name not in ENVELOPE}
        parts = self._provider.parts(members)
        count = sum(self._check(part, number, len(parts)) for number, part in enumerate(parts, 1))
        if count > MAX_ACTIONS:
            raise ActionError(f"this comes to {count} actions one after the other, at most {MAX_ACTIONS} are allowed")
        return {"type": KIND, "parts": parts}

    async def carry_out(self, request: JsonObject, timeout_s: float, act: Act) -> Transition:
        """Everything within the step's time. Raises: SandboxGoneError."""
        ends_at, parts, done = monotonic() + timeout_s, request["parts"], []
        for number, part in enumerate(parts, 1):
            for each in self._requests(part):  # only now: what came before may have opened a dialog
                asked = self._screen.dialog and each["type"] != "dialog"
                transition = await act(each, max(LEAST_S, ends_at - monotonic()))
                done.append(_explained(transition, number, len(parts), asked=asked))
                if failed(transition):
                    return combined(done)
        return combined(done)

    def _check(self, part: JsonObject, number: int, count: int) -> int:
        """How many of the browser's actions it comes to. Raises: ActionError, which says where in the list."""
        try:
            return len(self._requests(part))
        except ActionError as error:
            raise ActionError(f"action {number} of {count}: {error}" if count > 1 else str(error)) from None

    def _requests(self, part: JsonObject) -> list[JsonObject]:
        """Raises: ActionError."""
        actions = self._provider.read(part, self._screen)
        return [self._finished(parse_action(each, self._screen.viewport)) for each in actions]

    def _finished(self, request: JsonObject) -> JsonObject:
        if request == SCREENSHOT and self._pictured:
            return LOOK
        if request["type"] == "zoom":
            return {**request, "scale": self._screen.magnification(request["width"], request["height"])}
        return request

    def see(self, observation: JsonObject) -> JsonObject:
        """What the browser has just shown, in the pixels that a model counts in."""
        self._screen = Screen.of(self._screen.viewport, observation, self._size)
        if "cursor" not in observation:
            return observation
        return {**observation, "cursor": dict(zip("xy", self._screen.cursor_of_model, strict=True))}

    def snapshot(self) -> JsonObject:
        return {"cursor": list(self._screen.cursor), "dialog": self._screen.dialog}

    def restore(self, state: JsonObject) -> None:
        x, y = state["cursor"]
        self._screen = replace(self._screen, cursor=(x, y), dialog=state["dialog"])


def _explained(transition: Transition, number: int, count: int, *, asked: bool) -> Transition:
    """Errors as whoever has only a computer can use them."""
    error = transition.observation.get("error")
    if error is None:
        return transition
    error = ASKED if asked and "dialog" in transition.observation else error
    if count > 1:
        rest = "; those after it were not carried out" if number < count else ""
        error = f"action {number} of {count}: {error}{rest}"
    return replace(transition, observation={**transition.observation, "error": error})
