"""The tasks of a domain that an agent can do alone: those with a ticket and with something to do.

A reward is made of what the task's `reward_basis` names, by default the state of the databases and what has to be
said. Nobody listens in solo mode: where something has to be said word by word, the task is none of ours, and neither is
one that only language would judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from environments.environment import JsonObject
from environments.protocols.schema import check_arguments
from environments.tasks import GraderSpec, Task, TaskSet
from environments.tools.worlds.tau2 import data
from environments.tools.worlds.tau2.tools import tools

DEFAULT_BASIS = ("DB", "COMMUNICATE")
SIDES = {"assistant": "agent", "user": "user"}
MAX_STEPS = 100

PROMPT = """\
You work for customer service and solve tickets alone, by calling tools. You cannot talk to the user, whose own device \
you have tools for, too. Follow the policy. When the ticket is solved, or cannot be, end with a short answer.

<policy>
{policy}
</policy>
<ticket>
{ticket}
</ticket>"""


class Solo(TaskSet):
    """One domain. Tasks that cannot be loaded are none; `broken` tells which, and why."""

    version = data.VERSION

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.name = f"tau2-{domain}-solo"

    def task_ids(self, split: str = "all") -> Sequence[str]:
        known = data.tasks(self.domain)
        members = known if split == "all" else data.splits(self.domain)[split]
        return [task_id for task_id in members if task_id not in self.broken()]

    def splits(self) -> Sequence[str]:
        return ("all", *(name for name in data.splits(self.domain) if name != "all"))

    def broken(self) -> Mapping[str, str]:
        """Why a task cannot be loaded, by its id."""
        return _broken(self.domain)

    def get(self, task_id: str) -> Task:
        record = data.tasks(self.domain)[task_id]
        initial = record["initial_state"] or {}
        spec = {
            "domain": self.domain,
            "data": initial.get("initialization_data"),
            "actions": initial.get("initialization_actions") or [],
        }
        world = {"program": "tau2", "spec": spec}
        return Task(
            task_id=task_id,
            prompt=PROMPT.format(policy=data.policy(self.domain), ticket=record["ticket"]),
            grader=GraderSpec("world", {"world": world, **expectations(record["evaluation_criteria"])}),
            public={"tools": ["world"]},
            hidden={"world": {**world, "tools": tools(self.domain)}},
            max_steps=MAX_STEPS,
        )


def expectations(criteria: Mapping[str, Any]) -> JsonObject:
    """What the grader is to hold an episode to."""
    basis = criteria.get("reward_basis") or DEFAULT_BASIS
    actions = criteria.get("actions") or []
    expected: JsonObject = {
        "turns": [[{"tool": action["name"], "arguments": action["arguments"]} for action in actions]],
        "checked": "end" if "DB" in basis else "never",
    }
    if "ENV_ASSERTION" in basis:
        expected["assertions"] = [_assertion(each) for each in criteria.get("env_assertions") or []]
    if "ACTION" in basis:
        expected["required_calls"] = [_required(action) for action in actions]
    return expected


def _assertion(described: Mapping[str, Any]) -> JsonObject:
    value = "true" if described.get("assert_value", True) else "false"
    name = f"{SIDES[described['env_type']]}.{described['func_name']}"
    return {"tool": name, "arguments": described["arguments"], "text": value}


def _required(action: Mapping[str, Any]) -> JsonObject:
    compared = action.get("compare_args")
    arguments = action["arguments"] if compared is None else {name: action["arguments"][name] for name in compared}
    return {"tool": action["name"], "arguments": arguments}


@cache
def _broken(domain: str) -> Mapping[str, str]:
    found = ((task_id, _problem(domain, record)) for task_id, record in data.tasks(domain).items())
    return {task_id: problem for task_id, problem in found if problem}


def _problem(domain: str, record: Mapping[str, Any]) -> str | None:
    criteria = record["evaluation_criteria"] or {}
    basis = criteria.get("reward_basis") or DEFAULT_BASIS
    if not record["ticket"]:
        return "it has no ticket"
    if not criteria.get("actions"):
        return "it has no reference: only language would judge it"
    if "NL_ASSERTION" in basis or ("COMMUNICATE" in basis and criteria.get("communicate_info")):
        return "something has to be said, and nobody listens in solo mode"
    schemas = {each["name"]: each["parameters"] for each in tools(domain)}
    for action in criteria["actions"]:
        schema = schemas.get(action["name"])
        if schema is None:
            return f"its reference calls {action['name']}, which is no tool"
        if wrong := check_arguments(action["arguments"], schema):
            return f"its reference calls {action['name']} wrongly: {wrong[0]}"
    return None
