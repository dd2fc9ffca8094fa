"""Policies without tools, which know the other tasks' answers: what they earn is what guessing earns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from environments.tasks import Task

Guess = Callable[[Task, Sequence[Task]], str]
"""The task, and others of its template whose answers are known."""


def told(answer: Mapping[str, Any]) -> str:
    """A right answer as one says it."""
    if answer["kind"] == "number":
        return f"{answer['value']}"
    return ", ".join(answer["accepted"][:1] if answer["kind"] == "text" else answer["values"])


def middle(task: Task, others: Sequence[Task]) -> str:
    """The median of numbers; of all else what is right most often."""
    answers = [other.grader.data["answer"] for other in others]
    if task.grader.data["answer"]["kind"] == "number":
        return f"{median(answer['value'] for answer in answers)}"
    return Counter(map(told, answers)).most_common(1)[0][0]


def usual(task: Task, others: Sequence[Task]) -> str:
    return Counter(told(other.grader.data["answer"]) for other in others).most_common(1)[0][0]


def any_other(task: Task, others: Sequence[Task]) -> str:
    return told(others[0].grader.data["answer"])


def constant(answer: str) -> Guess:
    return lambda task, others: answer


def as_listed(task: Task, others: Sequence[Task]) -> str:
    """What the question lists, in its order, and as much of it as is wanted."""
    answer = task.grader.data["answer"]
    names = task.prompt.partition(": ")[2].partition("?" if "?" in task.prompt.partition(": ")[2] else ".")[0]
    listed = names.partition(". ")[0].replace("; ", ", ").split(", ")
    return ", ".join(listed[: len(answer.get("values", "1"))])


GUESSES: Mapping[str, Guess] = {
    "middle": middle,
    "usual": usual,
    "any other": any_other,
    "as listed": as_listed,
    "zero": constant("0"),
    "one": constant("1"),
    "hundred": constant("100"),
    "nothing": constant("I do not know."),
}
