"""The journal's SQL, synchronous: what each write does in the transaction that it finds itself in, and each read.

A write is run again from its beginning when another one of its batch failed, so it keeps nothing in Python between
runs. Payload files that it wrote the first time are found by their names the second time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from envserver.episodes.journal.errors import JournalMissingError
from envserver.episodes.journal.payloads import PayloadFiles
from envserver.episodes.journal.rows import CallRow, CheckpointRow, EpisodeRow, GenerationRow, GroupRow, StepRow
from envserver.episodes.journal.sealing import digest_of, seal_filed, seal_inline
from envserver.episodes.journal.tables import (
    CALLS,
    CHECKPOINTS,
    EPISODES,
    GENERATIONS,
    GROUPS,
    POSITION,
    STEPS,
    Table,
    update_of,
)

R = TypeVar("R")

StepKey = tuple[str, int, int]


class Writes:
    """Over the writer's connection; the writer's thread alone."""

    def __init__(self, connection: sqlite3.Connection, payloads: PayloadFiles | None, inline_bytes: int) -> None:
        self.connection = connection
        self.payloads = payloads
        self.bytes_written = 0
        """Of sealed values, since it was last set to 0."""
        self._inline_bytes = inline_bytes

    def add_episodes(
        self, rows: Sequence[EpisodeRow], generations: Sequence[GenerationRow], group: GroupRow | None
    ) -> None:
        if group is not None:
            self._insert(GROUPS, group)
        for row in rows:
            self._insert(EPISODES, row)
        for generation in generations:
            self._insert(GENERATIONS, generation)

    def save_episode(self, episode_id: str, changes: Mapping[str, Any]) -> None:
        """Raises: JournalMissingError."""
        if changes.get("closed_at") is not None:
            self._keep_ending(episode_id)
        self._update(EPISODES, (episode_id,), changes)

    def _keep_ending(self, episode_id: str, replaced_by: int | None = None) -> None:
        """What the episode's row says of its current generation's end stays with that, as its bytes are."""
        self.connection.execute(
            "UPDATE generations SET (grade, ended) = (SELECT grade, reason FROM episodes WHERE episode_id = ?1) "
            "WHERE episode_id = ?1 AND generation = (SELECT generation FROM episodes WHERE episode_id = ?1) "
            "AND (?2 IS NULL OR generation < ?2)",
            (episode_id, replaced_by),
        )

    def begin_generation(self, row: GenerationRow, changes: Mapping[str, Any]) -> None:
        self._keep_ending(row.episode_id, row.generation)
        self._execute(GENERATIONS, GENERATIONS.upsert, row)
        self._update(EPISODES, (row.episode_id,), changes)

    def intend_step(self, row: StepRow) -> None:
        self._insert(STEPS, row)
        updated = self.connection.execute(
            "UPDATE episodes SET series = max(series, ?) WHERE episode_id = ?", (row.series, row.episode_id)
        )
        if not updated.rowcount:
            raise JournalMissingError(f"the journal has no episode {row.episode_id}")

    def finish_step(self, key: StepKey, members: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        self._update(STEPS, key, members)
        self._update(EPISODES, key[:1], changes)

    def forget_step(self, key: StepKey) -> None:
        self.connection.execute(f"DELETE FROM steps WHERE {STEPS.where_key} AND result IS NULL", key)

    def drop_steps(self, episode_id: str, generation: int, before: int) -> None:
        self.connection.execute(
            "DELETE FROM steps WHERE episode_id = ? AND (generation < ? OR (generation = ? AND step_index < ?))",
            (episode_id, generation, generation, before),
        )

    def add_checkpoint(self, row: CheckpointRow) -> None:
        self._insert(CHECKPOINTS, row)

    def forget_checkpoint(self, checkpoint_id: str) -> None:
        self.connection.execute("DELETE FROM checkpoints WHERE checkpoint_id = ?", (checkpoint_id,))

    def delete_checkpoint(self, checkpoint_id: str, deleted_at: float) -> None:
        updated = self.connection.execute(
            "UPDATE checkpoints SET deleted_at = coalesce(deleted_at, ?) WHERE checkpoint_id = ?",
            (deleted_at, checkpoint_id),
        )
        if not updated.rowcount:
            raise JournalMissingError(f"the journal has no checkpoint {checkpoint_id}")

    def save_group(self, group_id: str, changes: Mapping[str, Any]) -> None:
        self._update(GROUPS, (group_id,), changes)

    def save_call(self, row: CallRow) -> None:
        self._execute(CALLS, CALLS.upsert, row)

    def _insert(self, table: Table[R], row: R) -> None:
        self._execute(table, table.insert, row)

    def _execute(self, table: Table[R], statement: str, row: R) -> None:
        self.connection.execute(statement, table.encode(row, self._seal, self._seal_large))

    def _update(self, table: Table[Any], key: Sequence[Any], changes: Mapping[str, Any]) -> None:
        if not changes:
            return
        values = [table.encode_member(column, value, self._seal, self._seal_large) for column, value in changes.items()]
        statement = update_of(table.name, tuple(changes), table.where_key)
        if not self.connection.execute(statement, (*values, *key)).rowcount:
            raise JournalMissingError(f"the journal has no row {', '.join(map(str, key))} in {table.name}")

    def _seal(self, data: bytes) -> bytes:
        self.bytes_written += len(data)
        return seal_inline(data)

    def _seal_large(self, data: bytes) -> bytes:
        if self.payloads is None or len(data) <= self._inline_bytes:
            return self._seal(data)
        digest = digest_of(data)
        added = self.connection.execute(
            "INSERT INTO payloads (digest, bytes, refs) VALUES (?, ?, 0) ON CONFLICT DO NOTHING", (digest, len(data))
        )
        if added.rowcount:  # else its file is there: it goes only after its row
            self.payloads.write(digest, data)
        return seal_filed(digest, len(data))


class Reads:
    """Over any connection, one thread at a time. Raises everywhere: JournalCorruptError, FileNotFoundError."""

    def __init__(self, connection: sqlite3.Connection, payloads: PayloadFiles | None) -> None:
        self.connection = connection
        self._payloads = payloads

    def rows(self, table: Table[R], rest: str = "", values: Sequence[Any] = ()) -> list[R]:
        """Rows of one table; `rest` is what comes behind FROM."""
        records = self.connection.execute(f"{table.select} {rest}", values).fetchall()
        return [table.decode(record, self._load) for record in records]

    def row(self, table: Table[R], *key: Any) -> R | None:
        found = self.rows(table, f"WHERE {table.where_key}", key)
        return found[0] if found else None

    def closed_episodes(self, limit: int) -> list[EpisodeRow]:
        rest = "WHERE closed_at IS NOT NULL ORDER BY closed_at DESC, position DESC LIMIT ?"
        return self.rows(EPISODES, rest, (limit,))[::-1]

    def steps(self, episode_id: str, generation: int, first: int, last: int | None) -> list[StepRow]:
        rest = "WHERE episode_id = ? AND generation = ? AND step_index BETWEEN ? AND ? ORDER BY step_index"
        return self.rows(STEPS, rest, (episode_id, generation, first, 2**62 if last is None else last))

    def running_steps(self) -> list[StepRow]:
        rest = (
            "JOIN episodes USING (episode_id, generation) WHERE episodes.closed_at IS NULL AND steps.result IS NULL "
            "ORDER BY steps.begun_at, steps.rowid"
        )
        return self.rows(STEPS, rest)

    def select(
        self, table: Table[R], conditions: Mapping[str, Any], after: int | None, limit: int | None, also: str = "1"
    ) -> list[R]:
        """Rows in the order of their creation. A condition is what comes before its value; None values are none."""
        given = {condition: value for condition, value in conditions.items() if value is not None}
        where = " AND ".join([also, f"{table.name}.{POSITION} > ?", *(f"{condition} ?" for condition in given)])
        rest = f"WHERE {where} ORDER BY {table.name}.{POSITION} LIMIT ?"
        return self.rows(table, rest, (after or 0, *given.values(), -1 if limit is None else limit))

    def _load(self, digest: bytes) -> bytes:
        if self._payloads is None:
            raise FileNotFoundError(digest.hex())
        return self._payloads.read(digest)
