"""Reads what a stopped server's journal has, for the history."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from envserver.episodes.journal.connections import DATABASE
from envserver.episodes.journal.payloads import PayloadFiles
from envserver.episodes.journal.store import Reads
from envserver.episodes.journal.tables import CHECKPOINTS, EPISODES, GENERATIONS, STEPS
from tests.chaos.history import Ended, Final, Kept, SavedState, World


def read_journal(directory: Path, final: Final) -> None:
    """Raises: JournalCorruptError, sqlite3.Error."""
    with sqlite3.connect(directory / DATABASE) as connection:
        reads = Reads(connection, PayloadFiles(directory))
        checkpoints = reads.rows(CHECKPOINTS)
        kinds = {row.checkpoint_id: row.kind for row in checkpoints}
        final.checkpoints = [
            SavedState(
                row.checkpoint_id, row.episode_id, row.kind, row.automatic, row.call_key or "",
                row.deleted_at is not None,
            )
            for row in checkpoints
        ]  # fmt: skip
        final.worlds = [
            World(
                row.episode_id, row.generation, row.origin, row.first_index,
                (row.parent_episode, row.parent_generation or 0) if row.parent_episode else None,
                kinds.get(row.checkpoint_id or "", "") or ("unknown" if row.checkpoint_id else ""),
                row.call_key or "",
            )
            for row in reads.rows(GENERATIONS)
            if row.started is not None
        ]  # fmt: skip
        final.steps = [
            Kept(
                row.episode_id, row.generation, row.step_index, row.action.decode(),
                None if row.result is None else row.result.decode("latin-1"),
            )
            for row in reads.rows(STEPS)
        ]  # fmt: skip
        final.episodes = [
            Ended(
                row.episode_id, row.state, row.reason or "", row.closed_at is not None, row.call_key or "",
                row.group_id or "", row.generation, row.step_index, row.reward,
                row.grade.decode() if row.grade else None,
            )
            for row in reads.rows(EPISODES)
        ]  # fmt: skip
    connection.close()
