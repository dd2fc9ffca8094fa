"""A bound on the bytes of files that are in memory at a time, whoever asks for them.

A file passes through the server's memory as a whole. Who finds no room waits in line, with the body still in the
client's socket, so that a hundred large files at once cost no more than the bound.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from envserver_sdk.errors import Overloaded

RETRY_AFTER_S = 1.0


class ByteBudget:
    """Belongs to one event loop. First come, first served, so that a large one is not overtaken for ever."""

    def __init__(self, total_bytes: int, wait_s: float) -> None:
        self.total_bytes = total_bytes
        self.used_bytes = 0
        self._wait_s = wait_s
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Room for so many bytes, at most all of it. Raises: Overloaded after `wait_s`."""
        size = min(size_bytes, self.total_bytes)
        await self._take(size)
        try:
            yield
        finally:
            self.used_bytes -= size
            self._pump()

    async def _take(self, size: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((size, turn))
        self._pump()
        try:
            async with asyncio.timeout(self._wait_s):
                await asyncio.shield(turn)
        except BaseException as error:
            if turn.done():
                self.used_bytes -= size
            else:
                self._line.remove((size, turn))
            self._pump()
            if isinstance(error, TimeoutError):
                raise Overloaded("too many files are on their way", retry_after_s=RETRY_AFTER_S) from None
            raise

    def _pump(self) -> None:
        while self._line and self.used_bytes + self._line[0][0] <= self.total_bytes:
            size, turn = self._line.popleft()
            self.used_bytes += size
            turn.set_result(None)
