"""The gate of the HumanEval task set, in real sandboxes: gold scores 1, nothing scores 0, both in time."""

from __future__ import annotations

import asyncio
import time

import pytest

from environments.code.humaneval import SOLUTION, problems
from envserver_sdk import AsyncClient

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

AT_ONCE = 8
PASS_LIMIT_S = 60.0


async def _score(client: AsyncClient, task: str, solution: str) -> float:
    async with client.create("code", task_set="humaneval", task=task) as episode:
        await episode.step({"type": "write_file", "path": SOLUTION, "content": solution})
        step = await episode.step({"type": "submit"})
        assert step.terminated
        assert step.info.trainable, step.info
        return step.reward


async def _score_all(client: AsyncClient, body: str | None) -> tuple[dict[str, float], float]:
    """Rewards by task, and how long it took; `body` None means the canonical one."""
    rewards: dict[str, float] = {}
    waiting = iter(problems().items())

    async def work() -> None:
        for task, problem in waiting:
            ending = problem["canonical_solution"] if body is None else body
            rewards[task] = await _score(client, task, problem["prompt"] + ending)

    began = time.monotonic()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return rewards, time.monotonic() - began


async def test_every_canonical_solution_scores_one(client: AsyncClient) -> None:
    rewards, elapsed_s = await _score_all(client, None)
    assert len(rewards) == 164
    assert {task: reward for task, reward in rewards.items() if reward != 1.0} == {}
    assert elapsed_s < PASS_LIMIT_S


async def test_no_empty_body_scores_anything(client: AsyncClient) -> None:
    rewards, elapsed_s = await _score_all(client, "    pass\n")
    assert len(rewards) == 164
    assert {task: reward for task, reward in rewards.items() if reward != 0.0} == {}
    assert elapsed_s < PASS_LIMIT_S


async def test_submitting_at_once_scores_zero_and_is_trainable(client: AsyncClient) -> None:
    async with client.create("code", task_set="humaneval", task="HumanEval/1") as episode:
        step = await episode.step({"type": "submit"})
        record = await episode.grade()
    assert (step.reward, step.terminated, step.info.trainable) == (0.0, True, True)
    assert record.reward == 0.0
