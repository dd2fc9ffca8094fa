"""The multi-turn categories: a user says what is wanted turn by turn, and simulated APIs keep the state.

An entry's reference is a list of calls for each turn. A turn whose list is empty is one where nothing could be done
yet: a tool (`miss_func`) or an argument (`miss_param`) is missing, and comes with the next turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from environments.environment import JsonObject
from environments.protocols.schema import check_arguments
from environments.tasks import GraderSpec, Task, TaskSet
from environments.tools.worlds import splits
from environments.tools.worlds.bfcl import data
from environments.tools.worlds.bfcl.calls import CallTextError, parse_call

CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
MORE_TOOLS = "There are more tools now. Please try again with them."
"""Said in the turns that the data leave empty, where a withheld tool appears."""
STEPS_A_TURN = 20
"""As many as the benchmark grants."""


class MultiTurn(TaskSet):
    """One category. Entries that cannot be loaded are no tasks; `broken` tells which, and why."""

    version = data.VERSION

    def __init__(self, category: str) -> None:
        self.category = category
        self.name = f"bfcl-multi-turn-{category.replace('_', '-')}"

    def task_ids(self, split: str = "all") -> Sequence[str]:
        broken = self.broken()
        return [task_id for task_id in splits.members(data.entries(self._file), split) if task_id not in broken]

    def splits(self) -> Sequence[str]:
        return splits.SPLITS

    def broken(self) -> Mapping[str, str]:
        """Why an entry cannot be loaded, by its id."""
        return _broken(self.category)

    @property
    def _file(self) -> str:
        return f"multi_turn_{self.category}"

    def get(self, task_id: str) -> Task:
        entry = data.entries(self._file)[task_id]
        turns = reference(entry, data.answers(self._file)[task_id])
        world = {
            "program": "bfcl",
            "spec": {
                "classes": entry["involved_classes"],
                "config": entry["initial_config"],
                "long_context": self.category == "long_context",
            },
        }
        said = utterances(entry)
        return Task(
            task_id=task_id,
            prompt=said[0],
            grader=GraderSpec("world", {"world": world, "turns": turns, "checked": "turns", "results": True}),
            public={"tools": ["world"]},
            hidden={
                "world": {**world, "tools": tools(entry), "since": since(entry)},
                "user": {"turns": [{"text": text} for text in said[1:]]},
            },
            max_steps=(STEPS_A_TURN + 1) * len(said),
        )


def tools(entry: Mapping[str, Any]) -> list[JsonObject]:
    """Every tool of the classes; where two classes have one of the same name, the later class's."""
    return list({each["name"]: each for name in entry["involved_classes"] for each in data.class_tools(name)}.values())


def since(entry: Mapping[str, Any]) -> dict[str, int]:
    """From which turn on, counted from 1, there are the tools that are withheld at first."""
    withheld = entry.get("missed_function", {})
    return {name: int(turn) + 1 for turn, names in withheld.items() for name in names}


def utterances(entry: Mapping[str, Any]) -> list[str]:
    """What the user says, turn by turn."""
    return ["\n".join(message["content"] for message in turn) or MORE_TOOLS for turn in entry["question"]]


def reference(entry: Mapping[str, Any], turns: Sequence[Sequence[str]]) -> list[list[JsonObject]]:
    """The calls of each turn. Raises: CallTextError for one that a policy could not make."""
    described = {each["name"]: each["parameters"] for each in tools(entry)}
    parameters = {name: list(schema["properties"]) for name, schema in described.items()}
    parsed = [[parse_call(text, parameters) for text in turn] for turn in turns]
    for number, calls in enumerate(parsed, 1):
        for call in calls:
            if since(entry).get(call["tool"], 1) > number:
                raise CallTextError(f"turn {number} calls {call['tool']}, which is withheld until later")
            if found := check_arguments(call["arguments"], described[call["tool"]]):
                raise CallTextError(f"{call['tool']}: {found[0]}")
    return parsed


@cache
def _broken(category: str) -> Mapping[str, str]:
    found = {}
    for task_id, entry in data.entries(f"multi_turn_{category}").items():
        try:
            reference(entry, data.answers(f"multi_turn_{category}")[task_id])
        except (CallTextError, KeyError) as error:
            found[task_id] = str(error)
    return found
