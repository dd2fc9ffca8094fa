"""The journal's face: what the episodes of one event loop write and read.

Each write returns when it is committed, which survives the killing of this process; a durable one when it is also on
the disk, which survives the loss of power. Writes take effect in the order in which they were asked for. A caller
that is cancelled while it waits has written all the same. Reads see everything that was committed before them.

Every write raises JournalUnavailableError when the disk takes nothing or the journal is closed, and has then left
the row as it was; every read raises JournalCorruptError for what is damaged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from envserver.episodes.journal.errors import JournalUnavailableError
from envserver.episodes.journal.opening import Opened, open_journal
from envserver.episodes.journal.retention import Sweep, sweep
from envserver.episodes.journal.rows import CallRow, CheckpointRow, EpisodeRow, GenerationRow, GroupRow, StepRow
from envserver.episodes.journal.settings import JournalSettings
from envserver.episodes.journal.store import Reads, StepKey, Writes
from envserver.episodes.journal.tables import (
    CALLS,
    CHECKPOINTS,
    EPISODE_CHANGES,
    EPISODES,
    GENERATIONS,
    GROUP_CHANGES,
    GROUPS,
    check_changes,
)
from envserver.episodes.journal.writer import Entry

T = TypeVar("T")


class Journal:
    """Belongs to one event loop."""

    def __init__(self, opened: Opened, settings: JournalSettings) -> None:
        """Use `open`."""
        self.journal_id = opened.journal_id
        """Of the directory, for ever; empty for a journal in memory."""
        self.report = opened.report
        self.settings = settings
        self._opened = opened
        self._closing: asyncio.Task[None] | None = None
        self._reader = None if opened.reads is None else ThreadPoolExecutor(1, "journal-reader")

    @classmethod
    def open(cls, directory: Path | None, settings: JournalSettings | None = None) -> Journal:
        """Open or make the journal in `directory`; without one, in memory, and nothing survives. Blocks.

        Raises: JournalLockedError, JournalCorruptError, JournalVersionError, JournalUnavailableError.
        """
        settings = settings or JournalSettings()
        if directory is None:
            settings = replace(settings, max_bytes=settings.memory_bytes)
        return cls(open_journal(directory, settings), settings)

    async def close(self) -> None:
        """Everything that was submitted is written. Idempotent."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(asyncio.to_thread(self._close))
        await asyncio.shield(self._closing)

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.shutdown()
        self._opened.close()

    # Writes.

    async def add_episodes(
        self, rows: Sequence[EpisodeRow], generations: Sequence[GenerationRow] = (), group: GroupRow | None = None
    ) -> None:
        """All of them or none; durable. Raises: JournalConflictError when there is one of that id."""
        await self._write(lambda writes: writes.add_episodes(rows, generations, group), durable=True)

    async def save_episode(self, episode_id: str, *, durable: bool = False, **changes: Any) -> None:
        """Change members of an episode's second block. Raises: ValueError, JournalMissingError."""
        check_changes(EPISODE_CHANGES, changes)
        await self._write(lambda writes: writes.save_episode(episode_id, changes), durable)

    async def begin_generation(self, row: GenerationRow, changes: Mapping[str, Any], *, durable: bool = False) -> None:
        """Put a generation in, in place of one of its name, and change its episode. Raises: as save_episode."""
        check_changes(EPISODE_CHANGES, changes)
        await self._write(lambda writes: writes.begin_generation(row, changes), durable)

    async def intend_step(self, row: StepRow) -> None:
        """Before it runs. The episode's series becomes the step's where that is greater.

        Raises: JournalConflictError for a step that is there, JournalMissingError without its episode.
        """
        small = len(row.action) <= self.settings.inline_bytes
        await self._write(lambda writes: writes.intend_step(row), small=small)

    async def finish_step(
        self,
        row_key: StepKey,
        *,
        result: bytes,
        outcome: str,
        reward: float,
        finished_at: float,
        changes: Mapping[str, Any],
        durable: bool = False,
    ) -> None:
        """What a step came to, with its episode's changes. Raises: ValueError, JournalMissingError."""
        check_changes(EPISODE_CHANGES, changes)
        members = {"result": result, "outcome": outcome, "reward": reward, "finished_at": finished_at}
        small = len(result) <= self.settings.inline_bytes and "grade" not in changes
        await self._write(lambda writes: writes.finish_step(row_key, members, changes), durable, small=small)

    async def forget_step(self, row_key: StepKey) -> None:
        """Take back an intent that never began; one that has a result stays, and what is not there is no error."""
        await self._write(lambda writes: writes.forget_step(row_key))

    async def drop_steps(self, episode_id: str, generation: int, before: int) -> None:
        """Forget the steps of earlier generations, and this one's with a smaller index."""
        await self._write(lambda writes: writes.drop_steps(episode_id, generation, before))

    async def add_checkpoint(self, row: CheckpointRow) -> None:
        """Durable. Raises: JournalConflictError."""
        await self._write(lambda writes: writes.add_checkpoint(row), durable=True)

    async def forget_checkpoint(self, checkpoint_id: str) -> None:
        """Take back one that nobody was told of, since it may not be on the disk; unknown ones are no error."""
        await self._write(lambda writes: writes.forget_checkpoint(checkpoint_id))

    async def delete_checkpoint(self, checkpoint_id: str, deleted_at: float) -> None:
        """Durable. The first deletion's time stays. Raises: JournalMissingError."""
        await self._write(lambda writes: writes.delete_checkpoint(checkpoint_id, deleted_at), durable=True)

    async def save_group(self, group_id: str, *, durable: bool = False, **changes: Any) -> None:
        """Change `started` or `closed_at`. Raises: ValueError, JournalMissingError."""
        check_changes(GROUP_CHANGES, changes)
        await self._write(lambda writes: writes.save_group(group_id, changes), durable)

    async def save_call(self, row: CallRow, *, durable: bool = False) -> None:
        """Put a call in, in place of one of its key."""
        await self._write(lambda writes: writes.save_call(row), durable)

    # Reads.

    async def open_episodes(self) -> list[EpisodeRow]:
        """Those that did not close, in the order of their creation."""
        return await self._read(lambda reads: reads.select(EPISODES, {}, None, None, "closed_at IS NULL"))

    async def closed_episodes(self, limit: int) -> list[EpisodeRow]:
        """The latest that closed, the newest last."""
        return await self._read(lambda reads: reads.closed_episodes(limit))

    async def episode(self, episode_id: str) -> EpisodeRow | None:
        return await self._read(lambda reads: reads.row(EPISODES, episode_id))

    async def find_episodes(
        self,
        *,
        owner: str | None = None,
        environment: str | None = None,
        task_set: str | None = None,
        task: str | None = None,
        state: str | None = None,
        group_id: str | None = None,
        created_after: float | None = None,
        created_before: float | None = None,
        min_reward: float | None = None,
        max_reward: float | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> list[EpisodeRow]:
        """Open and closed ones in the order of their creation, behind the row whose `position` is `after`.

        `created_after` and the rewards are inclusive, `created_before` is not.
        """
        conditions = {
            "owner =": owner,
            "environment =": environment,
            "task_set =": task_set,
            "task =": task,
            "state =": state,
            "group_id =": group_id,
            "created_at >=": created_after,
            "created_at <": created_before,
            "reward >=": min_reward,
            "reward <=": max_reward,
        }
        return await self._read(lambda reads: reads.select(EPISODES, conditions, after, limit))

    async def generations(self, episode_id: str) -> list[GenerationRow]:
        """In their order."""
        return await self._read(
            lambda reads: reads.rows(GENERATIONS, "WHERE episode_id = ? ORDER BY generation", (episode_id,))
        )

    async def steps(self, episode_id: str, generation: int, first: int = 1, last: int | None = None) -> list[StepRow]:
        """By index, both ends included; one that runs has no result."""
        return await self._read(lambda reads: reads.steps(episode_id, generation, first, last))

    async def running_steps(self) -> list[StepRow]:
        """Without a result, of the current generation of open episodes; the first begun first."""
        return await self._read(Reads.running_steps)

    async def checkpoint(self, checkpoint_id: str) -> CheckpointRow | None:
        """Also a deleted one, until its episode is removed."""
        return await self._read(lambda reads: reads.row(CHECKPOINTS, checkpoint_id))

    async def checkpoints(
        self,
        *,
        episode_id: str | None = None,
        owner: str | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> list[CheckpointRow]:
        """Those that are not deleted, in the order of their creation, behind the `position` of `after`."""
        conditions = {"episode_id =": episode_id, "owner =": owner}
        return await self._read(lambda reads: reads.select(CHECKPOINTS, conditions, after, limit, "deleted_at IS NULL"))

    async def groups(self) -> list[GroupRow]:
        """Those that did not close, the oldest first."""
        return await self._read(
            lambda reads: reads.rows(GROUPS, "WHERE closed_at IS NULL ORDER BY created_at, group_id")
        )

    async def group(self, group_id: str) -> GroupRow | None:
        return await self._read(lambda reads: reads.row(GROUPS, group_id))

    async def read(self, run: Callable[[Reads], T]) -> T:
        """Several reads in one trip to the reading thread."""
        return await self._read(run)

    async def calls(self, newer_than: float) -> list[CallRow]:
        """Created later than that, the oldest first."""
        return await self._read(
            lambda reads: reads.rows(CALLS, "WHERE created_at > ? ORDER BY created_at, call_key", (newer_than,))
        )

    # Retention.

    async def sweep(self, now: float) -> Sweep:
        """Remove what the settings no longer keep, as of the Unix time `now`: see retention.py."""
        return await sweep(self._read, self._write, self.settings, now)

    async def _write(self, run: Callable[[Writes], T], durable: bool = False, *, small: bool = False) -> T:
        if self._closing is not None:
            raise JournalUnavailableError("the journal is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._opened.writer.submit(Entry(run, future, durable, small))
        return await future

    async def _read(self, run: Callable[[Reads], T]) -> T:
        if self._reader is None or self._opened.reads is None:  # in memory there is one connection, the writer's
            return await self._write(lambda writes: run(Reads(writes.connection, None)))
        if self._closing is not None:
            raise JournalUnavailableError("the journal is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, partial(self._opened.reads.run, run))
