"""The `calls` grader: what a policy called, compared with the calls that are right. Nothing is run."""

from __future__ import annotations

from typing import Any

from environments.environment import Artifacts
from environments.tasks import Task
from environments.tools.worlds.bfcl.answers import wrong
from environments.tools.worlds.record import Call, WorldRecord
from envserver.grading.base import Grade, Grader, GradingError, SandboxFactory

KIT = "recorded"


class CallsGrader(Grader):
    """Pays 1.0 for the right calls, or for none where none is right, else 0.0."""

    kind = "calls"

    async def grade(self, task: Task, artifacts: Artifacts, make_sandbox: SandboxFactory) -> Grade:
        facts = artifacts.facts.get("kits", {}).get(KIT)
        if facts is None:
            if not artifacts.problems:
                raise GradingError(f"the episode of task {task.task_id} has no tools that record calls")
            return Grade(0.0, {"calls": 0.0}, {"problems": list(artifacts.problems)})
        calls = [call for turn in WorldRecord.of(facts).turns for call in turn.calls]
        return judge_calls(task.grader.data, calls)


def judge_calls(data: Any, calls: list[Call]) -> Grade:
    """The grade of these calls, given the task's grader data."""
    if data["wanted"] == "none":
        problem = f"{len(calls)} calls were made, and none is right" if calls else ""
    elif data["wanted"] == "some":
        problem = "" if calls else "no call was made"
    else:
        problem = wrong(calls, data["answers"], data["functions"], data["language"])
    reward = 0.0 if problem else 1.0
    return Grade(reward, {"calls": reward}, {"problems": [problem] if problem else [], "calls": len(calls)})
