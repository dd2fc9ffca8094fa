"""A server that can be killed in the middle of anything, and started again on what it left.

What a SIGKILL leaves is the scripted runtime, which stands for launcher and sandboxes, and the journal's directory. A
dead server's tasks are cut off from both: whatever they still do reaches nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from envserver.episodes.catalog import Catalog
from envserver.episodes.episode import Episode
from envserver.episodes.forks import Forks
from envserver.episodes.journal.journal import Journal
from envserver.episodes.manager import EpisodeManager
from envserver.episodes.services import Services
from tests.unit import scripted
from tests.unit.fixtures import ENVIRONMENTS, make_config


class Link(scripted.ScriptedRuntime):
    """One server's way to the runtime, which they share; a call through a cut one ends its caller."""

    def __init__(self, inner: scripted.ScriptedRuntime) -> None:
        self.__dict__ = inner.__dict__

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in _CALLS and id(self) in _DEAD:
            return _never
        return found


_CALLS = frozenset(
    "create claim list adopt pause resume hibernate checkpoint restore checkpoints delete_checkpoint destroy".split()
)
_DEAD: set[int] = set()


async def _never(*_: Any, **__: Any) -> Any:
    """The caller is dead."""
    raise asyncio.CancelledError


class Lives:
    """One server after another over the same runtime and the same journal."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        self.directory = directory
        self.runtime = scripted.ScriptedRuntime()
        self.grader = scripted.ScriptedGrader()
        self.changes = changes
        self.manager: EpisodeManager
        self._links: list[Link] = []

    async def boot(self) -> EpisodeManager:
        """Start the next server; returns when it would serve."""
        journal = await asyncio.to_thread(Journal.open, self.directory)
        link = Link(self.runtime)
        self._links.append(link)
        services = Services(make_config(**self.changes), link, self.grader.get, journal=journal)
        self.manager = EpisodeManager(services, Catalog(ENVIRONMENTS))
        await self.manager.adopt()
        return self.manager

    async def kill(self) -> None:
        """Nothing of the server runs any more; nothing was told to end."""
        services = self.manager.services
        _DEAD.add(id(self._links[-1]))
        for episode in self.manager.episodes():
            episode.lease.stop()
        closing = asyncio.ensure_future(services.journal.close())  # from now on it takes nothing
        await asyncio.sleep(0)
        while services._tasks:
            for task in list(services._tasks):
                task.cancel()
            await asyncio.sleep(0)
        await closing

    async def reboot(self) -> EpisodeManager:
        await self.kill()
        return await self.boot()

    async def end(self) -> None:
        """Close everything, so that a test can ask what is left."""
        for episode in self.manager.episodes():
            await episode.close("test_over")
        await self.manager.shutdown(5.0)
        await self.manager.services.journal.close()
        _DEAD.clear()

    def episode(self, episode_id: str) -> Episode:
        return self.manager.episode(episode_id)

    @property
    def forks(self) -> Forks:
        return Forks(self.manager)
