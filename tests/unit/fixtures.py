"""Fixtures over the scripted runtime; the conftest of each directory that wants them imports them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import structlog
from blockbuster import BlockBuster, blockbuster_ctx

from envserver.config import ServerConfig
from envserver.episodes.catalog import Catalog
from envserver.episodes.manager import EpisodeManager
from envserver.episodes.services import Services
from envserver.server import RunningServer
from tests.unit import scripted

# Defects that tests provoke are logged with their tracebacks, which structlog's default draws in colour, slowly.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
)

KERNEL_FILES = {
    "envserver/episodes/admission.py": {"available_memory_bytes"},
    "envserver/launcher/cgroups.py": {"__init__", "read", "reset_peak", "close"},
    "tests/unit/api/keys.py": {"__init__", "add", "revoke", "limit"},  # a test in an operator's place
}
"""What reads files that the kernel answers from memory, in microseconds: a thread would cost more."""

ENVIRONMENTS = {"scripted": scripted.ScriptedEnvironment}


def make_config(**changes: Any) -> ServerConfig:
    """A configuration for tests: an ephemeral port, short limits, no look at the machine's memory."""
    values = {
        "port": 0,
        "min_available_memory_bytes": 0,
        "drain_timeout_s": 2.0,
        "shutdown_timeout_s": 5.0,
        "pool_size": 0,
        **changes,
    }
    return ServerConfig(**values)


@pytest.fixture(autouse=True)
def unblocked_loop() -> Iterator[BlockBuster]:
    """A call of ours that would hold up the event loop (files, sleeps, subprocesses, DNS) raises instead."""
    with blockbuster_ctx(["envserver", "environments", "envserver_sdk"]) as buster:
        for call in buster.functions.values():
            call.can_block_in("envserver/server.py", "__init__")  # before it serves
            call.can_block_in("envserver/episodes/services.py", "__init__")
            call.can_block_in("envserver/episodes/journal/writer.py", "_write_here")  # small, and given up if slow
            for file, functions in KERNEL_FILES.items():
                call.can_block_in(file, functions)
        yield buster


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> scripted.Gates:
    fresh = scripted.Gates()
    monkeypatch.setattr("tests.unit.scripted.gates.GATES", fresh)
    return fresh


@pytest.fixture
def grader() -> scripted.ScriptedGrader:
    return scripted.ScriptedGrader()


@pytest.fixture
def runtime() -> scripted.ScriptedRuntime:
    return scripted.ScriptedRuntime()


MakeManager = Callable[..., EpisodeManager]
MakeServer = Callable[..., Any]


@pytest.fixture
async def make_manager(
    runtime: scripted.ScriptedRuntime, grader: scripted.ScriptedGrader, gates: scripted.Gates
) -> AsyncIterator[MakeManager]:
    """A manager without any transport; closed after the test."""
    made: list[EpisodeManager] = []

    def make(**changes: Any) -> EpisodeManager:
        services = Services(make_config(**changes), runtime, grader.get)
        made.append(EpisodeManager(services, Catalog(ENVIRONMENTS)))
        return made[-1]

    yield make
    for manager in made:
        await manager.shutdown(5.0)
        await manager.services.journal.close()
    assert not runtime.sandboxes, "a test left sandboxes behind"


@pytest.fixture
async def make_server(
    runtime: scripted.ScriptedRuntime, grader: scripted.ScriptedGrader, gates: scripted.Gates
) -> AsyncIterator[MakeServer]:
    """A real server on an ephemeral port; stopped after the test."""
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> RunningServer:
            server = RunningServer(make_config(**changes), runtime, environments=ENVIRONMENTS, graders=grader.get)
            return await stack.enter_async_context(server)

        yield make
    assert not runtime.sandboxes, "a test left sandboxes behind"


@pytest.fixture
async def server(make_server: MakeServer) -> RunningServer:
    running: RunningServer = await make_server()
    return running
