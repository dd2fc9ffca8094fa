"""Who may open a journal, and what is said of one that is damaged, locked or too new."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from envserver.episodes.journal import (
    Journal,
    JournalCorruptError,
    JournalLockedError,
    JournalUnavailableError,
    JournalVersionError,
)
from envserver.episodes.journal.migrations import VERSION
from tests.unit.journal import rows
from tests.unit.journal.images import opened, payload_names, picture
from tests.unit.journal.rows import LARGE

ROOT = Path(__file__).resolve().parents[3]

OPEN = """
import sys
from pathlib import Path
from envserver.episodes.journal import Journal, JournalLockedError
try:
    Journal.open(Path(sys.argv[1]))
except JournalLockedError as error:
    print(f"locked: {error}", flush=True)
else:
    print("open", flush=True)
    sys.stdin.read()
"""


def _start(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, directory], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _say(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


async def test_a_second_open_fails_at_once_in_this_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        with pytest.raises(JournalLockedError, match=f"process id {os.getpid()} "):
            await asyncio.to_thread(Journal.open, tmp_path)
        await journal.add_episodes([rows.episode()])
    async with opened(tmp_path) as journal:
        assert await journal.episode("ep_1") == rows.episode()


def test_a_second_open_fails_in_another_process_until_the_first_is_killed(tmp_path: Path) -> None:
    first = _start(tmp_path)
    assert _say(first) == "open"
    second = _start(tmp_path)
    assert _say(second).startswith(f"locked: {tmp_path}: the server with process id {first.pid} has this journal open")
    _end(first)
    _end(second)
    third = _start(tmp_path)
    assert _say(third) == "open"
    _end(third)


async def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal") as journal:
        await journal.add_episodes([rows.episode(grade=LARGE)])
        for path in [tmp_path / "journal", *(tmp_path / "journal").rglob("*")]:
            assert path.stat().st_mode & 0o077 == 0, path


async def _make(directory: Path) -> None:
    async with opened(directory) as journal:
        await journal.add_episodes([rows.episode(f"ep_{n}") for n in range(200)])
        await journal.intend_step(rows.step("ep_1", action=LARGE))


async def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    await _make(tmp_path)
    path = tmp_path / "journal.db"
    for place in (0, 4096 * 3 + 3, 4096 * 6):
        whole = path.read_bytes()
        damaged = whole[:place] + b"\xff" * 64 + whole[place + 64 :]
        path.write_bytes(damaged)
        with pytest.raises(JournalCorruptError, match=r"journal\.db.*move the journal's directory away"):
            await asyncio.to_thread(Journal.open, tmp_path)
        assert path.read_bytes() == damaged
        path.write_bytes(whole)
    async with opened(tmp_path) as journal:
        assert len(await journal.open_episodes()) == 200


async def test_a_large_database_is_checked_but_for_its_steps(tmp_path: Path) -> None:
    async with opened(tmp_path, check_bytes=1) as journal:
        await journal.add_episodes([rows.episode(f"ep_{n}") for n in range(100)])
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'episodes'").fetchone()[0]
    whole = path.read_bytes()
    async with opened(tmp_path, check_bytes=1):
        pass
    path.write_bytes(whole[: (page - 1) * 4096] + b"\xff" * 64 + whole[(page - 1) * 4096 + 64 :])
    with pytest.raises(JournalCorruptError):
        async with opened(tmp_path, check_bytes=1):
            pass


@pytest.mark.parametrize("left", ["log", "payloads"])
async def test_a_database_that_is_gone_is_not_made_anew_over_what_is_left(tmp_path: Path, left: str) -> None:
    async with opened(tmp_path / "live") as journal:
        await journal.add_episodes([rows.episode(grade=LARGE if left == "payloads" else None)])
        directory = await asyncio.to_thread(picture, tmp_path / "live", tmp_path / "copy")
    if left == "payloads":
        (directory / "journal.db-wal").unlink()
    for change in (lambda: (directory / "journal.db").write_bytes(b""), (directory / "journal.db").unlink):
        change()
        with pytest.raises(JournalCorruptError, match="gone or empty"):
            await asyncio.to_thread(Journal.open, directory)


async def test_a_directory_that_cannot_be_made_is_no_defect_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailableError, match="Not a directory"):
        await asyncio.to_thread(Journal.open, tmp_path / "file" / "journal")


async def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    await _make(tmp_path)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(JournalVersionError, match=f"version {VERSION + 1} and this envserver knows {VERSION}"):
        await asyncio.to_thread(Journal.open, tmp_path)


async def test_a_failed_open_lets_the_directory_go(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(JournalCorruptError, match="not a database"):
            await asyncio.to_thread(Journal.open, tmp_path)


async def test_payload_files_without_a_row_are_removed(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode(grade=LARGE)])
        assert journal.report.created
    (kept,) = payload_names(tmp_path)
    for orphan in ("00" + kept[2:], kept + ".new"):
        folder = tmp_path / "payloads" / orphan[:2]
        folder.mkdir(exist_ok=True)
        (folder / orphan).write_bytes(b"left by a kill")
    async with opened(tmp_path) as journal:
        assert journal.report.payloads_removed == 2
        assert not journal.report.created
        assert payload_names(tmp_path) == {kept}
        assert await journal.episode("ep_1") == rows.episode(grade=LARGE)
