"""A template: one kind of question, asked of many things. Its tasks are derived, question and answer, when asked for.

A template draws all chance from its own name and the task's key, so a task is the same for ever, whatever is added
beside it. What would have two right answers, or one that is hard to tell from a wrong one, is drawn again.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

from environments.environment import JsonObject
from environments.tasks import GraderSpec, Task

T = TypeVar("T")
RELATIVE_TOLERANCE = 0.005
"""Of numbers that are computed from rounded ones."""
MARGIN = 1.1
"""Two numbers that are compared differ by this factor at least: no other rounding turns them around."""
MAX_DRAWS = 10_000


@dataclass(frozen=True)
class Question:
    """What is asked, and what the grader holds an answer to."""

    prompt: str
    answer: Mapping[str, Any]
    """A rule of envserver/grading/matching.py."""
    kits: tuple[str, ...]
    tools: tuple[str | tuple[str, ...], ...]
    """Those that a good solution uses, or groups of which it uses one."""
    par_calls: int
    evidence: tuple[tuple[str, ...], ...] = ()
    """Groups of ids of documents: one of each has to be seen."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    public: Mapping[str, Any] = field(default_factory=dict)


ALIKE: Mapping[str, tuple[str, ...]] = {
    "open_page": ("open_page", "retrieve"),
    "calculator": ("calculator", "python", "bash"),
}
"""Tools that do the same for a question: which of them an episode has is its caller's to say."""


def _alike(tool: str | tuple[str, ...]) -> tuple[str, ...]:
    names = (tool,) if isinstance(tool, str) else tool
    return tuple(dict.fromkeys(other for name in names for other in ALIKE.get(name, (name,))))


@dataclass(frozen=True)
class Template:
    """`keys` costs little, also for questions that take long to make."""

    name: str
    keys: Callable[[], Sequence[str]]
    ask: Callable[[str], Question]

    def task(self, key: str) -> Task:
        question = self.ask(key)
        data: JsonObject = {
            "answer": dict(question.answer),
            "evidence": [list(group) for group in question.evidence],
            "tools": [list(_alike(tool)) for tool in question.tools],
            "par_calls": question.par_calls,
        }
        return Task(
            f"{self.name}/{key}",
            question.prompt,
            GraderSpec("answer", data),
            public={"tools": list(question.kits), "template": self.name, **question.public},
            files=question.files,
        )


# Answers


def number(value: float, relative_tolerance: float = RELATIVE_TOLERANCE) -> JsonObject:
    """Asked for to four significant digits."""
    return {"kind": "number", "value": value, "relative_tolerance": relative_tolerance}


def whole(value: int) -> JsonObject:
    """One that is counted, or is added up exactly."""
    return {"kind": "number", "value": value, "absolute_tolerance": 0}


def near(value: float, absolute_tolerance: float) -> JsonObject:
    """One that is read off a picture, or rounded to so many places."""
    return {"kind": "number", "value": value, "absolute_tolerance": absolute_tolerance}


def text(*accepted: str) -> JsonObject:
    return {"kind": "text", "accepted": list(accepted)}


def in_order(values: Iterable[str]) -> JsonObject:
    return {"kind": "list", "values": list(values)}


def in_any_order(values: Iterable[str]) -> JsonObject:
    return {"kind": "set", "values": list(values)}


# How a prompt says what an answer looks like

_CITE = "Cite the observations that it rests on, as observation[2]."
NUMBER = f"Give at least four significant digits; the last number in your answer counts. {_CITE}"
CENTS = f"Give euros and cents; the last number in your answer counts. {_CITE}"
PLACES = f"Give at least two decimals; the last number in your answer counts. {_CITE}"
WHOLE = f"The last number in your answer counts. {_CITE}"
NAME = f"The last line of your answer is that name. {_CITE}"
NAMES = f"The last line of your answer is those names, separated by commas, and nothing else but citations. {_CITE}"


# Chance


def numbered(count: int) -> Callable[[], Sequence[str]]:
    """Keys of a template whose questions are drawn: 01, 02, ..."""
    return lambda: [f"{each:02}" for each in range(1, count + 1)]


def chosen(name: str, candidates: Iterable[str], count: int) -> list[str]:
    """So many of them, by a hash: which ones hardly depends on what else there is."""
    ranked = sorted(candidates, key=lambda each: hashlib.sha256(f"{name} {each}".encode()).digest())
    return sorted(ranked[:count])


def chance(template: str, key: str) -> random.Random:
    """The same for the same task in every process."""
    return random.Random(f"{template}/{key}")


def draw(rng: random.Random, make: Callable[[random.Random], T | None]) -> T:
    """The first that is something. Raises: ValueError if there is none."""
    for _ in range(MAX_DRAWS):
        if (made := make(rng)) is not None:
            return made
    raise ValueError(f"nothing fit in {MAX_DRAWS} draws")


def apart(values: Iterable[float], margin: float = MARGIN) -> bool:
    """Whether no two of these positive numbers are close."""
    ordered = sorted(values)
    return all(more >= less * margin for less, more in pairwise(ordered))
