"""A disk that is full or fails: callers are told, nothing is half written, and it works again once there is room."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envserver.episodes.journal import Journal, JournalUnavailableError
from envserver.episodes.journal.store import Writes
from tests.unit.journal import rows
from tests.unit.journal.images import opened, payload_names
from tests.unit.journal.rows import LARGE


def _limit(pages: int | None) -> Any:
    """A write that bounds the database's pages to those that it has and some more."""

    def run(writes: Writes) -> None:
        count = writes.connection.execute("PRAGMA page_count").fetchone()[0]
        limit = 2**30 if pages is None else count + pages
        writes.connection.execute(f"PRAGMA max_page_count = {limit}").fetchone()

    return run


async def _fill(journal: Journal, size_bytes: int, first: int = 1) -> int:
    """Write steps until one fails; the index of the last that did not."""
    index = first - 1
    try:
        while True:
            await journal.intend_step(rows.step(index=index + 1, action=os.urandom(size_bytes)))
            index += 1
    except JournalUnavailableError:
        return index


async def test_a_full_database_fails_its_batch_and_recovers(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])
        await journal._write(_limit(30))
        last = await _fill(journal, 5000)
        assert last > 0
        answers = await asyncio.gather(
            journal.intend_step(rows.step(index=last + 1, action=bytes(20_000))),
            journal.intend_step(rows.step(index=last + 2, action=bytes(20_000))),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [JournalUnavailableError] * 2
        assert answers[0] is not answers[1]
        assert len(await journal.steps("ep_1", 1)) == last
        await journal._write(_limit(None))
        await journal.intend_step(rows.step(index=last + 1, action=bytes(20_000)))
    async with opened(tmp_path) as journal:
        assert len(await journal.steps("ep_1", 1)) == last + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mounted], check=False, capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"no mount here: {mount.stderr.strip()}")
    yield mounted
    subprocess.run(["umount", mounted], check=True)


@pytest.mark.parametrize("size_bytes", [3000, 30_000, 100_000], ids=["pages", "overflow", "files"])
async def test_a_full_disk_fails_writes_until_there_is_room(small_disk: Path, size_bytes: int) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(600_000))
    reserve = small_disk / "reserve"  # to open a journal takes some room: SQLite's shared memory
    reserve.write_bytes(bytes(100_000))
    async with opened(small_disk / "journal") as journal:
        await journal.add_episodes([rows.episode()])
        last = await _fill(journal, size_bytes)
        for _ in range(3):
            with pytest.raises(JournalUnavailableError):
                await journal.intend_step(rows.step(index=last + 1, action=os.urandom(200_000)))
        assert len(await journal.steps("ep_1", 1)) == last > 0
        assert not [name for name in payload_names(small_disk / "journal") if name.endswith(".new")]
        ballast.unlink()
        again = await _fill(journal, size_bytes, last + 1)
        assert again > last
    reserve.unlink()
    async with opened(small_disk / "journal") as journal:
        assert len(await journal.steps("ep_1", 1)) == again


async def test_a_payload_that_cannot_be_written_fails_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])

        def fail(self: Path, target: Path) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "rename", fail)
        with pytest.raises(JournalUnavailableError, match="No space left"):
            await journal.intend_step(rows.step(action=LARGE))
        assert payload_names(tmp_path) == set()
        monkeypatch.undo()
        await journal.intend_step(rows.step(action=LARGE))
        assert await journal.steps("ep_1", 1) == [rows.step(action=LARGE)]


async def test_a_sync_that_failed_is_not_believed_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may call the second sync a success without what the first one lost: the log is copied instead."""
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])

        def fail(descriptor: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fdatasync", fail)
        with pytest.raises(JournalUnavailableError, match="Input/output error"):
            await journal.save_episode("ep_1", state="live", durable=True)
        await journal.save_episode("ep_1", step_index=1)
        monkeypatch.undo()
        database = tmp_path / "journal.db"
        before = database.stat().st_size
        await journal.save_episode("ep_1", step_index=2, durable=True)
        assert database.stat().st_size > before  # the log was copied into it
        assert await journal.episode("ep_1") == rows.episode(state="live", step_index=2)


async def test_a_payload_whose_sync_failed_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])
        await journal.intend_step(rows.step(action=LARGE))
        (path,) = (tmp_path / "payloads").rglob("*/*")
        before = path.stat().st_ino

        def fail(descriptor: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(JournalUnavailableError, match="Input/output error"):
            await journal.save_episode("ep_1", state="live", durable=True)
        assert path.stat().st_ino == before
        monkeypatch.undo()
        await journal.save_episode("ep_1", state="ended", durable=True)
        assert path.stat().st_ino != before
        assert payload_names(tmp_path) == {path.name}
        assert await journal.steps("ep_1", 1) == [rows.step(action=LARGE)]


async def test_what_fails_for_a_reason_of_ours_reaches_its_caller_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])

        def fail(writes: Writes) -> None:
            writes.save_episode("ep_1", {"state": "half"})
            raise ZeroDivisionError

        answers = await asyncio.gather(
            journal.save_episode("ep_1", step_index=1),
            journal._write(fail),
            journal.save_episode("ep_1", steps_taken=1, durable=True),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [type(None), ZeroDivisionError, type(None)]
        assert await journal.episode("ep_1") == rows.episode(step_index=1, steps_taken=1)
