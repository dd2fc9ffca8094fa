"""What a journal raises. An entry that fails has changed nothing."""

from __future__ import annotations

from envserver.errors import EnvserverError


class JournalError(EnvserverError):
    """Base of the journal's errors."""


class JournalLockedError(JournalError):
    """Another server, or another journal of this one, has the directory open."""


class JournalVersionError(JournalError):
    """A newer version of envserver wrote it."""


class JournalCorruptError(JournalError):
    """What was read is not what was written; the message says what is damaged and what an operator can do."""


class JournalUnavailableError(JournalError):
    """The disk is full or does not answer, or the journal is closed; later writes may work again.

    A durable write that fails so may have been committed all the same, and only not been synced.
    """


class JournalConflictError(JournalError):
    """There is a row of that name already."""


class JournalMissingError(JournalError):
    """There is no row of that name."""
