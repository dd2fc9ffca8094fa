"""The writer: one thread that puts whatever waits into one transaction, and answers when it is committed.

    event loop ── entries ──▶ writer ── BEGIN, all that waits, COMMIT ──▶ answers ──▶ event loop
                                 │                                                       ▲
                                 └── durable entries ──▶ syncer ── fdatasync ────────────┘

Handing over between threads costs ten times what a commit does, so there are as few hand-overs as can be: one queue
whose `get` sleeps in the kernel, and one `call_soon_threadsafe` a batch. A small entry that finds the writer idle is
committed by the loop itself, in its turn: that takes some 50 µs, and no disk, since a commit leaves its pages to the
operating system. Where that takes long all the same, the disk is busy, and for a while the thread does it all.

Commits are made with `synchronous=NORMAL`: they are in the operating system's hands, which is what survives the
killing of this process. A durable entry is answered after an fdatasync of the write-ahead log as well. That is what
`synchronous=FULL` would do inside of the commit; here another thread does it, so that entries without need of the
disk never wait for it, and all durable entries of the meantime share the next one. The log may have been copied into
the database and begun anew before the sync: SQLite has then synced the database itself.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from envserver import failpoints
from envserver.episodes.journal.faults import is_shared, translate
from envserver.episodes.journal.store import Writes
from envserver.logs import get_logger

log = get_logger(__name__)

MAX_BATCH = 1024
SLOW_S = 0.005
"""A commit by the loop that took longer was held up by the disk;"""
REST_S = 1.0
"""then the loop makes none for so long."""
COMMIT_BYTES = 12 * 1024
"""What one commit adds to the log at least, about: three pages."""


class Entry(NamedTuple):
    """One write: what to do in a transaction, and who waits for it."""

    run: Callable[[Writes], Any]
    future: asyncio.Future[Any]
    durable: bool
    small: bool = False
    """It takes no time worth a hand-over: a few rows, no file."""


class Answer(NamedTuple):
    """What became of an entry."""

    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None = None


Sync = Callable[[list[Answer]], None]
"""Takes over answers that are due when what was committed is on the disk."""


class Writer:
    """Owns the writing connection. `submit` from the loop; all else in the thread."""

    def __init__(self, writes: Writes, where: str, sync: Sync, wrote: Callable[[int], None]) -> None:
        """`wrote` is told about how many bytes each batch added to the log; it and `sync` return at once."""
        self._writes = writes
        self._connection = writes.connection
        self._where = where
        self._sync = sync
        self._wrote = wrote
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._writing = threading.Lock()
        """Held by whoever uses the connection."""
        self._submitted = 0
        """Entries that were ever queued; counted by the loop."""
        self._done = 0
        """Of those, the ones that were written; counted by the thread."""
        self._inline_from = 0.0
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, entry: Entry) -> None:
        if entry.small and not entry.durable and self._submitted == self._done and self._write_here(entry):
            return
        self._submitted += 1
        self._queue.put(entry)

    def _write_here(self, entry: Entry) -> bool:
        """In the loop, if nobody else writes and the disk is quick."""
        began = time.monotonic()
        if began < self._inline_from or not self._writing.acquire(blocking=False):
            return False
        try:
            self._write([entry], _resolve)
        finally:
            self._writing.release()
        now = time.monotonic()
        if now - began > SLOW_S:
            self._inline_from = now + REST_S
        return True

    def stop(self) -> None:
        """Blocks until everything submitted before is committed."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            batch = self._take()
            going = batch[-1] is not None
            entries = [entry for entry in batch if entry is not None]
            if entries:
                with self._writing:
                    self._write(entries, settle)
                self._done += len(entries)

    def _take(self) -> list[Entry | None]:
        """All that waits; None, if there, is the last."""
        batch = [self._queue.get()]
        while batch[-1] is not None and len(batch) < MAX_BATCH:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, entries: list[Entry], answer_now: Callable[[list[Answer]], None]) -> None:
        try:
            answers = self._commit(entries)
        except BaseException as error:
            log.exception("journal_writer_failed")
            answers = [Answer(entry.future, None, error) for entry in entries]
        now, due = list[Answer](), list[Answer]()
        for entry, answer in zip(entries, answers, strict=True):
            (due if entry.durable and answer.error is None else now).append(answer)
        if now:
            answer_now(now)
        if due:
            self._sync(due)
        self._wrote(COMMIT_BYTES + self._writes.bytes_written)
        self._writes.bytes_written = 0

    def _commit(self, entries: list[Entry]) -> list[Answer]:
        try:
            return self._commit_together(entries)
        except Exception as error:
            self._roll_back()
            if not is_shared(error) and len(entries) > 1:
                return self._commit_apart(entries)
            return [Answer(entry.future, None, translate(error, self._where)) for entry in entries]

    def _commit_together(self, entries: list[Entry]) -> list[Answer]:
        execute, writes = self._connection.execute, self._writes
        execute("BEGIN IMMEDIATE")
        failpoints.hit("journal.batch_begun")
        answers = [Answer(entry.future, entry.run(writes)) for entry in entries]
        execute("COMMIT")
        failpoints.hit("journal.committed_before_answer")
        self._settle_payloads(committed=True)
        return answers

    def _commit_apart(self, entries: list[Entry]) -> list[Answer]:
        """Each in a savepoint of its own: the slow way, for a batch of which one entry failed."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            answers = [self._try(entry) for entry in entries]
            self._connection.execute("COMMIT")
        except Exception as error:
            self._roll_back()
            return [Answer(entry.future, None, translate(error, self._where)) for entry in entries]
        self._settle_payloads(committed=True)
        return answers

    def _try(self, entry: Entry) -> Answer:
        """Raises: what fails the whole batch."""
        self._connection.execute("SAVEPOINT entry")
        try:
            result = entry.run(self._writes)
        except Exception as error:
            if is_shared(error):
                raise
            self._connection.execute("ROLLBACK TO entry")
            self._settle_payloads(committed=False)
            answer = Answer(entry.future, None, translate(error, self._where))
        else:
            answer = Answer(entry.future, result)
        self._connection.execute("RELEASE entry")
        return answer

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:  # SQLite rolls back on its own for some errors
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            log.exception("journal_not_rolled_back")
        self._settle_payloads(committed=False)

    def _settle_payloads(self, *, committed: bool) -> None:
        if self._writes.payloads is not None:
            self._writes.payloads.settle(committed=committed)


def settle(answers: list[Answer]) -> None:
    """Give answers to the loop. From any thread; a loop that is gone waits for none."""
    try:
        answers[0].future.get_loop().call_soon_threadsafe(_resolve, answers)
    except RuntimeError:  # the loop is closed
        log.warning("journal_answers_unclaimed", answers=len(answers))


def _resolve(answers: list[Answer]) -> None:
    for future, result, error in answers:
        if future.done():  # whoever waited was cancelled
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
