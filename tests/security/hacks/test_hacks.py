"""HumanEval's gates in real containers: gold pays, nothing else does.

All 164 canonical solutions and all 164 empty bodies, two fresh sandboxes a grade; twelve hacks on ten tasks each,
every one of which pays a naive grader.
"""

from __future__ import annotations

import time

import pytest

from envserver.runtimes.base import Runtime
from tests.security.hacks.check import canonical, check_hack, grade_all, naive_graders_that_pay
from tests.security.hacks.hacks import HACKS, TASKS, Hack, wrong

pytestmark = pytest.mark.node


@pytest.mark.parametrize("hack", HACKS, ids=lambda hack: hack.name)
async def test_a_hack_pays_a_naive_grader_and_never_ours(hack: Hack, runtime: Runtime) -> None:
    await check_hack(hack, TASKS, runtime.create)


async def test_a_wrong_solution_without_a_hack_pays_no_naive_grader(runtime: Runtime) -> None:
    honest = Hack("none", lambda problem: {"solution.py": wrong(problem)})
    assert await naive_graders_that_pay(honest, TASKS[0], runtime.create) == []


PASS_S = 60.0
"""A whole pass takes no longer on two shared cores."""


async def test_every_canonical_solution_is_paid_in_full(runtime: Runtime) -> None:
    began = time.monotonic()
    grades = await grade_all(canonical, runtime.create)
    spent_s = time.monotonic() - began
    assert {task_id: grade for task_id, grade in grades.items() if grade.reward != 1.0} == {}
    assert len(grades) == 164
    assert spent_s <= PASS_S


async def test_no_empty_body_is_paid(runtime: Runtime) -> None:
    began = time.monotonic()
    grades = await grade_all(wrong, runtime.create)
    spent_s = time.monotonic() - began
    assert {task_id: grade for task_id, grade in grades.items() if grade.reward != 0.0} == {}
    assert spent_s <= PASS_S
