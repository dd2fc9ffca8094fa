"""Opening journals from tests, and pictures of their directories as a kill would leave them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
