"""A recorded episode, played once more: the same task, seed, options and limits, the same actions, on a running server.

What is compared of each step is what a policy saw and was paid: observation, outcome, reward, and whether it was over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envserver.episodes.divergence import Difference, first_difference
from envserver_sdk.errors import EpisodeEnded, EpisodeLost

if TYPE_CHECKING:
    from envserver_sdk import Client, Episode
    from envserver_sdk.models import StepResult, Trajectory, TrajectoryStep

GRADE = "grade"


@dataclass(frozen=True)
class Divergence:
    """The first place where the replay differs from the record."""

    step: int | str
    """Its index: 0 for the beginning, `grade` for the grade behind the last step."""
    difference: Difference


@dataclass
class Rerun:
    """What came of it."""

    replay_id: str
    """The episode that was played; it is closed."""
    steps: int
    """In the record."""
    taken: int = 0
    """Fewer, where the replay was over before the record."""
    agreed: int = 0
    """Steps in which nothing differed."""
    divergence: Divergence | None = None

    def compare(self, step: int | str, recorded: Any, replayed: Any) -> bool:
        """Whether they agree."""
        difference = first_difference(recorded, replayed)
        if difference is not None and self.divergence is None:
            self.divergence = Divergence(step, difference)
        return difference is None


def rerun(client: Client, trajectory: Trajectory, told: Callable[[], None] = lambda: None) -> Rerun:
    """Play a complete trajectory once more; `told` is called after each step. Raises: Problem, ConnectionFailed."""
    episode = client.create(
        trajectory.environment,
        task_set=trajectory.task_set,
        task=trajectory.task,
        seed=trajectory.seed,
        options=trajectory.options,
        limits=trajectory.limits,
        metadata={"replay_of": trajectory.episode_id, "generation": trajectory.generation},
    )
    with episode:
        found = Rerun(episode.episode_id, len(trajectory.steps))
        found.compare(0, {"observation": trajectory.observation}, {"observation": episode.observation})
        for step in trajectory.steps:
            if not _take(episode, step, found):
                break
            told()
        _compare_grade(episode, trajectory, found)
    return found


def _take(episode: Episode, step: TrajectoryStep, found: Rerun) -> bool:
    """Whether there was still something to act in."""
    try:
        result = episode.step(step.action, timeout_s=step.timeout_s)
    except (EpisodeEnded, EpisodeLost):
        return False
    found.taken += 1
    found.agreed += found.compare(step.step_index, _seen(step), _seen(result))
    return True


def _seen(step: TrajectoryStep | StepResult) -> dict[str, Any]:
    return {
        "observation": step.observation, "outcome": step.outcome.value, "reward": step.reward,
        "terminated": step.terminated, "truncated": step.truncated,
    }  # fmt: skip


def _compare_grade(episode: Episode, trajectory: Trajectory, found: Rerun) -> None:
    """Where one was asked for; a submission's is part of its step's reward."""
    submitted = bool(trajectory.steps) and GRADE in trajectory.steps[-1].info
    if trajectory.grade is not None and not submitted and found.taken == found.steps:
        found.compare(GRADE, {"reward": trajectory.grade.reward}, {"reward": episode.grade().reward})
