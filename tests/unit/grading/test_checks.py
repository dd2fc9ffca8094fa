"""The grade of conditions: all that are required, nothing forbidden, and else a share that is never almost all."""

from __future__ import annotations

from typing import Any

import pytest

from environments.environment import Artifacts
from environments.tasks import GraderSpec, Task
from envserver.grading.base import Grade, GradingError
from envserver.grading.registry import get_grader
from envserver.runtimes.base import Sandbox, SandboxSpec

TASK = Task("t", "Order.", GraderSpec("checks"))


async def no_sandbox(spec: SandboxSpec) -> Sandbox:
    raise AssertionError("no sandbox is needed")


def check(name: str, passed: bool, **more: Any) -> dict[str, Any]:
    return {"name": name, "passed": passed, "weight": 1.0, "required": True, "forbidden": False, **more}


async def grade(*checks: dict[str, Any], **facts: Any) -> Grade:
    found = Artifacts({}, facts={"checks": list(checks), **facts})
    return await get_grader("checks").grade(TASK, found, no_sandbox)


async def test_everything_that_is_required_is_worth_all() -> None:
    made = await grade(check("a", True), check("b", True), check("c", False, required=False))
    assert made.reward == 1.0
    assert made.components == {"a": 1.0, "b": 1.0, "c": 0.0}
    assert made.report == {"not_passed": ["c"]}


@pytest.mark.parametrize(
    ("checks", "reward"),
    [
        ([check("a", False)], 0.0),
        ([check("a", True), check("b", False)], 0.25),
        ([check("a", False), check("b", True, required=False)], 0.25),
        ([check("a", False, weight=3.0), check("b", True, required=False)], 0.125),
        ([check("a", False), *[check(str(n), True, required=False, weight=9.0) for n in range(9)]], 0.5 * 81 / 82),
    ],
)
async def test_less_is_a_share_by_weight_of_at_most_half(checks: list[dict[str, Any]], reward: float) -> None:
    assert (await grade(*checks)).reward == pytest.approx(reward)


async def test_what_is_forbidden_costs_everything_and_earns_nothing() -> None:
    harmless, harmful = check("other", True, forbidden=True), check("other", False, forbidden=True)
    assert (await grade(check("a", True), harmful)).reward == 0.0
    assert (await grade(check("a", True), harmless)).reward == 1.0
    assert (await grade(check("a", False), harmless)).reward == 0.0, "to do nothing is no merit"


async def test_a_fixed_reward_stands() -> None:
    assert (await grade(check("a", True), reward=0.0)).reward == 0.0
    assert (await grade(check("a", False), reward=0.7)).reward == 0.7


@pytest.mark.parametrize("checks", [[], [check("a", True, required=False)], [check("a", True, forbidden=True)]])
async def test_a_task_that_requires_nothing_is_a_defect_and_pays_nothing(checks: list[dict[str, Any]]) -> None:
    with pytest.raises(GradingError):
        await grade(*checks)


async def test_an_episode_that_nobody_judged_has_no_grade() -> None:
    with pytest.raises(GradingError, match="judged"):
        await get_grader("checks").grade(TASK, Artifacts({}), no_sandbox)
