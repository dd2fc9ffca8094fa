"""The grade of an episode whose world is held by the server: which of the task's conditions it fulfils in the end.

All that are required, and nothing that is forbidden: 1. Something forbidden: 0. Else partial credit, the share by
weight of the conditions and milestones that were reached, at most `MAX_PARTIAL`: a task is never almost solved. The
conditions were judged by the environment, of what the server holds; no sandbox is made, no file looked at.
"""

from __future__ import annotations

from environments.environment import Artifacts
from environments.tasks import Task
from envserver.grading.base import Grade, Grader, GradingError, SandboxFactory

MAX_PARTIAL = 0.5


class ChecksGrader(Grader):
    """Reads `checks`, a list of {name, passed, weight, required, forbidden}, and `reward` where one is fixed."""

    kind = "checks"

    async def grade(self, task: Task, artifacts: Artifacts, make_sandbox: SandboxFactory) -> Grade:
        checks = artifacts.facts.get("checks")
        if checks is None:
            raise GradingError("nobody has judged the episode")
        components = {check["name"]: float(check["passed"]) for check in checks}
        report = {"not_passed": [check["name"] for check in checks if not check["passed"]]}
        fixed = artifacts.facts.get("reward")
        return Grade(_share(checks) if fixed is None else float(fixed), components, report)


def _share(checks: list[dict[str, object]]) -> float:
    if not all(check["passed"] for check in checks if check["forbidden"]):
        return 0.0
    counted = [check for check in checks if not check["forbidden"]]
    required = [check for check in counted if check["required"]]
    if not required:
        raise GradingError("the task has nothing to be fulfilled")
    if all(check["passed"] for check in required):
        return 1.0
    reached = sum(float(str(check["weight"])) for check in counted if check["passed"])
    return MAX_PARTIAL * reached / sum(float(str(check["weight"])) for check in counted)
