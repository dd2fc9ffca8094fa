"""A server that comes and goes over one journal, one port and one runtime, as a node's does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envserver.server import RunningServer
from tests.unit.fixtures import ENVIRONMENTS, make_config
from tests.unit.scripted import ScriptedGrader, ScriptedRuntime


class Node:
    """Belongs to one event loop."""

    def __init__(self, runtime: ScriptedRuntime, grader: ScriptedGrader, journal: Path, **changes: Any) -> None:
        self.runtime = runtime
        self._grader = grader
        self._changes = {"journal": journal, "drain_timeout_s": 0.01, **changes}
        self.server = self._make()
        self.url = self.server.url
        self._changes["port"] = int(self.url.rpartition(":")[2])

    async def start(self) -> None:
        await self.server.start()

    async def stop(self) -> None:
        """Episodes are let go of, for the next one."""
        await self.server.stop()

    async def next(self) -> None:
        """Another server at the same address, on the same journal."""
        self.server = self._make()
        await self.server.start()

    async def end(self) -> None:
        for episode in self.server.manager.episodes():
            await episode.close("deleted")
        await self.server.stop()

    def _make(self) -> RunningServer:
        return RunningServer(
            make_config(**self._changes), self.runtime, environments=ENVIRONMENTS, graders=self._grader.get
        )
