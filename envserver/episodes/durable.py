"""Where the journal's errors become the callers' problems."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from envserver.episodes.journal.errors import JournalError, JournalMissingError
from envserver.logs import get_logger
from envserver_sdk.errors import InfraError

T = TypeVar("T")

log = get_logger(__name__)


async def written(writing: Awaitable[T]) -> T:
    """Raises: InfraError when the journal cannot be written or read."""
    try:
        return await writing
    except JournalError as error:
        log.error("journal_failed", error=repr(error)[:500])  # noqa: TRY400
        raise InfraError("the journal cannot be written or read") from error


async def written_if_known(writing: Awaitable[None]) -> None:
    """The same; what the journal has no row of needs no change there."""
    try:
        await written(writing)
    except InfraError as problem:
        if not isinstance(problem.__cause__, JournalMissingError):
            raise
