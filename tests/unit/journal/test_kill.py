"""A server that is killed at any moment has lost nothing that it acknowledged."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from envserver.episodes.journal import Journal
from tests.unit.journal.images import assert_nothing_is_left_over
from tests.unit.journal.killed import SETTINGS, TASKS, result_of

ROOT = Path(__file__).resolve().parents[3]


def run_and_kill(directory: Path, seed: int) -> dict[int, int]:
    """The greatest index that each task had acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.journal.killed", directory, str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(random.Random(seed).randint(1, 1500))]
    process.kill()
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    assert "" not in lines, "the program ended by itself"
    acknowledged: dict[int, int] = {}
    for line in lines:
        task, index = map(int, line.split())
        acknowledged[task] = max(index, acknowledged.get(task, 0))
    return acknowledged


async def check(directory: Path, acknowledged: dict[int, int]) -> dict[int, int]:
    """What each task really got done: the next program goes on behind it."""
    done = {}
    journal = await asyncio.to_thread(Journal.open, directory, SETTINGS)
    await journal.sweep(now=1e9)
    for task in range(TASKS):
        name, known = f"ep_{task}", acknowledged.get(task, 0)
        episode = await journal.episode(name)
        finished = [step for step in await journal.steps(name, 1) if step.result is not None]
        assert [step.step_index for step in finished] == list(range(1, len(finished) + 1))
        assert [step.result for step in finished] == [result_of(task, step.step_index) for step in finished]
        assert [step.action for step in finished] == [result_of(task, -step.step_index) for step in finished]
        assert len(finished) in (known, known + 1)  # one may have been committed and not been acknowledged
        done[task] = len(finished)
        assert episode is None or (episode.step_index, episode.reward) == (len(finished), float(len(finished)))
    assert len(await journal.closed_episodes(100)) == 0
    await journal.close()
    assert_nothing_is_left_over(directory)
    return done


async def rounds(directory: Path, first_seed: int, count: int) -> None:
    total: dict[int, int] = {}
    for seed in range(first_seed, first_seed + count):
        total = total | await asyncio.to_thread(run_and_kill, directory, seed)
        total = await check(directory, total)
    assert sum(total.values()) > 0


async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    await rounds(tmp_path, 0, 3)


@pytest.mark.full
@pytest.mark.parametrize("first_seed", range(0, 60, 6))
async def test_what_was_acknowledged_is_there_after_many_kills(tmp_path: Path, first_seed: int) -> None:
    await rounds(tmp_path, first_seed, 6)
