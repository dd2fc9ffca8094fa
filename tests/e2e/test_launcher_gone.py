"""A server whose launcher does not answer says so, refuses in bounded time, steps what lives, and recovers."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Self

import pytest
import pytest_asyncio

from envserver.launcher.protocol import SANDBOX_DIRECTORY, SOCKET_NAME
from envserver_sdk import AsyncClient
from envserver_sdk.errors import InfraError
from envserver_sdk.models import EpisodeState
from tests.conftest import Node
from tests.e2e.conftest import ServerProcess
from tests.e2e.helpers import eventually, python, sandboxes

pytestmark = pytest.mark.node

TASK = "HumanEval/0"
BOUND_S = 10.0
RETRY_S = 30.0


class Door:
    """A directory that looks like the node's, with a launcher's socket that can be gone or answer nothing."""

    def __init__(self, node: Node, directory: Path) -> None:
        self.node = Node(node.project, directory, node.container)
        self._launcher = str(node.run / SOCKET_NAME)
        self._path = directory / SOCKET_NAME
        (directory / SANDBOX_DIRECTORY).symlink_to(node.run / SANDBOX_DIRECTORY)
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._relaying = asyncio.Event()

    async def open(self) -> Self:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._relay, self._path)
        self._relaying.set()
        return self

    async def shut(self, *, silent: bool) -> None:
        """`silent`: connections are taken and nothing is said; else there is no socket any more."""
        self._relaying.clear()
        if not silent:
            assert self._server is not None
            self._server.close()
            self._path.unlink(missing_ok=True)
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await self._relaying.wait()
        far_reader, far_writer = await asyncio.open_unix_connection(self._launcher)
        self._writers.append(far_writer)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def door(node: Node) -> AsyncIterator[Door]:
    with tempfile.TemporaryDirectory(prefix="envs-", dir="/tmp") as directory:  # a socket's path is short
        door = await Door(node, Path(directory)).open()
        yield door
        await door.shut(silent=False)


@contextlib.asynccontextmanager
async def _stopped(server: ServerProcess) -> AsyncIterator[None]:
    """Stop it here and not in its fixture, where no loop runs to relay what it still has to say."""
    try:
        yield
    finally:
        await asyncio.to_thread(server.stop)


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "gone"])
@pytest.mark.usefixtures("nothing_left")
async def test_without_its_launcher_a_server_is_unavailable_but_never_hangs(
    node: Node, door: Door, silent: bool, make_server_on: Callable[..., ServerProcess]
) -> None:
    short = {"ENVSERVER_START_TIMEOUT_S": "1", "ENVSERVER_DESTROY_TIMEOUT_S": "1"}
    server = await asyncio.to_thread(make_server_on, door.node, **short)
    async with AsyncClient(server.url) as client, _stopped(server):
        lives = await client.create("code", task=TASK)
        closed_meanwhile = await client.create("code", task=TASK)
        await lives.step(python("kept = 41"))
        await door.shut(silent=silent)

        async def status() -> str:
            return (await client.health()).status

        async def unavailable() -> bool:
            return await status() == "unavailable"

        await eventually(unavailable)
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(InfraError):
                await client.create("code", task=TASK)
        step = await lives.step(python("kept + 1"))
        assert (step.observation["result"], step.outcome) == ("42", "ok"), "sandboxes need no launcher to run"

        closing = asyncio.ensure_future(closed_meanwhile.close())

        async def closed() -> bool:
            return (await closed_meanwhile.status()).state is EpisodeState.CLOSED

        await eventually(closed)
        await door.open()

        async def available() -> bool:
            return await status() == "ok"

        await eventually(available)

        async def destroyed() -> bool:
            return len(sandboxes(node)) == 1

        await eventually(destroyed, RETRY_S)  # what could not be at once
        await closing
        async with client.create("code", task=TASK) as episode:
            assert (await episode.step(python("1 + 1"))).observation["result"] == "2"
        await lives.close()
