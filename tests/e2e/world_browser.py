"""Runs solutions of the world's tasks in the real browser, through the SDK: pages read as HTML, acted on by refs."""

from __future__ import annotations

import json
import re
from typing import Any

from environments.browser.world.gold.careful import careful
from environments.browser.world.gold.page import Page
from environments.browser.world.gold.solutions import SOLUTIONS
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Open, Select, Step
from environments.browser.world.play import WorldPlay
from environments.browser.world.tasks import World
from envserver_sdk import Client
from envserver_sdk.models import Outcome, StepResult

OPTIONS = {"observe": ["text", "html"]}
FIELDS = ("textbox", "searchbox", "spinbutton")
MAX_STEPS = 400


def solve(client: Client, task_id: str, seed: int) -> StepResult:
    """The last step of an episode that is played as the task's solution says."""
    told = WorldPlay(World().get(task_id), seed).errand.told
    steps = SOLUTIONS[task_id.partition("/")[0]](told)
    if task_id.endswith("/rough"):  # obstacles are in the way
        steps = careful(steps, told)
    with client.create("browser", task_set="world", task=task_id, seed=seed, options=OPTIONS) as episode:
        seen = episode.observation
        step = next(steps)
        for _ in range(MAX_STEPS):
            result = episode.step(action_of(step, seen["text"]))
            if isinstance(step, Answer | Infeasible):
                return result
            seen = result.observation
            assert result.outcome is Outcome.OK, result
            assert "error" not in seen, (step, seen["error"])
            step = steps.send(Page(seen["url"], seen["html"]))
    raise AssertionError(f"{task_id} comes to no end")


def action_of(step: Step, text: str) -> dict[str, Any]:
    """As the environment takes it."""
    match step:
        case Open(url):
            return {"type": "goto", "url": url}
        case Click(role, name):
            return {"type": "click", "ref": ref_of(text, (role,), name)}
        case Fill(label, value):
            return {"type": "fill", "ref": ref_of(text, FIELDS, label), "text": value}
        case Select(label, value):
            return {"type": "select", "ref": ref_of(text, ("combobox",), label), "values": [value]}
        case Answer(answer):
            return {"type": "answer", "text": answer}
        case Infeasible(reason):
            return {"type": "infeasible", "reason": reason}
    raise TypeError(step)


def ref_of(text: str, roles: tuple[str, ...], name: str) -> str:
    """Of the first element of such a role and that name."""
    quoted = json.dumps(name, ensure_ascii=False).replace("'", "''?")
    found = re.search(rf"(?m)^ *- '?(?:{'|'.join(roles)}) {_literally(quoted)}.*?\[ref=(\w+)\]", text)
    assert found, f"no {' or '.join(roles)} {name!r} in:\n{text}"
    return found[1]


def _literally(quoted: str) -> str:
    """A quote may be doubled, where the whole key stands in quotes."""
    return re.escape(quoted.replace("''?", "\0")).replace("\0", "''?").replace("\\\0", "''?")
