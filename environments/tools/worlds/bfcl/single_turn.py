"""The single-turn categories: one request, some tools, and the calls that would be right. Nothing runs.

In the `irrelevance` categories no call is right, in `relevance` any call is. The parameters of Java and JavaScript
functions are given as text in that language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from environments.environment import JsonObject
from environments.tasks import GraderSpec, Task, TaskSet
from environments.tools.worlds import splits
from environments.tools.worlds.bfcl import data
from environments.tools.worlds.bfcl.answers import LEFT_OUT

LANGUAGES: Mapping[str, str] = {"python": "Python", "java": "Java", "javascript": "JavaScript"}
MAX_STEPS = 30


@dataclass(frozen=True)
class Category:
    """One file of the data."""

    file: str
    wanted: str = "answers"
    """`answers` are compared with, `none` (no call is right) or `some` (any is)."""
    language: str = "python"


CATEGORIES = (
    Category("simple_python"),
    Category("simple_java", language="java"),
    Category("simple_javascript", language="javascript"),
    Category("multiple"),
    Category("parallel"),
    Category("parallel_multiple"),
    Category("irrelevance", wanted="none"),
    Category("live_simple"),
    Category("live_multiple"),
    Category("live_parallel"),
    Category("live_parallel_multiple"),
    Category("live_irrelevance", wanted="none"),
    Category("live_relevance", wanted="some"),
)


class SingleTurn(TaskSet):
    """One category. Entries that cannot be loaded are no tasks; `broken` tells which, and why."""

    version = data.VERSION

    def __init__(self, category: Category) -> None:
        self.category = category
        self.name = f"bfcl-{category.file.replace('_', '-')}"

    def task_ids(self, split: str = "all") -> Sequence[str]:
        broken = self.broken()
        return [task_id for task_id in splits.members(data.entries(self.category.file), split) if task_id not in broken]

    def splits(self) -> Sequence[str]:
        return splits.SPLITS

    def broken(self) -> Mapping[str, str]:
        """Why an entry cannot be loaded, by its id."""
        return _broken(self.category)

    def get(self, task_id: str) -> Task:
        entry = data.entries(self.category.file)[task_id]
        functions = distinct(entry["function"])
        return Task(
            task_id=task_id,
            prompt="\n\n".join(message["content"] for turn in entry["question"] for message in turn),
            grader=GraderSpec(
                "calls",
                {
                    "wanted": self.category.wanted,
                    "language": self.category.language,
                    "functions": {name: each["parameters"] for name, each in functions.items()},
                    "answers": answers(self.category, task_id),
                },
            ),
            public={"tools": ["recorded"]},
            hidden={"recorded": [shown(each, self.category.language) for each in functions.values()]},
            max_steps=MAX_STEPS,
        )


def distinct(functions: Sequence[JsonObject]) -> dict[str, JsonObject]:
    """By name; of two with one name the first, which is the one that the benchmark compares with."""
    found: dict[str, JsonObject] = {}
    for function in functions:
        found.setdefault(function["name"], function)
    return found


def answers(category: Category, task_id: str) -> list[Mapping[str, Any]]:
    """The calls that are right."""
    return data.answers(category.file)[task_id] if category.wanted == "answers" else []


def shown(function: JsonObject, language: str) -> JsonObject:
    """A function as a tool."""
    if language == "python":
        return data.tool(function)
    parameters = {name: _text(each, language) for name, each in function["parameters"]["properties"].items()}
    schema = {"type": "object", "properties": parameters, "required": function["parameters"].get("required", [])}
    return {"name": function["name"], "description": function["description"], "parameters": schema}


def _text(described: Mapping[str, Any], language: str) -> JsonObject:
    note = f"(as {LANGUAGES[language]} text, of type {described['type']})"
    return {"type": "string", "description": f"{described.get('description', '')} {note}".strip()}


@cache
def _broken(category: Category) -> Mapping[str, str]:
    found = {}
    for task_id, entry in data.entries(category.file).items():
        functions = distinct(entry["function"])
        for answer in answers(category, task_id):
            (name,) = answer
            if problem := _problem(functions.get(name), name, answer[name]):
                found[task_id] = problem
    return found


def _problem(function: JsonObject | None, name: str, values: Mapping[str, Any]) -> str | None:
    if function is None:
        return f"the answer calls {name}, which is no tool of the entry"
    schema = function["parameters"]
    unknown = [each for each, right in values.items() if each not in schema["properties"] and LEFT_OUT not in right]
    if unknown:
        return f"the answer asks for {unknown[0]}, which is no parameter of {name}"
    if impossible := [each for each, right in values.items() if not right]:
        return f"no value is right for {impossible[0]}"
    if missing := [each for each in schema.get("required", ()) if each not in values]:
        return f"the answer has no value for {missing[0]}, which {name} requires"
    return None
