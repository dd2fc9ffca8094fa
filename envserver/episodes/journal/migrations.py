"""The schema, as the changes that made it: `PRAGMA user_version` counts those that a database has had.

A migration that was released never changes; a new one is added behind it. Each runs in one transaction with the
count, so that a kill between two leaves a database of the earlier version.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable

from envserver.episodes.journal.errors import JournalVersionError

_TABLES_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE episodes (
    position INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice: a cursor stays right when rows are removed
    episode_id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL, created_at REAL NOT NULL, environment TEXT NOT NULL, task_set TEXT NOT NULL,
    task TEXT NOT NULL, plan BLOB NOT NULL, metadata BLOB NOT NULL, group_id TEXT, parent_checkpoint TEXT,
    call_key TEXT, state TEXT NOT NULL, reason TEXT, generation INTEGER NOT NULL, step_index INTEGER NOT NULL,
    steps_taken INTEGER NOT NULL, reward REAL NOT NULL, sandbox_id TEXT, image TEXT, series INTEGER NOT NULL,
    snapshot BLOB NOT NULL, clock BLOB NOT NULL, grade BLOB, closed_at REAL
);
CREATE INDEX episodes_open ON episodes (position) WHERE closed_at IS NULL;
CREATE INDEX episodes_closed ON episodes (closed_at, position) WHERE closed_at IS NOT NULL;
CREATE INDEX episodes_group ON episodes (group_id) WHERE group_id IS NOT NULL;

CREATE TABLE generations (
    episode_id TEXT NOT NULL, generation INTEGER NOT NULL, origin TEXT NOT NULL, seed INTEGER NOT NULL,
    options BLOB NOT NULL, begun_at REAL NOT NULL, first_index INTEGER NOT NULL, checkpoint_id TEXT,
    parent_episode TEXT, parent_generation INTEGER, started BLOB, call_key TEXT,
    PRIMARY KEY (episode_id, generation)
);
CREATE INDEX generations_parent ON generations (parent_episode) WHERE parent_episode IS NOT NULL;

CREATE TABLE steps (
    episode_id TEXT NOT NULL, generation INTEGER NOT NULL, step_index INTEGER NOT NULL, action BLOB NOT NULL,
    fingerprint BLOB NOT NULL, metadata BLOB NOT NULL, timeout_s REAL NOT NULL, series INTEGER NOT NULL,
    usage BLOB NOT NULL, begun_at REAL NOT NULL, result BLOB, outcome TEXT, reward REAL, finished_at REAL,
    PRIMARY KEY (episode_id, generation, step_index)
);

CREATE TABLE checkpoints (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    checkpoint_id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL, episode_id TEXT NOT NULL, generation INTEGER NOT NULL, step_index INTEGER NOT NULL,
    kind TEXT NOT NULL, label TEXT, automatic INTEGER NOT NULL, runtime_id TEXT, created_at REAL NOT NULL,
    bytes INTEGER NOT NULL, pause_ms REAL NOT NULL, state BLOB NOT NULL, call_key TEXT, deleted_at REAL
);
CREATE INDEX checkpoints_episode ON checkpoints (episode_id);

CREATE TABLE groups (
    group_id TEXT PRIMARY KEY, owner TEXT NOT NULL, created_at REAL NOT NULL, size INTEGER NOT NULL,
    settings BLOB NOT NULL, started BLOB, call_key TEXT, closed_at REAL
);

CREATE TABLE calls (
    call_key TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, effect BLOB, status INTEGER, body BLOB,
    created_at REAL NOT NULL
);
CREATE INDEX calls_age ON calls (created_at);

CREATE TABLE payloads (digest BLOB PRIMARY KEY, bytes INTEGER NOT NULL, refs INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX payloads_unused ON payloads (digest) WHERE refs = 0;
"""

_FILED_1 = (
    ("episodes", "grade"),
    ("generations", "started"),
    ("steps", "action"),
    ("steps", "result"),
    ("checkpoints", "state"),
    ("groups", "started"),
    ("calls", "body"),
)


def _triggers(table: str, column: str) -> str:
    """Triggers that count the references to payloads, so that no statement can forget to.

    A value that begins with 1 is the name of a payload: see sealing.py.
    """

    def filed(row: str) -> str:
        return f"substr({row}.{column}, 1, 1) = x'01'"

    def count(row: str, change: str) -> str:
        return (
            f"UPDATE payloads SET refs = refs {change} WHERE {filed(row)} AND digest = substr({row}.{column}, 2, 32);"
        )

    name = f"payloads_{table}_{column}"
    return f"""
CREATE TRIGGER {name}_added AFTER INSERT ON {table} WHEN {filed("new")}
BEGIN {count("new", "+ 1")} END;
CREATE TRIGGER {name}_changed AFTER UPDATE OF {column} ON {table} WHEN {filed("new")} OR {filed("old")}
BEGIN {count("new", "+ 1")} {count("old", "- 1")} END;
CREATE TRIGGER {name}_removed AFTER DELETE ON {table} WHEN {filed("old")}
BEGIN {count("old", "- 1")} END;
"""


def _create(connection: sqlite3.Connection) -> None:
    _run_script(connection, _TABLES_1 + "".join(_triggers(table, column) for table, column in _FILED_1))
    connection.execute("INSERT INTO meta VALUES ('journal_id', ?)", (str(uuid.uuid4()),))


def _remember_removals(connection: sqlite3.Connection) -> None:
    """An episode is removed in slices: its row first, under whose name then the rest is found."""
    connection.execute("CREATE TABLE removals (episode_id TEXT PRIMARY KEY) WITHOUT ROWID")


def _find_forks(connection: sqlite3.Connection) -> None:
    """A sweep asks for the forks of a checkpoint, also of those that have not begun."""
    connection.execute(
        "CREATE INDEX episodes_parent ON episodes (parent_checkpoint) WHERE parent_checkpoint IS NOT NULL"
    )


def _keep_endings(connection: sqlite3.Connection) -> None:
    """A generation that was replaced keeps its grade, and a closed episode the reason of its end."""
    connection.execute("ALTER TABLE generations ADD COLUMN grade BLOB")
    connection.execute("ALTER TABLE generations ADD COLUMN ended TEXT")
    _run_script(connection, _triggers("generations", "grade"))


def _age_calls_steadily(connection: sqlite3.Connection) -> None:
    """An answer's age is measured by a clock that nobody can set; those of before have the wall clock's only."""
    connection.execute("ALTER TABLE calls DROP COLUMN effect")
    connection.execute("ALTER TABLE calls ADD COLUMN boot TEXT NOT NULL DEFAULT ''")
    connection.execute("ALTER TABLE calls ADD COLUMN steady_at REAL NOT NULL DEFAULT 0")
    connection.execute("CREATE INDEX calls_steady ON calls (boot, steady_at)")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _create,
    _remember_removals,
    _find_forks,
    _keep_endings,
    _age_calls_steadily,
)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> int:
    """Bring a database to this version; the version that it had. Raises: JournalVersionError, sqlite3.Error."""
    had: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if had > VERSION:
        raise JournalVersionError(
            f"the journal has version {had} and this envserver knows {VERSION}: start the newer envserver that wrote "
            "it, or move the journal's directory away"
        )
    for version, change in enumerate(MIGRATIONS[had:], had + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            change(connection)
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    return had


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Each statement of a script; `executescript` would commit the transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    assert not statement.strip(), statement
