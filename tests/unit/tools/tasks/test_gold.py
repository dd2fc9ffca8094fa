"""Every task can be solved with the tools that it comes with, by who sees nothing but them."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments.tools.tasks.questions import TEMPLATES, Questions
from tests.unit.tools.tasks.episodes import played

QUESTIONS = Questions()


@pytest.mark.parametrize("template", TEMPLATES)
async def test_a_policy_that_looks_and_computes_is_paid_all(template: str, tmp_path: Path) -> None:
    ids = [task_id for task_id in QUESTIONS.task_ids() if task_id.startswith(f"{template}/")]
    for task_id in ids:
        answer, grade = await played(QUESTIONS.get(task_id), tmp_path / task_id.replace("/", "-"))
        assert grade.reward == 1.0, (task_id, answer, grade)
