"""Connections to one journal's database, all set up alike."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from envserver.episodes.journal.settings import KIB, JournalSettings
from envserver.episodes.journal.wal import FRAME_HEADER_BYTES, HEADER_BYTES

DATABASE = "journal.db"
WAL = DATABASE + "-wal"
INDEX = DATABASE + "-shm"
"""Of the log; it holds nothing that the log does not."""
PAGE_BYTES = 4096
CACHE_BYTES = 16 * 1024 * KIB


def connect(path: Path | None, settings: JournalSettings) -> sqlite3.Connection:
    """A connection in autocommit mode; without a path to a database in memory. Raises: sqlite3.Error."""
    connection = sqlite3.connect(
        path or ":memory:",
        timeout=settings.busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,  # each is used by one thread at a time, and closed by another
        cached_statements=256,
    )
    for pragma in (
        f"cache_size = -{CACHE_BYTES // KIB}",
        "temp_store = MEMORY",
        "secure_delete = FAST",
        "cell_size_check = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def make_writable(connection: sqlite3.Connection, settings: JournalSettings) -> None:
    """What the writing connection needs. Raises: sqlite3.Error."""
    frame_bytes = FRAME_HEADER_BYTES + PAGE_BYTES
    frames = max(settings.wal_bytes // frame_bytes, 1)
    for pragma in (
        "auto_vacuum = INCREMENTAL",  # acts on a new database alone, and only before its first page is written
        "journal_mode = WAL",
        "synchronous = NORMAL",  # see writer.py
        f"wal_autocheckpoint = {frames}",
        # Whole frames, so that an old one that was cut short is never taken for a torn one of now.
        f"journal_size_limit = {HEADER_BYTES + frames * frame_bytes}",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchone()
