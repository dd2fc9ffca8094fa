"""Which step a call is: clients of MCP name their requests, steps are named by index.

A step bears the name of the request that it was asked for by, in its metadata, which is written down before it runs. So
a request that is sent again finds its step, whatever became of the connection or the server meanwhile. Requests of one
episode that arrive together become steps one after the other, in the order of their arrival.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from envserver.api.mcp.tools import NEXT
from envserver.episodes.durable import written
from envserver.episodes.episode import Episode
from envserver.episodes.journal.journal import Journal
from envserver.episodes.records import StepRecord, fingerprint
from envserver_sdk.errors import IdempotencyMismatch, NotFound
from envserver_sdk.models import StepRequest

MEMBER = "mcp"
"""Of a step's metadata."""
WAIT_S = 3600.0


@dataclass(frozen=True)
class CallName:
    """A request, and what it asks for."""

    request: str
    digest: str

    @classmethod
    def of(cls, request: str, tool: str, arguments: object) -> CallName:
        return cls(request, fingerprint([tool, arguments]).hex())

    @classmethod
    def read(cls, metadata: dict[str, Any]) -> CallName | None:
        """That of a step, which may have been taken by something else than MCP."""
        given = metadata.get(MEMBER)
        if not isinstance(given, dict) or given.keys() != {"request", "digest"}:
            return None
        return cls(str(given["request"]), str(given["digest"]))

    def metadata(self) -> dict[str, dict[str, str]]:
        return {MEMBER: {"request": self.request, "digest": self.digest}}


@dataclass
class _Names:
    """Of one generation."""

    generation: int
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Of those whose step has not begun."""
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    read: bool = False
    """The journal was asked."""
    indexes: dict[str, int] = field(default_factory=dict)
    """By request."""


class NamedSteps:
    """Belongs to one event loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._of: WeakKeyDictionary[Episode, _Names] = WeakKeyDictionary()

    async def take(
        self, episode: Episode, generation: int, name: CallName, request: Callable[[], Awaitable[StepRequest]]
    ) -> StepRecord:
        """The record of the step of that name; one that has not begun is taken by the `request` that is made for it.

        Raises: IdempotencyMismatch for another call of that name; whatever `Episode.step` and `request` raise.
        """
        names = self._names(episode, generation)
        record = await self._find(episode, names, name.request)
        if record is None:
            async with names.turn:
                record = await self._find(episode, names, name.request)
                if record is None:
                    record = await _step(episode, await request(), name)
                    names.indexes[name.request] = record.index
                    return record
        if CallName.read(record.metadata) != name:
            raise IdempotencyMismatch("a request of this id asked for something else before")
        return record

    async def find(self, episode: Episode, generation: int, request: str) -> StepRecord | None:
        """What it has become; None where it has not begun."""
        return await self._find(episode, self._names(episode, generation), request)

    def _names(self, episode: Episode, generation: int) -> _Names:
        names = self._of.get(episode)
        if names is None or names.generation != generation:
            names = self._of[episode] = _Names(generation)
        return names

    async def _find(self, episode: Episode, names: _Names, request: str) -> StepRecord | None:
        async with names.reading:
            if not names.read:
                names.indexes.update(await self._read(episode, names.generation))
                names.read = True
        index = names.indexes.get(request)
        if index is None:
            return None
        await episode.recall(index)
        try:
            record = episode.record(index, names.generation)
        except NotFound:  # it never began: its world could not be woken, say
            return None
        known = CallName.read(record.metadata)
        return record if known is not None and known.request == request else None

    async def _read(self, episode: Episode, generation: int) -> dict[str, int]:
        """What an earlier server took down."""
        if episode.step_index == 0 and episode.running is None:
            return {}
        rows = await written(self._journal.steps(episode.episode_id, generation))
        named = ((CallName.read(json.loads(row.metadata)), row.step_index) for row in rows)
        return {name.request: index for name, index in named if name is not None}


async def _step(episode: Episode, request: StepRequest, name: CallName) -> StepRecord:
    """As the next one, unless the request says which."""
    metadata = {**request.metadata, **name.metadata()}
    if request.step_index != NEXT:
        await episode.recall(request.step_index)
        return episode.step(request.model_copy(update={"metadata": metadata}))
    while (running := episode.running) is not None:
        await running.wait(WAIT_S)
    update = {"metadata": metadata, "step_index": episode.step_index + 1}
    return episode.step(request.model_copy(update=update))
