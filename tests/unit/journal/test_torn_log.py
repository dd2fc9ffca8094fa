"""A log that ends in the middle of something, or was changed: what was committed before is kept, and it is said."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from envserver.episodes.journal import Journal, JournalCorruptError, wal
from tests.unit.journal import rows
from tests.unit.journal.images import opened, picture

FRAME = 24 + 4096
STEPS = 5


@dataclass(frozen=True)
class Image:
    """A journal that was killed."""

    directory: Path
    ends: list[int]
    """Where in the log the commit of each step ends; the first is that of no step."""

    @property
    def log(self) -> bytes:
        return (self.directory / "journal.db-wal").read_bytes()

    def steps_at(self, offset: int) -> int:
        """Steps whose commits end at or before a place."""
        return sum(end <= offset for end in self.ends) - 1

    def with_log(self, directory: Path, log: bytes) -> Path:
        """The same with another log."""
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(self.directory, directory)
        (directory / "journal.db-wal").write_bytes(log)
        return directory


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return asyncio.run(_make(tmp_path_factory.mktemp("image")))


async def _make(folder: Path) -> Image:
    live = folder / "live"
    async with opened(live) as journal:
        await journal.add_episodes([rows.episode()])
    ends = []
    async with opened(live) as journal:
        await journal.save_episode("ep_1", state="live")
        for index in range(STEPS + 1):
            if index:
                await journal.intend_step(rows.step(index=index, action=bytes(3000 * index)))
            log = await asyncio.to_thread(wal.examine, live / "journal.db-wal")
            assert log.tail_bytes == 0
            ends.append(log.committed_bytes)
        await asyncio.to_thread(picture, live, folder / "picture")
    return Image(folder / "picture", ends)


async def _open(directory: Path) -> tuple[int, int, str | None]:
    """Steps that are there, and what the report says was cut."""
    async with opened(directory) as journal:
        steps = await journal.steps("ep_1", 1)
        assert [step.action for step in steps] == [bytes(3000 * step.step_index) for step in steps]
        return len(steps), journal.report.cut_bytes, journal.report.cut_what


def _places(image: Image) -> Iterator[int]:
    """Bytes of the last commits: all that is near the ends of frames and headers, and some between."""
    for frame in range(image.ends[-3], image.ends[-1], FRAME):
        yield from (frame, frame + 1, frame + 8, frame + 15, frame + 16, frame + 23, frame + 24, frame + 2000)
        yield frame + FRAME - 1


async def test_a_whole_log_is_taken_whole(image: Image, tmp_path: Path) -> None:
    directory = image.with_log(tmp_path / "copy", image.log)
    async with opened(directory) as journal:
        assert journal.report.cut_bytes == 0
        assert journal.report.cut_what is None
        assert journal.report.recovered_bytes == image.ends[-1] - 32
        assert len(await journal.steps("ep_1", 1)) == STEPS


async def test_a_log_cut_short_keeps_what_was_committed_before(image: Image, tmp_path: Path) -> None:
    for place in _places(image):
        directory = await asyncio.to_thread(image.with_log, tmp_path / "copy", image.log[:place])
        steps, cut, what = await _open(directory)
        expected = image.steps_at(place)
        assert steps == expected, place
        assert cut == place - image.ends[expected], place
        assert (what is None) == (cut == 0), place


async def test_a_changed_byte_ends_the_log_and_is_reported(image: Image, tmp_path: Path) -> None:
    for place in _places(image):
        log = bytearray(image.log)
        log[place] ^= 0x40
        directory = await asyncio.to_thread(image.with_log, tmp_path / "copy", bytes(log))
        steps, cut, what = await _open(directory)
        expected = image.steps_at(place)
        assert steps == expected, place
        assert cut == image.ends[-1] - image.ends[expected], place
        assert what is not None


def test_what_a_kill_leaves_is_told_from_what_was_damaged(image: Image, tmp_path: Path) -> None:
    log, path = image.log, tmp_path / "a-wal"
    last = image.ends[-1] - FRAME
    for place, interrupted in ((last + 500, True), (last - 500, False), (image.ends[1] - 500, False)):
        path.write_bytes(log[:place] + bytes([log[place] ^ 1]) + log[place + 1 :])
        found = wal.examine(path)
        assert found.interrupted is interrupted
        assert found.what is not None
        assert ("lost with it" in found.what) is not interrupted


@pytest.mark.parametrize("place", [0, 5, 9, 13, 17, 21, 25, 31])
async def test_a_damaged_header_leaves_the_database_alone(image: Image, tmp_path: Path, place: int) -> None:
    log = bytearray(image.log)
    log[place] ^= 0x40
    directory = await asyncio.to_thread(image.with_log, tmp_path / "copy", bytes(log))
    async with opened(directory) as journal:
        assert journal.report.cut_bytes == len(log)
        assert "header" in (journal.report.cut_what or "")
        assert await journal.open_episodes() == [rows.episode()]


async def test_damage_in_what_was_copied_already_is_refused(tmp_path: Path) -> None:
    """The rest of the log would put older pages beside newer ones."""
    async with opened(tmp_path / "live") as journal:
        await journal.add_episodes([rows.episode()])
        for index in range(1, 20):
            await journal.intend_step(rows.step(index=index, action=bytes(3000)))
        with closing(sqlite3.connect(tmp_path / "live" / "journal.db")) as connection:
            assert connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0
        directory = await asyncio.to_thread(picture, tmp_path / "live", tmp_path / "picture")
    path = directory / "journal.db-wal"
    log = bytearray(path.read_bytes())
    log[len(log) // 2] ^= 1
    path.write_bytes(log)
    with pytest.raises(JournalCorruptError, match="where it had been copied into the database"):
        await asyncio.to_thread(Journal.open, directory)
    assert path.read_bytes() == log


@pytest.mark.parametrize("index", ["whole", "gone", "torn", "of another log"])
def test_a_page_that_is_as_it_once_was_was_not_copied(tmp_path: Path, index: str) -> None:
    """A row comes, and goes with the transaction that is torn: its page is then as the database has it."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    with closing(sqlite3.connect(live / "a.db", isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA secure_delete = ON; CREATE TABLE t (value)")
        connection.execute("CREATE TABLE u (value)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        connection.execute("INSERT INTO t VALUES (1)")
        connection.executescript("BEGIN; DELETE FROM t; INSERT INTO u VALUES (2); COMMIT")
        shutil.copytree(live, copy)
    log, shm = copy / "a.db-wal", copy / "a.db-shm"
    log.write_bytes(log.read_bytes()[:-100])
    data = shm.read_bytes()
    if index == "gone":
        shm.unlink()
    elif index != "whole":
        place = 20 if index == "torn" else 32
        shm.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    found = wal.examine(log)
    assert found.tail_bytes and found.interrupted
    assert wal.was_copied(log, found, copy / "a.db", shm) is (index != "whole"), "without it, pages are all that tells"


def _tear(directory: Path, keep_index: bool) -> None:
    path = directory / "journal.db-wal"
    path.write_bytes(path.read_bytes()[: wal.examine(path).committed_bytes - 100])
    if not keep_index:
        (directory / "journal.db-shm").unlink()


@pytest.mark.parametrize("keep_index", [True, False])
async def test_damage_behind_what_was_copied_is_cut(tmp_path: Path, keep_index: bool) -> None:
    async with opened(tmp_path / "live") as journal:
        await journal.add_episodes([rows.episode()])
        with closing(sqlite3.connect(tmp_path / "live" / "journal.db")) as connection:
            assert connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0
        await journal.intend_step(rows.step(index=1, action=bytes(3000)))
        directory = await asyncio.to_thread(picture, tmp_path / "live", tmp_path / "picture")
    await asyncio.to_thread(_tear, directory, keep_index)
    async with opened(directory) as journal:
        assert journal.report.cut_bytes > 0
        assert await journal.open_episodes() == [rows.episode()]


def _agrees(image: Image, directory: Path, places: Iterator[int] | range) -> None:
    path = directory / "journal.db-wal"
    directory.mkdir()
    log = image.log
    for place in places:
        path.write_bytes(log[:place])
        found = wal.examine(path)
        committed = max((end for end in image.ends if end <= place), default=32)
        assert found == wal.Log(place, committed, place - committed, found.what, place > committed), place


def test_every_place_of_the_last_frames_is_examined_rightly(image: Image, tmp_path: Path) -> None:
    _agrees(image, tmp_path / "one", range(image.ends[-2], image.ends[-1], 41))


@pytest.mark.full
@pytest.mark.timeout(600)
def test_each_byte_of_the_last_frames_is_examined_rightly(image: Image, tmp_path: Path) -> None:
    _agrees(image, tmp_path / "all", range(image.ends[-1] - 3 * FRAME, image.ends[-1] + 1))


def _fill(path: Path, first: int, count: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;")
    connection.execute("CREATE TABLE IF NOT EXISTS numbers (number INTEGER, filling BLOB)")
    for number in range(first, first + count):
        connection.execute("INSERT INTO numbers VALUES (?, randomblob(9000))", (number,))
    connection.close()


def test_frames_of_an_older_log_are_no_tail(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    _fill(path, 0, 0)
    keeper = sqlite3.connect(path)  # the last one to close would remove the log
    keeper.execute("SELECT count(*) FROM numbers").fetchone()
    _fill(path, 0, 10)
    keeper.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    _fill(path, 10, 2)
    log = wal.examine(tmp_path / "a.db-wal")
    assert 32 < log.committed_bytes < log.size_bytes
    assert (log.tail_bytes, log.what) == (0, None)
    keeper.close()


def test_a_transaction_that_never_committed_is_a_tail(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    _fill(path, 0, 0)
    writing = sqlite3.connect(path, isolation_level=None)
    writing.execute("PRAGMA cache_size = 5")  # so that it writes frames before it commits
    writing.execute("BEGIN")
    for number in range(50):
        writing.execute("INSERT INTO numbers VALUES (?, randomblob(9000))", (number,))
    picture = tmp_path / "picture-wal"
    shutil.copy(tmp_path / "a.db-wal", picture)
    writing.execute("ROLLBACK")
    writing.close()
    log = wal.examine(picture)
    assert log.committed_bytes == 32
    assert log.tail_bytes == log.size_bytes - 32 > 0
    assert log.what == "the transaction at byte 32 is not whole"
    assert log.interrupted


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    assert wal.examine(tmp_path / "none-wal") == wal.Log()
    (tmp_path / "empty-wal").touch()
    assert wal.examine(tmp_path / "empty-wal") == wal.Log()
