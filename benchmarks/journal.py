"""What the journal costs a step, beside the bare parts that it is made of, in the same run.

    python -m benchmarks.journal [--short] [--directory DIR]

Prints one line of JSON. A pair is `intend_step` and then `finish_step`, as every step makes them. Beside it stand a
bare SQLite commit of one such row on one thread, a bare fdatasync of one page, and the bare hand-over of a future
to a thread and back. With one in flight each write is a commit; with more, many share one. DIR decides which disk is
measured; its default is the working directory's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import queue
import sqlite3
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.statistics import summarise
from envserver.episodes.journal import Journal, JournalSettings
from envserver.episodes.journal.rows import EpisodeRow, StepRow

RESULT = b"r" * 1500
ACTION = b"a" * 400
LARGE_BYTES = 200_000
TARGET_MS = 0.3
"""Of the median pair with one in flight."""


def episode(name: str) -> EpisodeRow:
    return EpisodeRow(name, "bench", 1.0, "code", "humaneval@1", "HumanEval/0", b"{}" * 200, b"{}")


def step(name: str, index: int) -> StepRow:
    return StepRow(name, 1, index, ACTION, bytes(16), b"{}", 30.0, index, b"{}", 1.0)


async def pair(journal: Journal, name: str, index: int, result: bytes = RESULT) -> None:
    """One step's two writes."""
    await journal.intend_step(step(name, index))
    changes = {"step_index": index, "steps_taken": index, "reward": 0.5, "snapshot": b'{"turn": 1}' * 10}
    await journal.finish_step(
        (name, 1, index), result=result, outcome="ok", reward=0.5, finished_at=2.0, changes=changes
    )


async def timed(count: int, call: Callable[[int], Awaitable[object]]) -> list[float]:
    """Seconds of each of `count` calls, one after the other."""
    seconds = []
    for index in range(1, count + 1):
        began = time.perf_counter()
        await call(index)
        seconds.append(time.perf_counter() - began)
    return seconds


async def in_flight(journal: Journal, tasks: int, count: int, prefix: str, result: bytes = RESULT) -> dict[str, Any]:
    """`count` pairs of each of `tasks` episodes at a time."""
    names = [f"{prefix}{number}" for number in range(tasks)]
    await journal.add_episodes([episode(name) for name in names])
    began = time.perf_counter()
    seconds = await asyncio.gather(*(timed(count, partial(pair, journal, name, result=result)) for name in names))
    elapsed = time.perf_counter() - began
    flat = [second for one in seconds for second in one]
    rate = len(flat) / elapsed
    return {**summarise(flat).as_dict(), "pairs_per_s": round(rate), "writes_per_s": round(2 * rate)}


async def durable(journal: Journal, tasks: int, count: int) -> dict[str, Any]:
    """Durable writes of each of `tasks` episodes at a time."""

    async def save(name: str, index: int) -> None:
        await journal.save_episode(name, step_index=index, durable=True)

    names = [f"durable{tasks}_{number}" for number in range(tasks)]
    await journal.add_episodes([episode(name) for name in names])
    began = time.perf_counter()
    seconds = await asyncio.gather(*(timed(count, partial(save, name)) for name in names))
    elapsed = time.perf_counter() - began
    flat = [second for one in seconds for second in one]
    return {**summarise(flat).as_dict(), "writes_per_s": round(len(flat) / elapsed)}


async def while_sweeping(journal: Journal, episodes: int) -> dict[str, Any]:
    """Pairs beside a sweep that removes `episodes` of 40 steps."""
    names = [f"swept{number}" for number in range(episodes)]
    await journal.add_episodes([episode(name) for name in names])
    await asyncio.gather(*(journal.intend_step(step(name, index)) for name in names for index in range(1, 41)))
    await asyncio.gather(*(journal.save_episode(name, closed_at=1.0) for name in names))
    await journal.add_episodes([episode("sweeping")])
    began = time.perf_counter()
    sweep = asyncio.create_task(journal.sweep(now=1e9))
    seconds: list[float] = []
    while not sweep.done():
        started = time.perf_counter()
        await pair(journal, "sweeping", len(seconds) + 1)
        seconds.append(time.perf_counter() - started)
    removed = (await sweep).episodes
    return {**summarise(seconds).as_dict(), "episodes_per_s": round(removed / (time.perf_counter() - began))}


def bare_commits(folder: Path, count: int) -> dict[str, Any]:
    """Rows of a step's size, a transaction each, on one thread and without anything of ours."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE rows (row BLOB)")
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        connection.execute("INSERT INTO rows VALUES (?)", (RESULT,))
        seconds.append(time.perf_counter() - began)
    connection.close()
    return summarise(seconds).as_dict()


def bare_syncs(folder: Path, count: int) -> dict[str, Any]:
    """A page written over the same place, and an fdatasync."""
    descriptor = os.open(folder / "bare", os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, bytes(4096), 0)
    os.fsync(descriptor)
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        os.pwrite(descriptor, os.urandom(4096), 0)
        os.fdatasync(descriptor)
        seconds.append(time.perf_counter() - began)
    os.close(descriptor)
    return summarise(seconds).as_dict()


async def bare_hand_over(count: int) -> dict[str, Any]:
    """A future to a thread and back: what a write costs before anything is written."""
    loop = asyncio.get_running_loop()
    waiting: queue.SimpleQueue[asyncio.Future[None] | None] = queue.SimpleQueue()

    def answer() -> None:
        while (future := waiting.get()) is not None:
            loop.call_soon_threadsafe(future.set_result, None)

    thread = threading.Thread(target=answer)
    thread.start()

    async def ask(_: int) -> None:
        future: asyncio.Future[None] = loop.create_future()
        waiting.put(future)
        await future

    seconds = await timed(count, ask)
    waiting.put(None)
    thread.join()
    return summarise(seconds).as_dict()


async def measure(folder: Path, scale: int) -> dict[str, Any]:
    """All figures; `scale` 1 is the short form."""
    beside = {
        "hand_over": await bare_hand_over(1000 * scale),
        "sqlite_commit": bare_commits(folder, 1000 * scale),
        "fdatasync": bare_syncs(folder, 200 * scale),
    }
    journal = Journal.open(folder / "journal", JournalSettings(max_age_s=1e6))
    figures = {
        "pair_1": {**await in_flight(journal, 1, 1000 * scale, "one"), "target_p50_ms": TARGET_MS},
        "pair_64": await in_flight(journal, 64, 50 * scale, "many"),
        "pair_1_of_200_kB": await in_flight(journal, 1, 50 * scale, "large", os.urandom(LARGE_BYTES)),
        "durable_1": await durable(journal, 1, 200 * scale),
        "durable_64": await durable(journal, 64, 20 * scale),
        "pair_1_while_sweeping": await while_sweeping(journal, 100 * scale),
    }
    size_bytes = sum(path.stat().st_size for path in (folder / "journal").glob("journal.db*"))
    began = time.perf_counter()
    await journal.close()
    closed = time.perf_counter()
    journal = Journal.open(folder / "journal", JournalSettings())
    opened = time.perf_counter()
    await journal.close()
    figures["close_and_open"] = {
        "bytes": size_bytes,
        "close_ms": round((closed - began) * 1000, 1),
        "open_ms": round((opened - closed) * 1000, 1),
    }
    machine = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 2), "sqlite": sqlite3.sqlite_version}
    return {"machine": machine, "beside": beside, "journal": figures}


@contextmanager
def temporary(directory: Path) -> Iterator[Path]:
    """A folder on the disk to measure."""
    with tempfile.TemporaryDirectory(prefix="journal-bench-", dir=directory) as folder:
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a fifth of the samples")
    parser.add_argument("--directory", type=Path, default=Path(), help="on the disk to measure")
    given = parser.parse_args()
    with temporary(given.directory) as folder:
        print(json.dumps(uvloop.run(measure(folder, 1 if given.short else 5))))


if __name__ == "__main__":
    main()
