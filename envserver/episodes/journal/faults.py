"""From SQLite's and the system's errors to the journal's own: the one place where they are told apart."""

from __future__ import annotations

import errno
import sqlite3

from envserver.episodes.journal.errors import (
    JournalConflictError,
    JournalCorruptError,
    JournalUnavailableError,
)

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNAVAILABLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
}


def _code(error: BaseException) -> int | None:
    """SQLite's primary result code."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_shared(error: BaseException) -> bool:
    """Whether it says something of the disk or the database, and so of every entry of a batch."""
    return isinstance(error, OSError) or _code(error) in _DAMAGE | _UNAVAILABLE


def translate(error: BaseException, where: str) -> BaseException:
    """A new error of the journal's family, with `error` as its cause; another kind of error comes back itself."""
    translated = _translate(error, where)
    if translated is not error:
        translated.__cause__ = error
    return translated


def _translate(error: BaseException, where: str) -> BaseException:
    if isinstance(error, OSError):
        what = error.strerror or errno.errorcode.get(error.errno or 0, str(error))
        return JournalUnavailableError(f"{where}: {what}")
    if _code(error) in _DAMAGE:
        return JournalCorruptError(f"{where}: {error}. Stop the server and move the journal's directory away")
    if _code(error) in _UNAVAILABLE:
        return JournalUnavailableError(f"{where}: {error}")
    if isinstance(error, sqlite3.IntegrityError):
        return JournalConflictError(f"{where}: {error}")
    return error
