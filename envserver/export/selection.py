"""Which trajectories an export has: read from the journal one at a time, in the order of their episodes' making.

No read holds the journal open: a page of episodes, then each one's steps, are read and let go of, so that an export
that lasts for hours keeps neither the writer nor the log's copying waiting. Where it stands is a cursor that any later
export can go on from: the episode's position and the generation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from envserver.episodes.journal.errors import JournalCorruptError
from envserver.episodes.journal.journal import Journal
from envserver.episodes.journal.rows import EpisodeRow
from envserver.episodes.trajectory import Record, read_record
from envserver.logs import get_logger
from envserver_sdk.models import ListTrajectories

log = get_logger(__name__)

PAGE = 64
"""Episodes that one read finds."""
REST, REST_S = 2.0, 0.01
"""Steps come first: after each trajectory an export rests so many times as long as that took, at most so many seconds.
On a busy server it takes longer, and so does the rest."""


@dataclass(frozen=True)
class Damaged:
    """A trajectory that the disk has not kept as it was written."""

    episode_id: str
    cursor: str
    detail: str


class Selection:
    """One export's trajectories."""

    def __init__(self, journal: Journal, owner: str | None, wanted: ListTrajectories) -> None:
        """Of all tenants without `owner`."""
        self._journal = journal
        self._owner = owner
        self._wanted = wanted
        self._after = _parse(wanted.cursor)

    async def records(self) -> AsyncGenerator[Record | Damaged, None]:
        """One at a time; none is held here while the caller has it. Raises: JournalError."""
        left = self._wanted.limit
        async with aclosing(self._all()) as found:
            async for each in found:
                if isinstance(each, Record) and not self._wants(each):
                    continue
                yield each
                del each  # before the next one is read: memory holds one
                left -= 1
                if not left:
                    return

    async def _all(self) -> AsyncGenerator[Record | Damaged, None]:
        async for episode in self._episodes():
            for generation in await self._generations(episode):
                if (episode.position, generation) <= self._after:
                    continue
                began = perf_counter()
                try:
                    record = await read_record(self._journal, episode, generation)
                except JournalCorruptError as error:
                    log.error("trajectory_damaged", episode_id=episode.episode_id, error=str(error)[:500])  # noqa: TRY400
                    yield Damaged(episode.episode_id, f"{episode.position}.{generation}", str(error))
                    continue
                if record is not None:
                    yield record
                del record
                await asyncio.sleep(min(REST_S, REST * (perf_counter() - began)))

    async def _episodes(self) -> AsyncIterator[EpisodeRow]:
        after = self._after[0] - 1  # the cursor's own episode may have another generation by now
        while rows := await self._journal.find_episodes(**self._conditions(), after=max(after, 0), limit=PAGE):
            for row in rows:
                yield row
            after = rows[-1].position

    def _conditions(self) -> dict[str, Any]:
        wanted = self._wanted
        return {
            "owner": self._owner,
            "environment": wanted.environment,
            "task_set": wanted.task_set,
            "task": wanted.task,
            "state": wanted.state.value if wanted.state else None,
            "group_id": wanted.group_id,
            "created_after": wanted.created_after,
            "created_before": wanted.created_before,
            "min_reward": wanted.min_reward if wanted.generations == "current" else None,
        }

    async def _generations(self, episode: EpisodeRow) -> list[int]:
        if self._wanted.generations == "current":
            return [episode.generation]
        return [row.generation for row in await self._journal.generations(episode.episode_id)]

    def _wants(self, record: Record) -> bool:
        """By what the journal does not select by."""
        wanted = self._wanted
        if wanted.min_reward is not None and record.reward < wanted.min_reward:
            return False
        if wanted.graded is not None and (record.grade is not None) is not wanted.graded:
            return False
        return wanted.trainable is None or record.trainable is wanted.trainable


def _parse(cursor: str | None) -> tuple[int, int]:
    position, _, generation = (cursor or "0.0").partition(".")
    return int(position), int(generation)
