"""Every test of the code environment once more, with the server killed and started again before every step and file."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from envserver_sdk import AsyncClient, AsyncEpisode
from tests.conftest import Node
from tests.e2e.conftest import ServerProcess
from tests.e2e.helpers import destroy_all

# The tests themselves, and the fixture that they begin an episode by: pytest finds both here as well.
from tests.e2e.test_code_environment import *  # noqa: F403
from tests.e2e.test_code_environment import episode as episode

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]  # type: ignore[assignment]


@pytest.fixture(scope="module")
def mortal(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    running = ServerProcess(node, journal=tmp_path_factory.mktemp("journal"))
    running.start()
    yield running
    running.stop()
    destroy_all(node)


@pytest_asyncio.fixture
async def client(mortal: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[AsyncClient]:
    """A client whose every call to an episode comes to another server than the one before."""
    kills = 0

    async def replace_server() -> None:
        nonlocal kills
        assert await asyncio.to_thread(mortal.kill) == -signal.SIGKILL
        await asyncio.to_thread(mortal.start)
        kills += 1

    def after_a_kill(verb: Any) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            await replace_server()
            return await verb(*arguments, **options)

        return call

    for owner, name in ((AsyncEpisode, "step"), (AsyncEpisode, "read_file"), (AsyncClient, "batch_step")):
        monkeypatch.setattr(owner, name, after_a_kill(getattr(owner, name)))
    async with AsyncClient(mortal.url) as made:
        yield made
    assert kills > 0
