"""A server that ends and another that goes on with its journal: calls under way get their results, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from envserver.episodes.journal.rows import CallRow
from envserver_sdk import AsyncClient, Timeouts
from envserver_sdk.errors import ConnectionFailed, EpisodeLost, ShuttingDown, StaleGeneration
from envserver_sdk.models import EpisodeState
from tests.unit.episodes.helpers import until
from tests.unit.scripted import Gates, ScriptedGrader, ScriptedRuntime
from tests.unit.sdk.nodes import Node


@pytest.fixture
async def client(node: Node) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(node.url) as client:
        yield client


async def test_a_step_under_way_is_answered_by_the_next_server_and_ran_once(
    node: Node, client: AsyncClient, gates: Gates
) -> None:
    episodes = [await client.create("scripted", task="a") for _ in range(5)]
    steps = [asyncio.ensure_future(episode.step({"type": "wait", "gate": "g"})) for episode in episodes]
    await until(lambda: gates.counts["g"] == 5)
    await node.stop()
    assert not any(step.done() for step in steps)
    await node.next()
    gates.open("g")
    assert [(await step).observation for step in steps] == [{"passed": "g"}] * 5
    assert gates.counts["g"] == 5
    assert [episode.step_index for episode in episodes] == [1] * 5


async def test_a_result_that_was_not_fetched_is_there_after_the_restart(
    node: Node, client: AsyncClient, gates: Gates
) -> None:
    async with AsyncClient(node.url, timeouts=Timeouts(step_s=0.05)) as impatient:
        episode = await impatient.create("scripted", seed=1)
        with pytest.raises(Exception, match="no answer"):
            await episode.step({"type": "wait", "gate": "g"})
    gates.open("g")
    again = await client.attach(episode.episode_id)
    await until(lambda: gates.counts["g"] == 1)
    await node.stop()
    await node.next()
    episode._link = again._link
    assert (await episode.step({"type": "wait", "gate": "g"})).observation == {"passed": "g"}
    assert gates.counts["g"] == 1
    assert (await client.attach(episode.episode_id)).observation == {"passed": "g"}


async def test_new_steps_and_creates_wait_out_a_server_that_is_shutting_down(
    node: Node, client: AsyncClient, gates: Gates
) -> None:
    busy, idle = [await client.create("scripted") for _ in range(2)]
    running = asyncio.ensure_future(busy.step({"type": "wait", "gate": "g"}))
    await gates.reached("g")
    node.server.services.admission.close()  # as it does first of all
    refused = node.server.services.metrics.problems.labels("shutting_down")
    stepping = asyncio.ensure_future(idle.step({"type": "echo", "value": 1}))
    grouping = asyncio.ensure_future(client.group("scripted", n=2).__aenter__())
    batch = asyncio.ensure_future(client.batch_step([(await client.attach(busy.episode_id), {"type": "echo"})]))
    await until(lambda: refused._value.get() >= 2)
    await node.stop()
    await node.next()
    gates.open("g")
    assert (await stepping).observation["value"] == 1
    assert len(await grouping) == 2
    assert (await running).observation == {"passed": "g"}
    (mismatch,) = await batch
    assert mismatch.code == "idempotency_mismatch"  # type: ignore[union-attr]


async def test_keyed_calls_under_way_happen_once(node: Node, client: AsyncClient, runtime: ScriptedRuntime) -> None:
    episode = await client.create("scripted", seed=1)
    checkpoint = await episode.checkpoint()
    runtime.hold = asyncio.Event()
    runtime.creating.clear()
    calls = [
        asyncio.ensure_future(checkpoint.fork(2)),
        asyncio.ensure_future(client.group("scripted", n=2).__aenter__()),
    ]
    await until(lambda: runtime.counts["create"] == 4)
    await node.stop()
    runtime.hold = None
    await node.next()
    forks, group = await asyncio.gather(*calls)
    assert (len(forks), len(group)) == (2, 2)  # type: ignore[arg-type]
    assert len(runtime.sandboxes) == 5
    assert len((await client.list()).episodes) == 5
    await checkpoint.delete()


async def test_a_checkpoint_whose_answer_was_lost_is_not_taken_again(
    node: Node, client: AsyncClient, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = await client.create("scripted", seed=1)
    journal = node.server.journal
    taken, save = asyncio.Event(), journal.save_call

    async def save_call(row: CallRow, *, durable: bool = False) -> None:
        if row.body is not None:  # the answer: here the server is killed
            taken.set()
            await asyncio.Event().wait()
        await save(row, durable=durable)

    monkeypatch.setattr(journal, "save_call", save_call)
    saving = asyncio.ensure_future(episode.checkpoint())
    await taken.wait()
    await node.stop()
    await node.next()
    checkpoint = await saving
    listed = (await client.checkpoints(episode_id=episode.episode_id)).checkpoints
    assert [info.checkpoint_id for info in listed] == [checkpoint.checkpoint_id]
    assert len(runtime.stored) == 1
    await checkpoint.delete()


async def test_gradings_under_way_are_answered_by_the_next_server(
    node: Node, client: AsyncClient, grader: ScriptedGrader, gates: Gates
) -> None:
    submitting, graded = [await client.create("scripted", task="a") for _ in range(2)]
    grader.gate = "grade"
    stepping = asyncio.ensure_future(submitting.step({"type": "submit", "answer": "a"}))
    grading = asyncio.ensure_future(graded.grade())
    await until(lambda: gates.counts["grade"] == 2)
    await node.stop()
    gates.open("grade")
    await node.next()
    step, grade = await stepping, await grading
    assert (step.reward, step.terminated, step.trainable) == (1.0, True, True)
    assert (grade.reward, grade.trainable) == (0.0, True)
    assert (await submitting.grade()).reward == 1.0


async def test_rest_under_way_is_asked_for_again(
    node: Node, client: AsyncClient, runtime: ScriptedRuntime, gates: Gates
) -> None:
    episode = await client.create("scripted", seed=3)
    running = asyncio.ensure_future(episode.step({"type": "wait", "gate": "g"}))
    await gates.reached("g")
    resting = asyncio.ensure_future(episode.hibernate())  # waits for the step
    await asyncio.sleep(0)
    await node.stop()
    await node.next()
    gates.open("g")
    assert (await running).step_index == 1
    assert (await resting).state is EpisodeState.HIBERNATED
    assert (await episode.step({"type": "get"})).observation["value"] == 3


async def test_a_restore_under_way_is_carried_through(
    node: Node, client: AsyncClient, runtime: ScriptedRuntime
) -> None:
    episode = await client.create("scripted", seed=1)
    checkpoint = await episode.checkpoint()
    await episode.step({"type": "set", "value": 2})
    runtime.hold = asyncio.Event()
    runtime.creating.clear()
    restoring = asyncio.ensure_future(episode.restore(checkpoint))
    await runtime.creating.wait()
    await node.stop()
    runtime.hold = None
    await node.next()
    assert (await restoring).generation == episode.generation == 2
    assert (await episode.step({"type": "get"})).observation["value"] == 1
    await checkpoint.delete()


async def test_groups_and_resting_episodes_are_there_after_a_restart(node: Node, client: AsyncClient) -> None:
    stragglers = {"finished": 1, "grace_s": 0.0}
    async with client.group("scripted", n=3, task="a", seed=4, stragglers=stragglers) as group:
        await group[1].hibernate()
        await group[2].pause()
        await node.stop()
        await node.next()
        states = [info.state for info in (await group.status()).episodes]
        assert states[:2] == [EpisodeState.LIVE, EpisodeState.HIBERNATED]
        assert (await group[1].step({"type": "get"})).observation["value"] == 4
        await group[0].step({"type": "end"})
        while (await group[2].status()).reason != "straggler":
            await asyncio.sleep(0.001)


async def test_a_world_that_was_lost_between_two_servers_is_rejoined_or_lost(
    node: Node, client: AsyncClient, runtime: ScriptedRuntime
) -> None:
    kept = await client.create("scripted", recovery="restore", seed=6)
    lost = await client.create("scripted")
    checkpoint = await kept.checkpoint()
    await kept.step({"type": "set", "value": 7})
    await node.stop()
    runtime.sandboxes.clear()
    await node.next()
    with pytest.raises(StaleGeneration):
        await kept.step({"type": "get"})
    info = await kept.rejoin()
    assert (info.generation, kept.step_index) == (2, 0)
    assert kept.observation == {"prompt": f"Say {info.task}."}
    assert (await kept.step({"type": "get"})).observation["value"] == 6
    with pytest.raises(EpisodeLost):
        await lost.step({"type": "get"})
    assert (await lost.rejoin()).state is EpisodeState.LOST
    await lost.close()
    await checkpoint.delete()


async def test_a_server_that_does_not_come_back_fails_its_calls_within_the_budget(node: Node, gates: Gates) -> None:
    async with AsyncClient(node.url, timeouts=Timeouts(reconnect_s=0.3)) as client:
        episode = await client.create("scripted")
        node.server.services.admission.close()
        with pytest.raises(ShuttingDown):
            await episode.step({"type": "echo"})
        await node.stop()
        with pytest.raises(ConnectionFailed):
            await episode.step({"type": "echo"})
        await node.next()
        assert (await episode.step({"type": "echo"})).step_index == 1


def test_the_budget_for_a_restart_is_half_a_minute_at_least() -> None:
    assert Timeouts().reconnect_s >= 30
