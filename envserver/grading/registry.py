"""Graders by the name that a task's `GraderSpec.kind` gives."""

from __future__ import annotations

from collections.abc import Mapping

from envserver.grading.answer import AnswerGrader
from envserver.grading.base import Grader, GradingError
from envserver.grading.calls import CallsGrader
from envserver.grading.checks import ChecksGrader
from envserver.grading.returns import ReturnGrader
from envserver.grading.worker import WorkerGrader
from envserver.grading.world import WorldGrader

GRADERS: Mapping[str, Grader] = {
    grader.kind: grader
    for grader in (WorkerGrader(), AnswerGrader(), WorldGrader(), CallsGrader(), ReturnGrader(), ChecksGrader())
}


def get_grader(kind: str) -> Grader:
    """Raises: GradingError for an unknown kind."""
    if kind not in GRADERS:
        raise GradingError(f"no grader is called {kind!r}; known: {', '.join(sorted(GRADERS))}")
    return GRADERS[kind]
