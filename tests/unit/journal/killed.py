"""A program for tests to kill: numbered writes to a journal, each number printed when it is acknowledged.

`python -m tests.unit.journal.killed DIRECTORY SEED` goes on behind what it finds there. Several tasks write at a time,
each to an episode of its own, so that batches have many entries; a number is `<task> <index>`.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from envserver.episodes.journal import Journal, JournalSettings
from tests.unit.journal import rows

TASKS = 6
SETTINGS = JournalSettings(
    max_age_s=50, inline_bytes=2000, checkpoint_bytes=100_000, wal_bytes=400_000, slice_rows=7, max_closed_episodes=2
)
"""Small, so that every kind of work goes on all the time."""


def result_of(task: int, index: int) -> bytes:
    """What the step came to: now a few bytes, now a file."""
    chance = random.Random(task * 1_000_003 + index)
    return chance.randbytes(chance.choice((3, 300, 1900, 2100, 30_000)))


async def write(journal: Journal, task: int, chance: random.Random) -> None:
    """Steps of one episode, without end."""
    name = f"ep_{task}"
    episode = await journal.episode(name)
    if episode is None:
        await journal.add_episodes([rows.episode(name)])
    for step in await journal.running_steps():
        if step.episode_id == name:
            await journal.forget_step((name, 1, step.step_index))
    index = 0 if episode is None else episode.step_index
    while True:
        index += 1
        await journal.intend_step(rows.step(name, index=index, action=result_of(task, -index)))
        await journal.finish_step(
            (name, 1, index),
            result=result_of(task, index),
            outcome="ok",
            reward=float(index),
            finished_at=1.0,
            changes={"step_index": index, "reward": float(index)},
            durable=chance.random() < 0.2,
        )
        os.write(1, f"{task} {index}\n".encode())


async def come_and_go(journal: Journal, seed: int) -> None:
    """Episodes that close and are swept, beside those that count."""
    for number in range(10**9):
        name = f"gone_{seed}_{number}"
        await journal.add_episodes([rows.episode(name, grade=bytes(5000))], [rows.generation(name)])
        for index in range(1, 20):
            await journal.intend_step(rows.step(name, index=index, action=bytes([index]) * 2500))
        await journal.save_episode(name, closed_at=float(number), durable=True)
        await journal.sweep(now=float(number))


async def main(directory: Path, seed: int) -> None:
    """Until killed."""
    journal = await asyncio.to_thread(Journal.open, directory, SETTINGS)
    chance = random.Random(seed)
    await asyncio.gather(*(write(journal, task, chance) for task in range(TASKS)), come_and_go(journal, seed))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
