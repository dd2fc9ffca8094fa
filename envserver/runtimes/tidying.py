"""Undoing what nobody knows of any more: said again until a launcher hears it, since launchers are killed too."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from envserver.runtimes.base import SandboxError
from envserver.runtimes.launcher import LauncherAwayError

LAUNCHER_S = 120.0
"""How long a launcher that was killed is waited for, to see what it left."""
POLL_S = 0.1
_LEAVE_S = 2.0
"""How long a server that leaves goes on with it; its successor finds the rest."""


class Tidying:
    """Belongs to one runtime."""

    def __init__(self) -> None:
        self._works: set[asyncio.Future[None]] = set()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Beside everything else; what it cannot do is nobody's to hear."""

        async def quietly() -> None:
            with contextlib.suppress(SandboxError):
                await work

        task = asyncio.ensure_future(quietly())
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    async def undo(self, undo: Callable[[str], Awaitable[None]], name: str) -> None:
        """Now; or, where there is no launcher to hear it, as soon as there is one. Raises: what a launcher refuses."""
        try:
            await undo(name)
        except LauncherAwayError:
            self.later(self.surely(undo, name))

    async def surely(self, undo: Callable[[str], Awaitable[None]], name: str) -> None:
        """Again until a launcher has heard it. Raises: LauncherAwayError when none comes, what a launcher refuses."""
        deadline = asyncio.get_running_loop().time() + LAUNCHER_S
        while True:
            try:
                await undo(name)
                return
            except LauncherAwayError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        if self._works:
            await asyncio.wait(self._works, timeout=_LEAVE_S)
        for work in self._works:
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)
