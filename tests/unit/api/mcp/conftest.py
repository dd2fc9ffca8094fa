"""The scripted runtime's fixtures, under environments that have tools."""

from collections.abc import AsyncIterator

import httpx
import pytest

from envserver.server import RunningServer
from tests.unit.api.mcp.tooled import Raw, create, serving
from tests.unit.fixtures import gates, grader, make_manager, make_server, runtime, unblocked_loop
from tests.unit.scripted import Gates, ScriptedGrader, ScriptedRuntime

__all__ = ["gates", "grader", "make_manager", "make_server", "runtime", "unblocked_loop"]


@pytest.fixture
async def server(runtime: ScriptedRuntime, grader: ScriptedGrader, gates: Gates) -> AsyncIterator[RunningServer]:
    async with serving(runtime, grader) as running:
        yield running


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        yield client


@pytest.fixture
async def raw(http: httpx.AsyncClient) -> Raw:
    return await Raw(http, await create(http)).begin()
