"""A real server process on the suite's node, that tests may kill and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from benchmarks import inventory
from envserver.health import ask_server
from envserver_sdk import AsyncClient
from tests.conftest import ROOT, Node
from tests.e2e.helpers import destroy_all


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class ServerProcess:
    """`envserver serve` on a port of its own."""

    node: Node
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    journal: Path | None = None
    """Where it has its journal; without one its episodes end with it."""
    log: Path = ROOT / ".build" / "test-server.log"
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it is ready."""
        self.log.parent.mkdir(exist_ok=True)
        settings = {
            "ENVSERVER_RUN": str(self.node.run),
            "ENVSERVER_PORT": str(self.port),
            "ENVSERVER_POOL_SIZE": "0",  # tests count sandboxes
            **({"ENVSERVER_JOURNAL": str(self.journal)} if self.journal else {}),
            **self.environment,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "envserver.cli", "serve"],
                env={**os.environ, **settings},
                stdout=log,
                stderr=log,
            )
        ask_server(self.url, wait_s=60)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        self.signal(number)
        return self.wait()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout_s: float = 90.0) -> int:
        """For the end; returns the exit status."""
        assert self._process is not None
        return self._process.wait(timeout=timeout_s)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill(signal.SIGTERM)


@pytest.fixture(scope="session")
def server(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests that do not end it."""
    running = ServerProcess(node, journal=tmp_path_factory.mktemp("journal"))
    running.start()
    yield running
    running.stop()
    destroy_all(node)  # what it left to a successor


@pytest.fixture
def make_server_on() -> Iterator[Callable[..., ServerProcess]]:
    """Servers of a test's own: `make_server_on(node, ENVSERVER_QUEUE_LENGTH="1")`."""
    made: list[ServerProcess] = []

    def make(node: Node, **environment: str) -> ServerProcess:
        running = ServerProcess(node, environment=environment)
        made.append(running)
        running.start()
        return running

    yield make
    for running in made:
        running.stop()


@pytest.fixture
def make_server(node: Node, make_server_on: Callable[..., ServerProcess]) -> Callable[..., ServerProcess]:
    """The same on the suite's node."""
    return partial(make_server_on, node)


@pytest.fixture
def lasting_server(node: Node, tmp_path: Path) -> Iterator[ServerProcess]:
    """A test's own, whose episodes outlive it; what the test leaves is destroyed."""
    running = ServerProcess(node, journal=tmp_path / "journal")
    running.start()
    yield running
    running.stop()
    destroy_all(node)


@pytest.fixture
def nothing_left(node: Node) -> Iterator[None]:
    """After the test the node holds what it held before: processes, mounts, groups, layers, directories, devices."""
    destroy_all(node)  # what the test before has left, or not yet
    before = inventory.idle(node.container)
    yield
    after = inventory.settle(node.container, before)
    destroy_all(node)  # so that one failure is not every later test's
    assert after == before


@pytest_asyncio.fixture
async def client(server: ServerProcess) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url) as made:
        yield made
