"""What is damaged is named and never answered."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from envserver.episodes.journal import Journal, JournalCorruptError
from tests.unit.journal import rows
from tests.unit.journal.images import opened
from tests.unit.journal.rows import LARGE

STEP = r"result of steps \(episode_id ep_1, generation 1, step_index 2\)"


async def _make(directory: Path, result: bytes) -> None:
    async with opened(directory) as journal:
        await journal.add_episodes([rows.episode()])
        for index in (1, 2):
            await journal.intend_step(rows.step(index=index))
            await journal.finish_step(
                ("ep_1", 1, index),
                result=result if index == 2 else b"sound",
                outcome="ok",
                reward=0.0,
                finished_at=1.0,
                changes={},
            )


async def _expect(journal: Journal, match: str) -> None:
    with pytest.raises(JournalCorruptError, match=match):
        await journal.steps("ep_1", 1)
    assert [step.result for step in await journal.steps("ep_1", 1, last=1)] == [b"sound"]


@pytest.mark.parametrize("change", ["other", "short", "gone", "elsewhere"])
async def test_a_damaged_payload_is_named(tmp_path: Path, change: str) -> None:
    await _make(tmp_path, LARGE)
    (path,) = (tmp_path / "payloads").rglob("*/*")
    async with opened(tmp_path) as journal:
        match change:
            case "other":
                path.write_bytes(LARGE[:-1] + b"X")
            case "short":
                path.write_bytes(LARGE[:-1])
            case "gone":
                path.unlink()
            case _:
                path.rename(path.with_name("elsewhere"))
        await _expect(journal, f"{STEP} is damaged.*{path.name}")


@pytest.mark.parametrize("place", [0, 1, 4, 5, 11])
async def test_a_damaged_inline_value_is_named(tmp_path: Path, place: int) -> None:
    await _make(tmp_path, b"a result of ours")
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER payloads_steps_result_changed")
        sealed = bytearray(connection.execute("SELECT result FROM steps WHERE step_index = 2").fetchone()[0])
        sealed[place] ^= 1
        connection.execute("UPDATE steps SET result = ? WHERE step_index = 2", (bytes(sealed),))
    async with opened(tmp_path) as journal:
        await _expect(journal, f"{STEP} is damaged")
