"""A journal that an older version wrote is brought up to date, with all that it holds."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from envserver.episodes.journal import Journal, JournalUnavailableError, migrations
from envserver.episodes.journal.migrations import VERSION
from tests.unit.journal import rows
from tests.unit.journal.images import opened

VERSION_1 = (Path(__file__).parent / "version_1.sql").read_text()


async def test_a_journal_of_version_1_is_migrated_with_its_content(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.executescript(VERSION_1)
    async with opened(tmp_path, max_age_s=10) as journal:
        assert journal.report.migrated_from == 1
        assert journal.journal_id == "a-journal-of-old"
        episode = await journal.episode("ep_old")
        assert episode is not None
        assert (episode.plan, episode.reward, episode.state) == (b"{}", 0.5, "live")
        (step,) = await journal.steps("ep_old", 1)
        assert (step.result, step.outcome, step.finished_at) == (b"{}", "ok", 3.0)
        await journal.save_episode("ep_old", closed_at=4.0)
        assert (await journal.sweep(now=100.0)).episodes == 1
    async with opened(tmp_path) as journal:
        assert journal.report.migrated_from is None


async def test_a_new_journal_has_the_schema_of_a_migrated_one(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.executescript(VERSION_1)
    for directory in (tmp_path, tmp_path / "new"):
        async with opened(directory):
            pass
    old, new = (_schema(directory / "journal.db") for directory in (tmp_path, tmp_path / "new"))
    assert old == new


def _schema(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, sql FROM sqlite_schema").fetchall())


async def test_a_migration_that_fails_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (done TEXT)")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, fail))
    with pytest.raises(JournalUnavailableError, match="No space"):
        await asyncio.to_thread(Journal.open, tmp_path)
    monkeypatch.undo()
    async with opened(tmp_path) as journal:
        assert await journal.episode("ep_1") == rows.episode()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
        assert connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'half'").fetchone() is None
