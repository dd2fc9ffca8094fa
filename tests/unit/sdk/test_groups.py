"""Groups, by the client's verbs: alike at first, all or none, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from envserver.runtimes.base import CheckpointError
from envserver_sdk import AsyncClient, AsyncGroup, Client
from envserver_sdk.errors import InfraError, InvalidRequest, NotFound
from envserver_sdk.models import EpisodeState, Stragglers
from tests.unit.fixtures import MakeServer
from tests.unit.scripted import Gates, ScriptedRuntime
from tests.unit.sdk.nodes import Node


@pytest.fixture
async def client(node: Node) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(node.url) as client:
        yield client


async def test_members_begin_alike_and_go_their_own_ways(client: AsyncClient, runtime: ScriptedRuntime) -> None:
    async with client.group("scripted", n=4, task="a", seed=9, metadata={"run": 1}) as group:
        assert (len(group), group.kind) == (4, "process")
        assert {episode.info["seed"] for episode in group} == {9}
        assert [episode.observation for episode in group] == [{"prompt": "Say a."}] * 4
        await group[0].step({"type": "set", "value": "changed"})
        seen = [await episode.step({"type": "get"}) for episode in group]
        assert [step.observation["value"] for step in seen] == ["changed", 9, 9, 9]
        status = await group.status()
        assert [info.episode_id for info in status.episodes] == [episode.episode_id for episode in group]
        assert {info.group_id for info in status.episodes} == {group.group_id}
    assert not runtime.sandboxes
    assert {info.state for info in (await group.status()).episodes} == {EpisodeState.CLOSED}
    await group.close()


async def test_a_group_of_one_is_an_episode(client: AsyncClient) -> None:
    group: AsyncGroup = await client.group("scripted", n=1)
    assert (len(group), group.kind) == (1, None)


async def test_a_member_that_cannot_begin_leaves_no_group(client: AsyncClient, runtime: ScriptedRuntime) -> None:
    runtime.fail_restores = [CheckpointError("no such page")] * 2
    with pytest.raises(InfraError):
        await make(client, n=3)
    assert not runtime.sandboxes
    assert not runtime.stored
    assert (await client.list()).episodes == []


async def test_a_group_is_refused_as_a_whole(make_server: MakeServer, runtime: ScriptedRuntime) -> None:
    server = await make_server(max_episodes=3)
    async with AsyncClient(server.url) as client:
        with pytest.raises(InvalidRequest):
            await make(client, n=4)  # more than there will ever be
        with pytest.raises(InvalidRequest):
            await make(client, n=2, stragglers={"finished": 0, "grace_s": 1})
        with pytest.raises(NotFound):
            await make(client, n=2, task="none")
    assert not runtime.counts["create"]


async def test_a_group_waits_until_there_is_room_for_all(make_server: MakeServer) -> None:
    server = await make_server(max_episodes=3)
    async with AsyncClient(server.url) as client:
        one = await client.create("scripted")
        waiting = asyncio.ensure_future(make(client, n=3))
        while not (await client.health()).queued_episodes:
            await asyncio.sleep(0.001)
        await one.close()
        assert len(await waiting) == 3


async def test_a_cancelled_group_leaves_no_member(client: AsyncClient, runtime: ScriptedRuntime) -> None:
    runtime.hold = asyncio.Event()
    making = asyncio.ensure_future(make(client, n=3))
    await runtime.creating.wait()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    runtime.hold.set()
    await client.close()  # waits for what it abandoned
    assert runtime.counts["create"] == 3
    assert not runtime.sandboxes


async def test_stragglers_are_truncated_and_a_step_under_way_is_their_last(client: AsyncClient, gates: Gates) -> None:
    stragglers = Stragglers(finished=2, grace_s=0.01)
    async with client.group("scripted", n=4, task="a", stragglers=stragglers) as group:
        stepping = asyncio.ensure_future(group[3].step({"type": "wait", "gate": "g"}))
        await gates.reached("g")
        for episode in group.episodes[:2]:
            assert (await episode.step({"type": "submit", "answer": "a"})).reward == 1.0
        while (await group[3].status()).state is not EpisodeState.ENDED:
            await asyncio.sleep(0.001)
        gates.open("g")
        last = await stepping
        assert (last.truncated, last.trainable) == (True, True)
        reasons = [info.reason for info in (await group.status()).episodes]
        assert reasons == ["submitted", "submitted", "straggler", "straggler"]


async def test_the_synchronous_client_has_groups_and_checkpoints_too(node: Node) -> None:
    def work() -> None:
        with Client(node.url) as client, client.group("scripted", n=2, seed=3) as group:
            assert [episode.step({"type": "get"}).observation["value"] for episode in group] == [3, 3]
            assert (group.episodes[1].step_index, group[1].step_index, len(group)) == (1, 1, 2)
            checkpoint = group[0].checkpoint(label="here")
            group[0].step({"type": "set", "value": 4})
            (fork,) = client.checkpoint(checkpoint.checkpoint_id).fork()
            assert group[0].restore(checkpoint).generation == group[0].generation == 2
            assert [each.step({"type": "get"}).observation["value"] for each in (fork, group[0])] == [3, 3]
            assert client.checkpoints().checkpoints == [checkpoint.info]
            checkpoint.delete()
            fork.hibernate()
            fork.close()
            assert {info.state for info in group.status().episodes} == {EpisodeState.LIVE}

    await asyncio.to_thread(work)


async def make(client: AsyncClient, **wishes: object) -> AsyncGroup:
    return await client.group("scripted", **wishes)  # type: ignore[arg-type]
