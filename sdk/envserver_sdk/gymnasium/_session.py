"""The connection behind one Gymnasium object: a client on an event loop of its own thread, and how it ends.

Gymnasium is synchronous and its users forget `close`. So the end is tied to the object: by `close`, when it is
collected, or when the interpreter exits, whichever comes first, and then never again. It takes `CLOSE_S` at most;
what could not be closed by then, the server's leases close.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from envserver_sdk import AsyncCheckpoint, AsyncClient, Checkpoint, Timeouts, Tls
from envserver_sdk._portal import Portal
from envserver_sdk.models import EnvironmentInfo

T = TypeVar("T")
Closer = Callable[[], Coroutine[Any, Any, None]]

API_KEY_VARIABLE = "ENVSERVER_API_KEY"
CLOSE_S = 10.0


class Session:
    """Ends with `owner`. Without `api_key` the environment variable's: Gymnasium keeps and prints arguments."""

    def __init__(
        self, owner: object, url: str, api_key: str | None, timeouts: Timeouts | None, tls: Tls | None
    ) -> None:
        self.client = AsyncClient(url, api_key or os.environ.get(API_KEY_VARIABLE), timeouts=timeouts, tls=tls)
        self._portal = Portal()
        self._closers: list[Closer] = []
        self._end = weakref.finalize(owner, _end, os.getpid(), self._portal, self.client, self._closers)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. Raises: ConnectionFailed after the end."""
        return self._portal.run(coroutine)

    def checkpoint(self, coroutine: Coroutine[Any, Any, AsyncCheckpoint]) -> Checkpoint:
        """For callers without a loop; it ends with this connection."""
        return Checkpoint(self.run(coroutine), self._portal)

    def environment(self, name: str) -> EnvironmentInfo:
        """What the server publishes of an environment. This ends where it fails. Raises: NotFound, ConnectionFailed."""
        try:
            return self.run(self.client.environment(name))
        except BaseException:
            self.close()
            raise

    def on_close(self, closer: Closer) -> None:
        """What closes the episodes. It must not lead back to the owner, which would then never be collected."""
        self._closers.append(closer)

    def close(self) -> None:
        """Close all episodes and the connection. Idempotent."""
        self._end()


def _end(process: int, portal: Portal, client: AsyncClient, closers: list[Closer]) -> None:
    if process != os.getpid():  # a fork has the object, but neither its thread nor the right to its episodes
        return
    if portal.inside():  # the collector may run anywhere, also on the very thread that would have to do the work
        threading.Thread(target=_end, args=(process, portal, client, closers), name="envserver-sdk-end").start()
        return
    portal.run(_finish(client, closers))
    portal.close()


async def _finish(client: AsyncClient, closers: list[Closer]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await asyncio.gather(*(closer() for closer in closers), return_exceptions=True)
    await client.close()
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
