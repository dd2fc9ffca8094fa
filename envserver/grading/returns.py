"""The grade of an episode whose environment pays its own rewards: the return, measured between two that are agreed on.

Every step has carried its reward already, so a trainer that sums them needs no grade. The grade says how good the
whole was on a scale that is the same for all tasks: 0 at the return that doing nothing earns, 1 at the one that counts
as solved, cut off beyond. Where the environment began its own episode again within ours, the mean of those that have
ended counts. It is computed from what the environment itself took down; no sandbox is made, no file looked at.
"""

from __future__ import annotations

from environments.environment import Artifacts
from environments.tasks import Task
from envserver.grading.base import Grade, Grader, GradingError, SandboxFactory


class ReturnGrader(Grader):
    """Reads the facts `tally` (steps, episodes, ended_return, standing_return) and `score` ([low, high])."""

    kind = "return"

    async def grade(self, task: Task, artifacts: Artifacts, make_sandbox: SandboxFactory) -> Grade:
        tally, bounds = artifacts.facts.get("tally"), artifacts.facts.get("score")
        if not tally:
            raise GradingError("the environment is gone, and with it what it had taken down")
        if not bounds:
            raise GradingError("nobody has said what returns are worth: begin the episode with the option `score`")
        ended = int(tally["episodes"])
        earned = tally["ended_return"] / ended if ended else tally["standing_return"]
        low, high = bounds
        share = min(1.0, max(0.0, (earned - low) / (high - low)))
        components = {"return": earned, "episodes": float(ended), "steps": float(tally["steps"])}
        return Grade(share, components, {"low": low, "high": high})
