"""The audit log: who did what, one JSON object a line, each holding the hash of the line before.

Calls hand a record over and go on; one thread numbers, chains and writes what came within `BATCH_S` and
syncs it, so that a crash loses at most that. What is recorded are names: ids, paths, codes; never an action's
content, a key, or a file's bytes. Steps are counted in the record of their episode's end.

The chain shows any change before its end; what is cut from the end is shown by the head, a file beside the
log that holds the last record's number and hash. Who can write both can forge both: ship the log elsewhere, or
compare it with the heads in the server's own log.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import queue
import threading
import time
from pathlib import Path
from typing import Any

from envserver.access.tenants import Bucket
from envserver.logs import get_logger

log = get_logger(__name__)

BATCH_S = 0.05
RETRY_S = 1.0
MAX_WAITING = 100_000
"""Records that wait for a disk that does not take them; further ones are counted and left out."""
MAX_REFUSALS, REFUSALS_PERIOD_S = 600.0, 60.0
"""Refused requests need no key: so many a minute are recorded each, and the others counted."""
MAX_VALUE_CHARACTERS = 512
MAX_LINE_BYTES = 64 * 1024
NO_HASH = "0" * 64
HEAD_BYTES = 128


class AuditError(Exception):
    """The log cannot be written or go on."""


def head_path(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def hash_line(line: bytes) -> str:
    """Of a record's line without its end."""
    return hashlib.sha256(line).hexdigest()


class AuditLog:
    """Writes to `path`; without one it does nothing. Any thread may record."""

    def __init__(self, path: Path | None) -> None:
        """Raises: AuditError when the file cannot be written, or another server writes it."""
        self._path = path
        self._waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._refusals = Bucket(MAX_REFUSALS, REFUSALS_PERIOD_S)
        self._omitted = 0
        self._chain: _Chain | None = None
        self._thread: threading.Thread | None = None
        if path is not None:
            self._chain = _Chain(path)
            self._thread = threading.Thread(target=self._run, args=(self._chain,), name="audit", daemon=True)
            self._thread.start()

    def record(self, event: str, **members: Any) -> None:
        """Members that are None are left out."""
        if self._chain is None:
            return
        if self._waiting.qsize() >= MAX_WAITING:
            self._omitted += 1
            return
        given = {name: _short(value) for name, value in members.items() if value is not None}
        if self._omitted:
            given["omitted_before"], self._omitted = self._omitted, 0
        self._waiting.put({"time": round(time.time(), 6), "event": event, **given})

    def refuse(self, **members: Any) -> None:
        """Record a refused request, if there are not too many of them."""
        if self._refusals.wait_s(1.0) > 0:
            self._omitted += 1
            return
        self._refusals.take(1.0)
        self.record("refused", **members)

    def close(self) -> None:
        """Write what waits. Blocks until it is written; idempotent."""
        if self._thread is None or self._chain is None:
            return
        self._waiting.put(None)
        self._thread.join()
        self._chain.close()
        self._thread = self._chain = None

    def _run(self, chain: _Chain) -> None:
        going = True
        while going:
            batch = [self._waiting.get()]
            if batch[0] is not None:
                time.sleep(BATCH_S)
            while not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            going = None not in batch
            records = [record for record in batch if record is not None]
            while records and not chain.append(records) and going:
                time.sleep(RETRY_S)


class _Chain:
    """The open file and where its chain stands. One thread at a time."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.open(path, flags, 0o600)
            self._head = os.open(head_path(path), flags & ~os.O_APPEND, 0o600)
        except OSError as error:
            raise AuditError(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AuditError(f"{path}: another server writes it") from None
        self._sequence, self._previous, torn = _find_end(self._file, path)
        if torn:
            os.write(self._file, b"\n")
            log.error("audit_torn", path=str(path), bytes=len(torn))
            self.append(
                [{"time": time.time(), "event": "resumed", "torn_bytes": len(torn), "torn_sha256": hash_line(torn)}]
            )
        log.info("audit_opened", sequence=self._sequence, hash=self._previous)

    def append(self, records: list[dict[str, Any]]) -> bool:
        """Whether they are on the disk; if not, nothing of them is."""
        sequence, previous, lines = self._sequence, self._previous, []
        for record in records:
            sequence += 1
            line = json.dumps({"seq": sequence, **record, "previous": previous}, separators=(",", ":")).encode()
            previous = hash_line(line)
            lines.append(line + b"\n")
        size = os.fstat(self._file).st_size
        try:
            _write_all(self._file, b"".join(lines))
            os.fdatasync(self._file)
            self._sequence, self._previous = sequence, previous
            os.pwrite(self._head, f"{sequence} {previous}".ljust(HEAD_BYTES - 1).encode() + b"\n", 0)
        except OSError as error:
            log.error("audit_not_written", records=len(records), error=error.strerror)  # noqa: TRY400
            if self._sequence != sequence:
                os.ftruncate(self._file, size)
            return self._sequence == sequence
        return True

    def close(self) -> None:
        log.info("audit_closed", sequence=self._sequence, hash=self._previous)
        os.close(self._file)
        os.close(self._head)


def _find_end(file: int, path: Path) -> tuple[int, str, bytes]:
    """Number and hash of the last whole record, and what a crash left behind it."""
    size = os.fstat(file).st_size
    tail = os.pread(file, 2 * MAX_LINE_BYTES, max(0, size - 2 * MAX_LINE_BYTES))
    whole, _, torn = tail.rpartition(b"\n")
    if not whole:
        if size > len(torn):
            raise AuditError(f"{path}: its end is no audit log")
        return 0, NO_HASH, torn
    last = whole.rpartition(b"\n")[2]
    try:
        return int(json.loads(last)["seq"]), hash_line(last), torn
    except (ValueError, KeyError, TypeError):
        raise AuditError(f"{path}: its last record cannot be read; verify the log, and move it away") from None


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _short(value: Any) -> Any:
    return value[:MAX_VALUE_CHARACTERS] if isinstance(value, str) else value
