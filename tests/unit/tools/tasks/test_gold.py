"""Every task can be solved with the tools that it comes with, by who sees nothing but them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from environments.tools.tasks.lookups import TEMPLATES as LOOKUPS
from environments.tools.tasks.questions import TEMPLATES, Questions
from tests.unit.tools.tasks.episodes import played

QUESTIONS = Questions()
IN_PROCESS = [template.name for template in LOOKUPS]
IN_A_SANDBOX = [name for name in TEMPLATES if name not in IN_PROCESS]
"""Each of these tasks begins programs."""
SAMPLE = 4


def ids_of(template: str) -> list[str]:
    return [task_id for task_id in QUESTIONS.task_ids() if task_id.startswith(f"{template}/")]


async def play(task_ids: Sequence[str], root: Path) -> None:
    for task_id in task_ids:
        answer, grade = await played(QUESTIONS.get(task_id), root / task_id.replace("/", "-"))
        assert grade.reward == 1.0, (task_id, answer, grade)


@pytest.mark.parametrize("template", IN_PROCESS)
async def test_a_policy_that_looks_up_and_computes_is_paid_all(template: str, tmp_path: Path) -> None:
    await play(ids_of(template), tmp_path)


@pytest.mark.parametrize("template", IN_A_SANDBOX)
async def test_a_policy_that_queries_runs_and_looks_is_paid_all(template: str, tmp_path: Path) -> None:
    await play(ids_of(template)[:: len(ids_of(template)) // SAMPLE], tmp_path)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("template", IN_A_SANDBOX)
async def test_every_one_of_them_can_be_solved(template: str, tmp_path: Path) -> None:
    await play(ids_of(template), tmp_path)
