"""One journal, one server: a lock that the kernel takes back when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from envserver.episodes.journal.errors import JournalLockedError, JournalUnavailableError

LOCK = "journal.lock"


class DirectoryLock:
    """Held from its making until `release`. A second one fails, in this process as in another."""

    def __init__(self, directory: Path) -> None:
        """Raises: JournalLockedError, JournalUnavailableError."""
        path = directory / LOCK
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalUnavailableError(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise JournalLockedError(
                f"{directory}: the server with process id {holder or 'unknown'} has this journal open; "
                "give each server a directory of its own"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Once. The file stays: removing it would let two servers lock two files of one name."""
        os.close(self._file)
