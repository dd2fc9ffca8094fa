"""A grader that knows one letter."""

from __future__ import annotations

from environments.environment import Artifacts
from environments.tasks import Task
from envserver.grading.base import Grade, Grader, GradingError, SandboxFactory
from envserver.runtimes.base import SandboxSpec
from tests.unit.scripted import gates


class ScriptedGrader(Grader):
    """1.0 for the task's own letter. `errors` are raised by the next gradings; `gate` makes them wait."""

    kind = "scripted"

    def __init__(self) -> None:
        self.gradings = 0
        self.errors: list[Exception] = []
        self.gate: str | None = None

    async def grade(self, task: Task, artifacts: Artifacts, make_sandbox: SandboxFactory) -> Grade:
        self.gradings += 1
        # Two at once, as a worker grading holds them: what two of these could deadlock over.
        one = await make_sandbox(SandboxSpec(image="scripted"))
        two = await make_sandbox(SandboxSpec(image="scripted"))
        try:
            if self.gate is not None:
                await gates.GATES.pass_through(self.gate)
            if self.errors:
                raise self.errors.pop(0)
            right = artifacts.files.get("/workspace/answer") == task.grader.data["gold"].encode()
            return Grade(1.0 if right else 0.0, {"tests": 1.0 if right else 0.0}, {"checked": 1})
        finally:
            await one.destroy()
            await two.destroy()

    def get(self, kind: str) -> Grader:
        if kind != self.kind:
            raise GradingError(kind)
        return self
