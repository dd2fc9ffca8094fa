"""A guest agent that lies: what it sends on a connection is a script's."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgpack

from envserver.guest.connection import GuestConnection
from envserver.guest.series import LOOSE

BOUND_S = 5.0
FIRST_ID = LOOSE
"""Of the first request to an agent without a past."""
HELLO: dict[str, Any] = {
    "hello": {"version": "1", "boot_id": "b", "sessions": [], "acknowledged": 0, "running": [], "kept": []}
}


def frame(message: Any) -> bytes:
    body: bytes = message if isinstance(message, bytes) else msgpack.packb(message)
    return struct.pack(">I", len(body)) + body


class Peer:
    """One connection, seen from the agent's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *messages: Any) -> None:
        for message in messages:
            self.writer.write(frame(message))

    async def receive(self) -> dict[str, Any]:
        length = struct.unpack(">I", await self.reader.readexactly(4))[0]
        message: dict[str, Any] = msgpack.unpackb(await self.reader.readexactly(length))
        return message


Script = Callable[[Peer], Awaitable[None]]


class FakeAgent:
    """Listens at `socket`; each connection is played by the script and closed when that returns."""

    def __init__(self, socket: Path, script: Script) -> None:
        self.socket, self._script = socket, script
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._playing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, self.socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._playing:
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._playing.add(task)
        try:
            await self._script(Peer(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._playing.discard(task)
            writer.transport.abort()


async def idle(peer: Peer) -> None:
    """Say nothing more until the other side hangs up."""
    await peer.reader.read()


def after_hello(*raw: bytes, then: Script = idle) -> Script:
    """Greet, take one request, send bytes."""

    async def script(peer: Peer) -> None:
        peer.send(HELLO)
        await peer.receive()
        for data in raw:
            peer.writer.write(data)
        await then(peer)

    return script


async def ask(agent: FakeAgent, timeout_s: float = BOUND_S) -> dict[str, Any]:
    """Dial and make one request; the connection is closed whatever happens."""
    async with asyncio.timeout(BOUND_S * 2):
        connection = await GuestConnection.dial(agent.socket, timeout_s=timeout_s)
        try:
            return await connection.request("run", {}, timeout_s=timeout_s, event_bytes=1000)
        finally:
            connection.close()
