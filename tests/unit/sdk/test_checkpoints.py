"""Checkpoints, forks, restores and rest, by the client's verbs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from envserver.runtimes.base import CheckpointError, NotSupportedError
from envserver_sdk import AsyncClient, AsyncEpisode
from envserver_sdk.errors import (
    CheckpointFailed,
    EpisodeEnded,
    InvalidRequest,
    NotFound,
    NotSupported,
    Overloaded,
    StaleGeneration,
)
from envserver_sdk.models import CheckpointKind, EpisodeState
from tests.unit.episodes.helpers import until
from tests.unit.scripted import Gates, ScriptedRuntime
from tests.unit.sdk.nodes import Node


@pytest.fixture
async def client(node: Node) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(node.url) as client:
        yield client


@pytest.fixture
async def episode(client: AsyncClient) -> AsyncEpisode:
    made: AsyncEpisode = await client.create("scripted", task="a", seed=7, metadata={"run": 1})
    return made


async def put(episode: AsyncEpisode, value: object) -> None:
    await episode.step({"type": "set", "value": value})


async def held(episode: AsyncEpisode) -> object:
    return (await episode.step({"type": "get"})).observation["value"]


async def test_forks_go_on_from_the_saved_state_each_its_own_way(episode: AsyncEpisode) -> None:
    await put(episode, "shared")
    checkpoint = await episode.checkpoint(label="fork here")
    assert (checkpoint.kind, checkpoint.info.step_index, checkpoint.info.label) == ("process", 1, "fork here")
    await put(episode, "mine")
    forks = await checkpoint.fork(3, metadata={"run": 2})
    assert [(fork.generation, fork.step_index) for fork in forks] == [(1, 1)] * 3
    assert len({fork.episode_id for fork in (episode, *forks)}) == 4
    assert forks[0].observation == {"was": "shared", "taken": 1}
    await put(forks[0], "other")
    assert [await held(fork) for fork in forks] == ["other", "shared", "shared"]
    assert await held(episode) == "mine"
    status = await forks[1].status()
    assert status.lineage is not None
    assert (status.lineage.episode_id, status.metadata) == (episode.episode_id, {"run": 2})
    await episode.close()
    assert await held(forks[2]) == "shared", "a fork outlives its parent"
    await checkpoint.delete()
    assert await held(forks[2]) == "shared", "and its checkpoint"
    await checkpoint.delete()
    with pytest.raises(NotFound):
        await checkpoint.fork()


async def test_a_fork_without_a_checkpoint_of_ones_own_leaves_none(
    client: AsyncClient, episode: AsyncEpisode, runtime: ScriptedRuntime
) -> None:
    await put(episode, 3)
    one, two = await episode.fork(2)
    assert [await held(each) for each in (one, two, episode)] == [3, 3, 3]
    assert (await client.checkpoints()).checkpoints == []
    assert not runtime.stored


async def test_a_fork_that_fails_leaves_neither_members_nor_checkpoint(
    client: AsyncClient, episode: AsyncEpisode, runtime: ScriptedRuntime
) -> None:
    runtime.fail_restores = [CheckpointError("no such page")] * 2
    with pytest.raises(Exception, match="infra_error"):
        await episode.fork(4)
    assert len((await client.list()).episodes) == len(runtime.sandboxes) == 1
    assert not runtime.stored


async def test_a_cancelled_fork_leaves_no_members(
    client: AsyncClient, episode: AsyncEpisode, runtime: ScriptedRuntime
) -> None:
    checkpoint = await episode.checkpoint()
    runtime.hold = asyncio.Event()
    runtime.creating.clear()
    forking = asyncio.ensure_future(checkpoint.fork(2))
    await runtime.creating.wait()
    forking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await forking
    runtime.hold.set()
    await checkpoint.delete()
    await client.close()  # waits for what it abandoned
    assert len(runtime.sandboxes) == 1


async def test_stragglers_of_a_fork_are_truncated(client: AsyncClient, episode: AsyncEpisode) -> None:
    checkpoint = await episode.checkpoint()
    one, two = await checkpoint.fork(2, stragglers={"finished": 1, "grace_s": 0})
    group_id = (await two.status()).group_id
    assert group_id is not None
    assert len(await client.attach_group(group_id)) == 2
    await checkpoint.delete()
    await one.step({"type": "end"})
    async with asyncio.timeout(0.5):
        while (await two.status()).reason != "straggler":
            await asyncio.sleep(0.01)


async def test_a_restore_rolls_back_in_place_as_the_next_generation(client: AsyncClient, episode: AsyncEpisode) -> None:
    await put(episode, "before")
    checkpoint = await episode.checkpoint("filesystem")
    processes = await episode.checkpoint(CheckpointKind.PROCESS)
    await put(episode, "after")
    started = await episode.restore(processes)
    assert (started.generation, episode.generation, episode.step_index) == (2, 2, 1)
    assert episode.observation == {"was": "before", "taken": 1}
    assert await held(episode) == "before"
    await episode.restore(checkpoint.checkpoint_id)
    assert (episode.generation, episode.step_index) == (3, 1)
    assert await held(episode) is None, "a checkpoint of files keeps no process"
    other = await client.create("scripted", task="b")
    with pytest.raises(InvalidRequest, match="another task"):
        await other.restore(checkpoint)
    for each in (checkpoint, processes):
        await each.delete()


async def test_a_replay_takes_the_actions_again(episode: AsyncEpisode) -> None:
    await put(episode, 5)
    checkpoint = await episode.checkpoint("replay")
    (fork,) = await checkpoint.fork()
    assert await held(fork) == 5
    assert (fork.info["replayed_steps"], fork.info["divergence"]) == (1, None)
    await checkpoint.delete()


async def test_checkpoints_are_listed_and_found_again_by_their_ids(client: AsyncClient, episode: AsyncEpisode) -> None:
    other = await client.create("scripted", task="a")
    made = [await episode.checkpoint(), await episode.checkpoint("replay"), await other.checkpoint()]
    listed = await client.checkpoints(episode_id=episode.episode_id)
    assert [info.checkpoint_id for info in listed.checkpoints] == [each.checkpoint_id for each in made[:2]]
    first = await client.checkpoints(limit=2)
    rest = await client.checkpoints(limit=2, cursor=first.next_cursor)
    assert [info.checkpoint_id for info in rest.checkpoints] == [made[2].checkpoint_id]
    await episode.close()
    again = await client.checkpoint(made[0].checkpoint_id)
    assert again.info == made[0].info
    assert len(await again.fork(2)) == 2, "a checkpoint outlives its episode"
    for each in made:
        await each.delete()
    with pytest.raises(NotFound):
        await client.checkpoint(made[0].checkpoint_id)


async def test_what_cannot_be_saved_says_why_and_the_episode_goes_on(
    episode: AsyncEpisode, runtime: ScriptedRuntime
) -> None:
    runtime.fail_checkpoints = [CheckpointError("process 7 holds /dev/kvm"), NotSupportedError("no")]
    with pytest.raises(CheckpointFailed, match="/dev/kvm"):
        await episode.checkpoint("process")
    with pytest.raises(NotSupported) as caught:
        await episode.checkpoint("process")
    assert caught.value.extra["capability"] == "process_checkpoint"
    await put(episode, 1)
    await episode.step({"type": "end"})
    with pytest.raises(EpisodeEnded):
        await episode.checkpoint()


async def test_a_resting_episode_wakes_for_its_next_step(episode: AsyncEpisode, runtime: ScriptedRuntime) -> None:
    await put(episode, "kept")
    assert (await episode.pause()).state is EpisodeState.PAUSED
    assert await held(episode) == "kept"
    assert (await episode.hibernate()).state is EpisodeState.HIBERNATED
    assert await held(episode) == "kept"
    assert (await episode.pause()).state is EpisodeState.PAUSED
    assert (await episode.resume()).state is (await episode.resume()).state is EpisodeState.LIVE
    assert (runtime.counts["pause"], runtime.counts["hibernate"]) == (2, 1)


async def test_an_episode_rests_by_itself_where_it_was_asked_to(client: AsyncClient) -> None:
    quick = await client.create("scripted", pause_after_s=0.01)
    slow = await client.create("scripted", hibernate_after_s=0.1)
    for episode, state in ((quick, EpisodeState.PAUSED), (slow, EpisodeState.HIBERNATED)):
        while (await episode.status()).state is not state:
            await asyncio.sleep(0.01)
        assert (await episode.step({"type": "echo"})).step_index == 1


async def test_a_step_waits_for_room_to_wake_its_episode(
    node: Node, client: AsyncClient, episode: AsyncEpisode, monkeypatch: pytest.MonkeyPatch
) -> None:
    from envserver.episodes.admission import Admission

    monkeypatch.setattr(Admission, "retry_after_s", lambda *_: 0.01)
    await episode.hibernate()
    refusals = iter([Overloaded("full", retry_after_s=0.01)] * 3)
    join = Admission.join

    def full(admission: Admission, *arguments: object) -> object:
        for refusal in refusals:
            raise refusal
        return join(admission, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Admission, "join", full)
    assert (await episode.step({"type": "echo"})).step_index == 1


async def test_automatic_checkpoints_are_taken_and_the_oldest_go(client: AsyncClient) -> None:
    episode = await client.create("scripted", task="a", checkpoints={"every_steps": 1, "keep": 2, "kind": "replay"})
    for number in range(4):
        await put(episode, number)
        while (await _newest(client, episode)) != number + 1:
            await asyncio.sleep(0.001)
    kept = (await client.checkpoints(episode_id=episode.episode_id)).checkpoints
    assert [(info.step_index, info.automatic, info.kind) for info in kept] == [(3, True, "replay"), (4, True, "replay")]


async def test_automatic_checkpoints_end_with_their_episode(client: AsyncClient) -> None:
    episode = await client.create("scripted", task="a", checkpoints={"every_steps": 1, "kind": "replay"})
    await put(episode, 1)
    while (await _newest(client, episode)) != 1:
        await asyncio.sleep(0.001)
    await episode.close()
    async with asyncio.timeout(0.5):
        while (await client.checkpoints()).checkpoints:
            await asyncio.sleep(0.01)


async def _newest(client: AsyncClient, episode: AsyncEpisode) -> int:
    found = (await client.checkpoints(episode_id=episode.episode_id)).checkpoints
    return found[-1].step_index if len(found) <= 2 and found else 0


async def test_a_lost_world_goes_on_from_its_checkpoint_and_the_loop_with_it(
    node: Node, client: AsyncClient, runtime: ScriptedRuntime
) -> None:
    episode = await client.create("scripted", task="a", recovery="restore")
    await put(episode, "saved")
    checkpoint = await episode.checkpoint()
    await put(episode, "unsaved")
    runtime.hold = asyncio.Event()
    runtime.available = False  # the launcher does not answer: the fault is ours
    step = await episode.step({"type": "die"})
    runtime.available = True
    assert (step.outcome, step.trainable, step.done) == ("episode_lost", False, False)
    assert step.recovery is not None
    assert step.recovery["checkpoint_id"] == checkpoint.checkpoint_id
    assert (episode.generation, episode.step_index) == (2, 1)
    assert episode.observation == {"was": "saved", "taken": 1}
    stepping = asyncio.ensure_future(episode.step({"type": "get"}))  # waits while it begins
    refused = node.server.services.metrics.problems.labels("episode_not_live")
    await until(lambda: refused._value.get() >= 2)
    runtime.hold.set()
    step = await stepping
    assert (step.generation, step.step_index, step.observation["value"]) == (2, 2, "saved")
    assert step.recovery is None
    await checkpoint.delete()


async def test_a_batch_goes_on_after_a_lost_world_too(client: AsyncClient, runtime: ScriptedRuntime) -> None:
    lost, other = [await client.create("scripted", recovery="restore") for _ in range(2)]
    checkpoint = await lost.checkpoint()
    runtime.hold = asyncio.Event()
    runtime.creating.clear()
    runtime.available = False
    await client.batch_step([(lost, {"type": "die"}), (other, {"type": "echo"})])
    runtime.available = True
    stepping = asyncio.ensure_future(client.batch_step([(lost, {"type": "echo"}), (other, {"type": "echo"})]))
    await runtime.creating.wait()
    runtime.hold.set()
    results = await stepping
    assert [(each.generation, each.step_index) for each in (lost, other)] == [(2, 1), (1, 2)], results
    await checkpoint.delete()


async def test_a_client_rejoins_an_episode_that_another_one_moved(
    client: AsyncClient, episode: AsyncEpisode, gates: Gates
) -> None:
    await put(episode, 1)
    other = await client.attach(episode.episode_id)
    assert other.observation == episode.observation
    checkpoint = await other.checkpoint()
    await put(episode, 2)
    await other.restore(checkpoint)
    with pytest.raises(StaleGeneration):
        await episode.step({"type": "get"})
    info = await episode.rejoin()
    assert (info.generation, episode.generation, episode.step_index) == (2, 2, 1)
    assert episode.observation == {"was": 1, "taken": 1}
    assert await held(episode) == 1
    resetting = asyncio.ensure_future(other.reset(options={"gate": "reset"}))
    await gates.reached("reset")
    rejoining = asyncio.ensure_future(episode.rejoin())
    gates.open("reset")
    await asyncio.gather(resetting, rejoining)
    assert (episode.generation, episode.step_index, episode.observation) == (3, 0, {"prompt": "Say a."})
    await checkpoint.delete()
