"""A browser beside other tools: each of its actions is a tool, and its sites are objects in the server.

It is begun by the first call that needs it. The policy's own programs may run in the same sandbox and break it; then
the next call begins it again, at its first page. What its sites hold is the server's, so a verdict can be made of it;
a page whose own script is the judge is not opened here.
"""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from functools import partial
from typing import ClassVar

from environments.browser.actions import KINDS, ActionError, action_schema
from environments.browser.browsing import LIMITS, Browsing, check_hosts
from environments.browser.options import Options, parse_options
from environments.browser.plays import OpenPlay, check_obstacles, make_play
from environments.environment import JsonObject, Needs, Transition, tools_of
from environments.programs import JunkError
from environments.showing import PAGES, as_text
from environments.tasks import Task
from environments.tools.kit import Kit
from environments.tools.tool import ArgumentsError, Tool, ToolContext, ToolResult
from envserver.runtimes.base import Sandbox, SandboxError, SandboxGoneError
from envserver_sdk.models import CheckpointKind, Outcome, ToolInfo

PREFIX = "browser_"
ENDINGS = ("answer", "infeasible")
"""Actions that are the tools environment's own."""
INFEASIBLE = "infeasible"
HOW_TO_END = f"There is no action {INFEASIBLE} here: to say so, give an answer that begins with the word {INFEASIBLE}."
FAILURES = (Outcome.INFRA_ERROR, Outcome.EPISODE_LOST)
NOT_BEGUN = "the browser could not be begun"
AGAIN = "the browser had ended and was begun again: this is its first page, and what you asked for was not done"
BIG = (*PAGES, "images")


class BrowserKit(Kit):
    """One Chromium, begun by the first call."""

    name: ClassVar[str] = "browser"
    needs: ClassVar[Needs | None] = Needs("tools", LIMITS, frozenset({CheckpointKind.REPLAY}))
    takes_options: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._tools = self._offered(tuple(KINDS))

    def _offered(self, kinds: tuple[str, ...]) -> dict[str, Tool]:
        return {
            each["name"]: Tool(each["name"], each["description"], each["parameters"], partial(self._call, each["name"]))
            for each in _schemas(kinds)
        }

    @classmethod
    def infos(cls) -> list[ToolInfo]:
        return [ToolInfo(**each) for each in _schemas(tuple(KINDS))]

    def check(self, task: Task, options: JsonObject) -> None:
        chosen = _parse(options)
        check_hosts(chosen)
        if "play" in task.hidden:
            check_obstacles(task, chosen.obstacles)

    def set_up(self, task: Task, seed: int, options: JsonObject) -> None:
        chosen = _parse(options)
        play = make_play(task, seed, chosen.obstacles) if "play" in task.hidden else OpenPlay()
        if play.page_side:
            raise ValueError(f"the page of {task.task_id!r} is its own judge: the browser environment plays it")
        self._browsing = Browsing(play, chosen)
        self._judges = "play" in task.hidden
        self._sandbox: Sandbox
        self._begun = self._lost = False
        self._tools = self._offered(chosen.actions or tuple(KINDS))

    @property
    def prompt(self) -> str | None:
        return f"{self._browsing.play.prompt} {HOW_TO_END}" if self._judges else None

    async def begin(self, sandbox: Sandbox, task: Task, seed: int) -> None:
        self._sandbox = sandbox

    async def _call(self, name: str, context: ToolContext, arguments: JsonObject) -> ToolResult:
        if "type" in arguments:
            raise ArgumentsError(f"{name} has no argument 'type'")
        try:
            request = self._browsing.parse({**arguments, "type": name.removeprefix(PREFIX)})
        except ActionError as error:
            raise ArgumentsError(str(error)) from None
        ends_at = time.monotonic() + context.step.timeout_s
        if not self._begun:
            try:
                first, info = await self._browsing.begin(self._sandbox, context=context.step)
            except (SandboxError, JunkError) as error:
                if not self.beside_code or isinstance(error, SandboxGoneError):
                    raise
                return await self._end(Transition({"error": f"{NOT_BEGUN}: {error}"}, outcome=Outcome.INFRA_ERROR))
            again, self._begun, self._lost = self._lost, True, False
            if again:
                return _shown(Transition({**first, "error": AGAIN}, info=info))
        left_s = max(0.01, ends_at - time.monotonic())
        transition = await self._browsing.act(request, replace(context.step, timeout_s=left_s))
        if transition.truncated or transition.outcome in FAILURES:
            return await self._end(transition)
        return _shown(transition)

    async def _end(self, transition: Transition) -> ToolResult:
        """The browser is gone, or of no use any more: the next call begins it again."""
        await self._browsing.close()
        self._begun, self._lost = False, True
        if self.beside_code and transition.outcome in FAILURES:
            # The policy's own programs run beside it: else whoever breaks it had a failure of ours to show for it.
            transition = replace(transition, outcome=Outcome.POLICY_KILLED)
        return _shown(transition)

    def verdict(self, answer: str | None) -> JsonObject:
        if not self._judges:
            return {}
        gave_up = answer is not None and answer.strip().lower().startswith(INFEASIBLE)
        return self._browsing.verdict(answer, infeasible=gave_up)

    def snapshot(self) -> JsonObject:
        return {"begun": self._begun, "lost": self._lost, **self._browsing.snapshot()}

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._sandbox = sandbox
        self._begun, self._lost = state["begun"], state["lost"]
        self._browsing.restore(sandbox, state)


def _parse(options: JsonObject) -> Options:
    """Raises: ValueError."""
    if not isinstance(options, dict):
        raise ValueError(f"'browser' is {options!r}, must be an object")  # noqa: TRY004  # the caller's mistake
    chosen = parse_options(options, tuple(KINDS))
    if chosen.computer is not None:
        raise ValueError("'computer' must be left out: a browser among other tools has a tool for each action")
    return chosen


def _schemas(kinds: tuple[str, ...]) -> list[JsonObject]:
    tools = tools_of(action_schema([name for name in kinds if name not in ENDINGS]))
    return [{**each, "name": PREFIX + each["name"]} for each in tools]


def _shown(transition: Transition) -> ToolResult:
    seen = transition.observation
    return ToolResult(
        as_text(seen),
        tuple(base64.b64decode(each["data"]) for each in seen.get("images", ())),
        outcome=transition.outcome,
        error="error" in seen,
        members={"browser": {name: value for name, value in seen.items() if name not in BIG}},
        info=transition.info,
    )
