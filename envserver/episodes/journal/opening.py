"""Opening a journal: the lock, the checks, the migrations, the threads; and the way back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from envserver.episodes.journal.background import Checkpointer, Syncer, answer_at_once
from envserver.episodes.journal.checks import check_database, check_log
from envserver.episodes.journal.connections import DATABASE, WAL, connect, make_writable
from envserver.episodes.journal.errors import JournalCorruptError
from envserver.episodes.journal.faults import translate
from envserver.episodes.journal.lock import DirectoryLock
from envserver.episodes.journal.migrations import VERSION, migrate
from envserver.episodes.journal.payloads import PayloadFiles, sync_path
from envserver.episodes.journal.settings import JournalSettings, OpenReport
from envserver.episodes.journal.store import Reads, Writes
from envserver.episodes.journal.wal import HEADER_BYTES
from envserver.episodes.journal.writer import Writer

T = TypeVar("T")


class Reader:
    """Runs reads; one thread at a time."""

    def __init__(self, reads: Reads, where: str) -> None:
        self._reads = reads
        self._where = where

    def run(self, read: Callable[[Reads], T]) -> T:
        """Raises: JournalCorruptError, JournalUnavailableError."""
        try:
            try:
                return read(self._reads)
            except FileNotFoundError:  # a sweep removed the row, and then its payload: see what is there now
                return read(self._reads)
        except FileNotFoundError as error:
            what = ", ".join(error.__notes__)
            raise JournalCorruptError(f"{what} is damaged: its payload file {error.filename} is gone") from error
        except (sqlite3.Error, OSError) as error:
            raise translate(error, self._where) from error


@dataclass(frozen=True)
class Opened:
    """A journal's parts."""

    journal_id: str
    report: OpenReport
    writer: Writer
    reads: Reader | None
    close: Callable[[], None]
    """Blocks until everything is written; once."""


def open_journal(directory: Path | None, settings: JournalSettings) -> Opened:
    """Raises: JournalLockedError, JournalCorruptError, JournalVersionError, JournalUnavailableError."""
    if directory is None:
        return _open_in_memory(settings)
    with ExitStack() as stack:
        try:
            return _open_on_disk(directory, settings, stack)
        except (sqlite3.Error, OSError) as error:
            raise translate(error, str(directory / DATABASE)) from error


def _open_in_memory(settings: JournalSettings) -> Opened:
    connection = connect(None, settings)
    make_writable(connection, settings)
    migrate(connection)
    writes = Writes(connection, None, settings.inline_bytes)
    writer = Writer(writes, "memory", answer_at_once, lambda size_bytes: None)

    def close() -> None:
        writer.stop()
        connection.close()

    return Opened("", OpenReport(created=True), writer, None, close)


def _open_on_disk(directory: Path, settings: JournalSettings, stack: ExitStack) -> Opened:
    """`stack` undoes everything, in the order in which a journal closes."""
    if not directory.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_path(directory.parent)
    stack.callback(DirectoryLock(directory).release)
    path, log = directory / DATABASE, check_log(directory)
    created = not path.exists() or not path.stat().st_size
    path.touch(0o600)  # SQLite gives the log the database's mode
    connection = connect(path, settings)
    stack.callback(connection.close)
    check_database(
        connection, path, limit_bytes=settings.check_bytes, thorough=log.tail_bytes > 0 and not log.interrupted
    )
    make_writable(connection, settings)
    had = migrate(connection)
    payloads = PayloadFiles(directory)
    report = OpenReport(
        created=created,
        migrated_from=had if not created and had != VERSION else None,
        cut_bytes=log.tail_bytes,
        cut_what=log.what,
        recovered_bytes=max(log.committed_bytes - HEADER_BYTES, 0),
        payloads_removed=payloads.remove_others({row[0] for row in connection.execute("SELECT digest FROM payloads")}),
    )
    sync_path(directory)  # the names of the database, its log and the payloads' folder
    return _start(directory, connection, payloads, settings, report, stack)


def _start(
    directory: Path,
    connection: sqlite3.Connection,
    payloads: PayloadFiles,
    settings: JournalSettings,
    report: OpenReport,
    stack: ExitStack,
) -> Opened:
    """The threads of a journal that is in order; the writer stops first, since it hands on to the others."""
    path = directory / DATABASE
    journal_id = _journal_id(connection)
    reading = connect(path, settings)
    stack.callback(reading.close)
    reading.execute("PRAGMA query_only = ON")
    checkpointer = Checkpointer(lambda: connect(path, settings), settings.checkpoint_bytes)
    stack.callback(checkpointer.stop)
    syncer = Syncer(directory / WAL, payloads, checkpointer.copy_all)
    stack.callback(syncer.stop)
    writer = Writer(Writes(connection, payloads, settings.inline_bytes), str(path), syncer.submit, checkpointer.wrote)
    stack.callback(writer.stop)
    reader = Reader(Reads(reading, payloads), str(path))
    return Opened(journal_id, report, writer, reader, stack.pop_all().close)


def _journal_id(connection: sqlite3.Connection) -> str:
    row: tuple[Any] = connection.execute("SELECT value FROM meta WHERE name = 'journal_id'").fetchone()
    return str(row[0])
