"""The network between clients and server: a relay that in times of trouble cuts, delays, trickles and repeats."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Self

_CHUNK = 65536
_TROUBLES = ("pass", "pass", "reset", "delay", "trickle", "repeat")


class ChaosProxy:
    """Relays to a server while it is entered; belongs to one event loop.

    Trouble is of a connection: `reset` ends it at both ends after some bytes of either direction, `delay` holds back
    what passes, `trickle` passes a few bytes at a time, `repeat` sends all that the client sent once more over a
    connection of its own, as a network may that retransmits a request whose answer was lost.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._rng: random.Random | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts: dict[str, int] = {}
        """Connections by the trouble that they had."""

    @property
    def url(self) -> str:
        assert self._server is not None
        return "http://{}:{}".format(*self._server.sockets[0].getsockname())

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def trouble(self, rng: random.Random) -> None:
        """From now on, with every connection that is open too: some are cut at once."""
        self._rng = rng
        for writer in list(self._writers):
            if rng.random() < 0.3:
                writer.transport.abort()

    def calm(self) -> None:
        self._rng = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(far_writer)
        rng = self._rng
        trouble = rng.choice(_TROUBLES) if rng is not None else "pass"
        self.counts[trouble] = self.counts.get(trouble, 0) + 1
        sent = bytearray()
        cut_after = rng.randrange(4000) if rng is not None and trouble == "reset" else None
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, trouble, rng, cut_after, sent),
                self._pump(far_reader, writer, trouble, rng, cut_after, None),
            )
        finally:
            for each in (writer, far_writer):
                each.transport.abort() if trouble == "reset" else each.close()
                self._writers.discard(each)
            if trouble == "repeat" and sent:
                await self._repeat(bytes(sent))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trouble: str, rng: random.Random | None,
        cut_after: int | None, sent: bytearray | None,
    ) -> None:  # fmt: skip
        passed = 0
        with contextlib.suppress(ConnectionError, RuntimeError):
            while data := await reader.read(_CHUNK):
                if sent is not None and len(sent) < _CHUNK:
                    sent += data
                passed += len(data)
                if cut_after is not None and passed > cut_after:
                    writer.write(data[: len(data) // 2])
                    break
                await self._pass(data, writer, trouble, rng)
        if cut_after is not None:
            writer.transport.abort()
        else:
            writer.close()

    @staticmethod
    async def _pass(data: bytes, writer: asyncio.StreamWriter, trouble: str, rng: random.Random | None) -> None:
        if rng is not None and trouble == "delay":
            await asyncio.sleep(rng.uniform(0.02, 0.3))
        if rng is None or trouble != "trickle":
            writer.write(data)
            await writer.drain()
            return
        size = max(20, len(data) // 20)
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            await asyncio.sleep(rng.uniform(0, 0.02))

    async def _repeat(self, sent: bytes) -> None:
        """What a client sent, once more, verbatim; what comes back is read and thrown away."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                self._writers.add(writer)
                try:
                    writer.write(sent)
                    await writer.drain()
                    while await reader.read(_CHUNK):
                        pass
                finally:
                    writer.close()
                    self._writers.discard(writer)
