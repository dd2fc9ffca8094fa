"""The durable record of episodes and steps: what a server that was killed leaves to its successor.

`Journal` (journal.py) is its face. Behind it: the rows (rows.py) stand in SQLite as tables.py says; store.py holds the
statements, writer.py the thread that runs them in batches, background.py what happens beside it. Large values are
files (payloads.py), named by their content. opening.py takes the lock, looks for damage and brings an older database
up to date (migrations.py); retention.py keeps the whole within bounds.
"""

from envserver.episodes.journal.errors import (
    JournalConflictError,
    JournalCorruptError,
    JournalError,
    JournalLockedError,
    JournalMissingError,
    JournalUnavailableError,
    JournalVersionError,
)
from envserver.episodes.journal.journal import Journal
from envserver.episodes.journal.retention import Sweep
from envserver.episodes.journal.settings import JournalSettings, OpenReport

__all__ = [
    "Journal",
    "JournalConflictError",
    "JournalCorruptError",
    "JournalError",
    "JournalLockedError",
    "JournalMissingError",
    "JournalSettings",
    "JournalUnavailableError",
    "JournalVersionError",
    "OpenReport",
    "Sweep",
]
