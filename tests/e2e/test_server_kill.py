"""What becomes of episodes when the server is killed, is asked to stop, or loses its launcher."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import pytest

from envserver_sdk import AsyncClient, AsyncEpisode, Timeouts
from envserver_sdk.errors import EpisodeLost, ShuttingDown
from envserver_sdk.models import EpisodeState
from tests.conftest import Node
from tests.e2e.conftest import ServerProcess
from tests.e2e.helpers import Gate, bash, eventually, python, sandbox_processes

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

EPISODES = 50
TASK = "HumanEval/0"
DRAIN_S = 10.0


async def _play(client: AsyncClient, count: int) -> list[AsyncEpisode]:
    """Live episodes with both sessions open and a job in the background of each."""
    opened: list[AsyncEpisode] = []
    for _ in range(0, count, 10):
        opened += await asyncio.gather(*(client.create("code", task=TASK) for _ in range(10)))
    await asyncio.gather(*(episode.step(python("kept = 1")) for episode in opened))
    await asyncio.gather(*(episode.step(bash("sleep 1000 & true")) for episode in opened))
    return opened


async def _close(client: AsyncClient, episode_id: str) -> None:
    await (await client.attach(episode_id)).close()


@pytest.mark.usefixtures("nothing_left")
async def test_a_killed_server_leaves_sandboxes_untouched_that_the_next_one_lists_and_closes(
    node: Node, make_server: Callable[..., ServerProcess]
) -> None:
    server = make_server()
    async with AsyncClient(server.url) as client:
        episodes = await _play(client, EPISODES)
    alive = sandbox_processes(node)
    assert len(alive) == EPISODES
    assert all(len(pids) >= 4 for pids in alive.values()), "an agent, an interpreter, a shell and a job each"

    assert server.kill() == -signal.SIGKILL
    assert sandbox_processes(node) == alive
    server.start()
    assert sandbox_processes(node) == alive

    async with AsyncClient(server.url) as client:
        listed = (await client.list(state=EpisodeState.LOST, limit=1000)).episodes
        assert {entry.episode_id for entry in listed} == {episode.episode_id for episode in episodes}
        assert {(entry.reason, entry.task) for entry in listed} == {("server_restarted", TASK)}
        assert (await client.health()).capacity["admitted_episodes"] == EPISODES, "what they hold is counted"

        lost = await client.attach(episodes[0].episode_id)
        with pytest.raises(EpisodeLost):
            await lost.step(python("kept"))
        assert sandbox_processes(node) == alive, "a lost episode is not replaced by a fresh one"

        await asyncio.gather(*(_close(client, entry.episode_id) for entry in listed))
        assert sandbox_processes(node) == {}
        assert (await client.list()).episodes == []
        assert (await client.health()).capacity["admitted_episodes"] == 0


@pytest.mark.usefixtures("nothing_left")
async def test_a_server_asked_to_stop_answers_running_steps_refuses_new_ones_and_leaves_nothing(
    node: Node, make_server: Callable[..., ServerProcess]
) -> None:
    server = make_server(ENVSERVER_DRAIN_TIMEOUT_S="30")
    hasty = AsyncClient(server.url, timeouts=Timeouts(reconnect_s=0.1))  # another one would wait for the next server
    async with AsyncClient(server.url) as client, hasty:
        busy, idle = await client.create("code", task=TASK), await client.create("code", task=TASK)
        gate = Gate(busy)
        stepping = asyncio.ensure_future(busy.step(gate.action))
        await gate.begun()
        server.signal(signal.SIGTERM)

        async def draining() -> bool:
            return (await client.health()).status == "draining"

        await eventually(draining)
        with pytest.raises(ShuttingDown):
            await hasty.create("code", task=TASK)
        with pytest.raises(ShuttingDown):
            await (await hasty.attach(idle.episode_id)).step(bash("true"))
        asked = time.monotonic()
        while time.monotonic() < asked + 1.0:  # it waits for the step, and says so
            assert await draining()
        assert not stepping.done()
        asked = time.monotonic()
        await gate.open()
        assert (await stepping).outcome == "ok"
    assert await asyncio.to_thread(server.wait) == 0
    assert time.monotonic() - asked < DRAIN_S
    assert sandbox_processes(node) == {}


@pytest.mark.usefixtures("nothing_left")
async def test_a_server_asked_to_stop_ends_in_bounded_time_though_a_step_never_does(
    node: Node, make_server: Callable[..., ServerProcess]
) -> None:
    server = make_server(ENVSERVER_DRAIN_TIMEOUT_S="1")
    async with AsyncClient(server.url) as client:
        episode = await client.create("code", task=TASK)
        gate = Gate(episode)
        stepping = asyncio.ensure_future(episode.step(gate.action, timeout_s=600))
        await gate.begun()
        asked = time.monotonic()
        assert await asyncio.to_thread(server.kill, signal.SIGTERM) == 0
        assert time.monotonic() - asked < DRAIN_S
        stepping.cancel()
    assert sandbox_processes(node) == {}
