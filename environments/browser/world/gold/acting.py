"""Solutions in a real browser: each step as the action that a policy would take, by what the text of a page says.

Whoever drives them observes `text` and `html`, and carries the actions out:

    acting = Acting(steps)
    action = acting.begin(observation)
    while action["type"] not in ("answer", "infeasible"):
        action = acting.go_on(environment_step(action))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from environments.browser.guest.snapshot import parse
from environments.browser.world.gold.page import Page
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Open, Select, Step, Steps

TEXT_FIELDS = ("textbox", "searchbox", "spinbutton")
MAX_SHOWN = 2000

Action = dict[str, Any]


class Acting:
    """One solution on its way."""

    def __init__(self, steps: Steps, called: Mapping[str, str] | None = None) -> None:
        """`called`: what is shown on links, buttons and labels, and what the solution calls it."""
        self._steps = steps
        self._called = dict(called or {})
        self._shown = {name: shown for shown, name in self._called.items()}

    def begin(self, observation: Mapping[str, Any]) -> Action:
        """The first action. Raises: LookupError, where the page lacks what the solution looks for."""
        return self._action(next(self._steps), observation)

    def go_on(self, observation: Mapping[str, Any]) -> Action:
        """The next one. Raises: LookupError."""
        if "error" in observation:
            raise LookupError(observation["error"])
        page = Page(observation["url"], observation["html"], self._called)
        return self._action(self._steps.send(page), observation)

    def _action(self, step: Step, observation: Mapping[str, Any]) -> Action:
        if isinstance(step, Open):
            return {"type": "goto", "url": step.url}
        if isinstance(step, Answer):
            return {"type": "answer", "text": step.text}
        if isinstance(step, Infeasible):
            return {"type": "infeasible", "reason": step.reason}
        if isinstance(step, Fill):
            return {"type": "fill", "ref": self._ref(observation, step.label, *TEXT_FIELDS), "text": step.value}
        if isinstance(step, Select):
            return {"type": "select", "ref": self._ref(observation, step.label, "combobox"), "values": [step.value]}
        assert isinstance(step, Click)
        return {"type": "click", "ref": self._ref(observation, step.name, step.role)}

    def _ref(self, observation: Mapping[str, Any], name: str, *roles: str) -> str:
        """Of several links of one name, the first: they lead to the same."""
        wanted = " ".join(self._shown.get(name, name).split())
        text = observation["text"]
        found = [node.ref for node in parse(text) if node.ref and node.role in roles and _said(node.name) == wanted]
        if not found or (len(found) > 1 and "link" not in roles):
            raise LookupError(f"{len(found)} of {roles} {wanted!r}: {text[:MAX_SHOWN]}")
        return found[0]


def _said(name: str) -> str:
    return " ".join(str(json.loads(name)).split()) if name else ""
