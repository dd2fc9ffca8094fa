"""Opening journals from tests, and pictures of their directories as a kill would leave them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from envserver.episodes.journal import Journal, JournalSettings


@asynccontextmanager
async def opened(directory: Path | None, **settings: Any) -> AsyncIterator[Journal]:
    """A journal, closed at the end."""
    journal = await asyncio.to_thread(Journal.open, directory, JournalSettings(**settings))
    try:
        yield journal
    finally:
        await journal.close()


def picture(directory: Path, target: Path) -> Path:
    """A copy of a directory, as it is now, while its journal is open and has nothing to do."""
    return Path(shutil.copytree(directory, target))


def payload_names(directory: Path) -> set[str]:
    return {path.name for path in (directory / "payloads").rglob("*/*")}


def assert_nothing_is_left_over(directory: Path) -> None:
    """Every row belongs to an episode, every payload to a row, and every file to a payload."""
    with closing(sqlite3.connect(directory / "journal.db")) as connection:
        for table in ("steps", "generations"):
            orphans = f"SELECT count(*) FROM {table} WHERE episode_id NOT IN (SELECT episode_id FROM episodes)"
            assert connection.execute(orphans).fetchone()[0] == 0, table
        assert connection.execute("SELECT count(*) FROM removals").fetchone()[0] == 0
        counted = dict(connection.execute("SELECT digest, refs FROM payloads").fetchall())
        references: dict[bytes, int] = {}
        for table, column in (("steps", "action"), ("steps", "result"), ("episodes", "grade")):
            named = f"SELECT substr({column}, 2, 32) FROM {table} WHERE substr({column}, 1, 1) = x'01'"
            for (digest,) in connection.execute(named):
                references[digest] = references.get(digest, 0) + 1
    assert counted == references
    assert payload_names(directory) == {digest.hex() for digest in counted}
