"""The grade of a return: where it lies between the two that are agreed on."""

from __future__ import annotations

import math
from typing import Any

import pytest

from environments.environment import Artifacts
from environments.tasks import GraderSpec, Task
from envserver.grading.base import Grade, GradingError
from envserver.grading.registry import get_grader
from envserver.runtimes.base import Sandbox, SandboxSpec

TASK = Task("t", "Play.", GraderSpec("return"))


async def no_sandbox(spec: SandboxSpec) -> Sandbox:
    raise AssertionError("no sandbox is needed")


async def grade(score: Any = (-200, -100), **tally: float) -> Grade:
    counted = {"steps": 7, "episodes": 0, "ended_return": 0.0, "standing_return": 0.0, **tally}
    return await get_grader("return").grade(TASK, Artifacts({}, facts={"tally": counted, "score": score}), no_sandbox)


@pytest.mark.parametrize(("earned", "reward"), [(-200, 0.0), (-150, 0.5), (-100, 1.0), (-3000, 0.0), (5, 1.0)])
async def test_a_return_is_measured_between_its_bounds_and_cut_off_beyond(earned: float, reward: float) -> None:
    made = await grade(standing_return=earned)
    assert made.reward == reward
    assert made.components == {"return": earned, "episodes": 0.0, "steps": 7.0}
    assert not made.forgeable


async def test_of_several_episodes_the_mean_of_those_that_ended_counts() -> None:
    made = await grade(episodes=4, ended_return=-600.0, standing_return=-90.0)
    assert (made.reward, made.components["return"]) == (0.5, -150.0)


async def test_without_bounds_there_is_no_verdict() -> None:
    with pytest.raises(GradingError, match="option `score`"):
        await grade(score=None)


async def test_nor_without_a_world() -> None:
    with pytest.raises(GradingError, match="is gone"):
        await get_grader("return").grade(TASK, Artifacts({}), no_sandbox)


async def test_a_grade_is_finite_whatever_was_earned() -> None:
    assert math.isfinite((await grade(score=(0.0, 5e-324), standing_return=1e308)).reward)
