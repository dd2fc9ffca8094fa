"""A TCP relay in front of a server, for the troubles of real networks: cuts, closed doors, doubled requests."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class Proxy:
    """Relays to `target` (`http://host:port`) while it is entered; belongs to one event loop."""

    def __init__(self, target: str, *, mirror: bool = False) -> None:
        self._host, _, port = target.removeprefix("http://").partition(":")
        self._port = int(port)
        self._mirror = mirror
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._address: tuple[str, int] = ("127.0.0.1", 0)
        self.accepted = 0
        """Connections so far that can be cut."""
        self.mirrored = bytearray()
        """With `mirror` all that a client sends goes over a second connection too; this is what came back there.

        The client gets nothing before the second connection has got as much, so that it does not leave too early.
        """
        self._mirrored_more = asyncio.Event()

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self._address)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def open(self) -> None:
        """Let connections in, at the same address as before."""
        self._server = await asyncio.start_server(self._relay, *self._address)
        self._address = self._server.sockets[0].getsockname()

    async def shut(self) -> None:
        """Cut everything and let nothing in."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Reset every connection at both ends."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = [await asyncio.open_connection(self._host, self._port) for _ in range(1 + self._mirror)]
        far_writers = [far_writer for _, far_writer in far]
        self._writers += [writer, *far_writers]
        self.accepted += 1  # only now, so that a test that waits for it has something to cut
        pumps = [self._pump(reader, far_writers)]
        if self._mirror:
            pumps += [self._pump_late(far[0][0], writer), self._collect(far[1][0])]
        else:
            pumps.append(self._pump(far[0][0], [writer]))
        await asyncio.gather(*pumps)

    async def _pump(self, reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter]) -> None:
        try:
            while data := await reader.read(65536):
                for writer in writers:
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            pass
        finally:
            for writer in writers:
                writer.close()

    async def _pump_late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                passed += len(data)
                while len(self.mirrored) < passed:
                    self._mirrored_more.clear()
                    await self._mirrored_more.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _collect(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.mirrored += data
                self._mirrored_more.set()
