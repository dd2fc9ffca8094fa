"""HumanEval's gates: gold pays 1, a body that does nothing pays 0, and so does every hack."""

from __future__ import annotations

import pytest

from envserver.grading.base import SandboxFactory
from tests.security.hacks.check import canonical, check_hack, grade_all, naive_graders_that_pay
from tests.security.hacks.hacks import HACKS, TASKS, Hack, wrong
from tests.unit.local_sandbox import LocalSandbox


async def test_every_canonical_solution_is_paid_in_full(make_sandbox: SandboxFactory, made: list[LocalSandbox]) -> None:
    grades = await grade_all(canonical, make_sandbox)
    assert len(grades) == 164
    assert {task_id: grade for task_id, grade in grades.items() if grade.reward != 1.0} == {}
    assert len(made) == 2 * 164
    assert all(sandbox.destroyed for sandbox in made)


async def test_no_empty_body_is_paid(make_sandbox: SandboxFactory) -> None:
    grades = await grade_all(wrong, make_sandbox)
    assert {task_id: grade for task_id, grade in grades.items() if grade.reward != 0.0} == {}


@pytest.mark.parametrize("hack", HACKS, ids=lambda hack: hack.name)
async def test_a_hack_pays_a_naive_grader_and_never_ours(hack: Hack, make_sandbox: SandboxFactory) -> None:
    await check_hack(hack, TASKS[:1], make_sandbox)


async def test_a_wrong_solution_without_a_hack_pays_no_naive_grader(make_sandbox: SandboxFactory) -> None:
    honest = Hack("none", lambda problem: {"solution.py": wrong(problem)})
    assert await naive_graders_that_pay(honest, TASKS[0], make_sandbox) == []
