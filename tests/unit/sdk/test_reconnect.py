"""A socket that drops loses nothing: calls are sent again by name, and run once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from envserver.server import RunningServer
from envserver_sdk import AsyncClient, Timeouts
from envserver_sdk.errors import ConnectionFailed
from tests.proxy import Proxy
from tests.unit.episodes.helpers import until
from tests.unit.scripted import Gates, ScriptedRuntime


@pytest.fixture
async def proxy(server: RunningServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.url) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(proxy.url, timeouts=Timeouts(reconnect_s=10)) as client:
        yield client


async def test_steps_under_way_survive_a_cut_and_run_once(client: AsyncClient, proxy: Proxy, gates: Gates) -> None:
    episodes = [await client.create("scripted") for _ in range(10)]
    action = {"type": "wait", "gate": "g"}
    steps = [asyncio.ensure_future(episode.step(action)) for episode in episodes]
    await until(lambda: gates.counts["g"] == 10)
    for _ in range(3):
        before = proxy.accepted
        proxy.cut()
        await until(lambda before=before: proxy.accepted > before)  # type: ignore[misc]
    gates.open("g")
    results = await asyncio.gather(*steps)
    assert [result.step_index for result in results] == [1] * 10
    assert gates.counts["g"] == 10


async def test_a_create_under_way_survives_a_cut_and_happens_once(
    client: AsyncClient, proxy: Proxy, runtime: ScriptedRuntime
) -> None:
    runtime.hold = asyncio.Event()

    async def create() -> int:
        return (await client.create("scripted")).generation

    creating = asyncio.ensure_future(create())
    await runtime.creating.wait()
    proxy.cut()
    runtime.hold.set()
    assert await creating == 1
    assert runtime.counts["create"] == 1
    assert len(runtime.sandboxes) == 1


async def test_forks_and_groups_under_way_survive_a_cut_and_happen_once(
    client: AsyncClient, proxy: Proxy, runtime: ScriptedRuntime
) -> None:
    episode = await client.create("scripted")
    checkpoint = await episode.checkpoint()
    runtime.hold = asyncio.Event()
    forking = asyncio.ensure_future(checkpoint.fork(2))
    grouping = asyncio.ensure_future(client.group("scripted", n=2).__aenter__())
    await until(lambda: runtime.counts["create"] == 4)  # one before, two forks, the group's first
    before = proxy.accepted
    proxy.cut()
    await until(lambda: proxy.accepted > before)
    runtime.hold.set()
    assert (len(await forking), len(await grouping)) == (2, 2)
    assert len(runtime.sandboxes) == runtime.counts["create"] == 5
    await checkpoint.delete()


async def test_a_cut_between_calls_is_not_noticed(client: AsyncClient, proxy: Proxy) -> None:
    episode = await client.create("scripted")
    for index in range(1, 4):
        assert (await episode.step({"type": "echo"})).step_index == index
        proxy.cut()


async def test_a_connection_that_does_not_come_back_fails_its_calls_and_the_step_can_be_taken_later(
    proxy: Proxy, gates: Gates
) -> None:
    timeouts = Timeouts(reconnect_s=0.1)
    async with AsyncClient(proxy.url, timeouts=timeouts) as client:
        episode = await client.create("scripted")
        action = {"type": "wait", "gate": "g"}
        stepping = asyncio.ensure_future(episode.step(action))
        await gates.reached("g")
        await proxy.shut()
        with pytest.raises(ConnectionFailed):
            await stepping
        gates.open("g")
        await proxy.open()
        assert (await episode.step(action)).step_index == 1
        assert gates.counts["g"] == 1
