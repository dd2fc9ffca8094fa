"""What happens beside the writer: syncs for durable entries, and copying the write-ahead log into the database."""

from __future__ import annotations

import errno
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from envserver import failpoints
from envserver.episodes.journal.faults import translate
from envserver.episodes.journal.payloads import PayloadFiles
from envserver.episodes.journal.writer import Answer, settle
from envserver.logs import get_logger

log = get_logger(__name__)


class Syncer:
    """Answers durable entries when the log is on the disk, as many at a time as wait.

    Payload files of every commit before are synced first, so that no row is on the disk before what it refers to.
    """

    def __init__(self, wal: Path, payloads: PayloadFiles, copy_all: Callable[[], None]) -> None:
        """`copy_all` puts the whole log into the database and syncs that. Raises: OSError."""
        self._where = str(wal)
        self._wal = os.open(wal, os.O_RDONLY | os.O_CLOEXEC)
        self._payloads = payloads
        self._copy_all = copy_all
        self._doubtful = False
        """A sync failed. The kernel may then have dropped pages and call the next sync a success without them."""
        self._owed: set[bytes] = set()
        self._queue: queue.SimpleQueue[tuple[list[Answer], set[bytes]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-syncer", daemon=True)
        self._thread.start()

    def submit(self, answers: list[Answer]) -> None:
        """From the writer's thread, when they are committed."""
        self._queue.put((answers, self._payloads.take_unsynced()))

    def stop(self) -> None:
        """Blocks until everything submitted is answered."""
        self._queue.put(None)
        self._thread.join()
        os.close(self._wal)

    def _run(self) -> None:
        going = True
        while going:
            batch = [self._queue.get()]
            while batch[-1] is not None and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            going = batch[-1] is not None
            answers: list[Answer] = []
            for item in batch:
                if item is not None:
                    answers += item[0]
                    self._owed |= item[1]
            if answers:
                settle(self._sync(answers))

    def _sync(self, answers: list[Answer]) -> list[Answer]:
        try:
            if self._doubtful:
                self._payloads.write_again(self._owed)
                self._copy_all()
            self._doubtful = True
            self._payloads.sync(self._owed)
            self._owed.clear()
            os.fdatasync(self._wal)
            self._doubtful = False
        except (OSError, sqlite3.Error) as error:
            log.error("journal_not_synced", error=str(error))  # noqa: TRY400
            return [Answer(answer.future, None, translate(error, self._where)) for answer in answers]
        return answers


class Checkpointer:
    """Copies the log into the database once enough was written, on a connection of its own.

    A PASSIVE checkpoint holds up neither the writer nor readers. Under a load without pause it never catches up with
    the writer, whose own connection then finishes the little that is left (`wal_autocheckpoint`), after which SQLite
    begins the log anew: that is what bounds its size.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], every_bytes: int) -> None:
        self._connection = connect()
        self._every_bytes = every_bytes
        self._written = 0
        self._busy = False
        self._queue: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-checkpointer", daemon=True)
        self._thread.start()

    def wrote(self, size_bytes: int) -> None:
        """From the writer's thread, after each batch."""
        self._written += size_bytes
        if self._written >= self._every_bytes and not self._busy:
            self._written, self._busy = 0, True
            self._queue.put(True)

    def copy_all(self) -> None:
        """Copy the whole log and sync the database, waiting for the writer. Raises: sqlite3.Error, OSError."""
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy:
            raise OSError(errno.EBUSY, "the log could not be copied after a sync of it failed")

    def stop(self) -> None:
        self._queue.put(False)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while self._queue.get():
            try:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                failpoints.hit("journal.checkpointed")
            except (sqlite3.Error, OSError) as error:  # the log keeps everything; the next one tries again
                log.warning("journal_not_checkpointed", error=str(error))
            self._written = 0  # leaves the writer time to copy the rest: two cannot at once
            self._busy = False


def answer_at_once(answers: Iterable[Answer]) -> None:
    """In the syncer's place where there is no disk."""
    settle(list(answers))
