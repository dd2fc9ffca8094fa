"""Episodes begin as a whole or not at all, and end leaving nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from envserver.episodes.manager import merge_limits
from envserver.runtimes.base import CapacityError, ImageNotFoundError, Limits, RuntimeUnavailableError, SandboxSpec
from envserver_sdk.errors import (
    EpisodeClosed,
    EpisodeLost,
    EpisodeNotLive,
    InfraError,
    InvalidRequest,
    NotFound,
    Overloaded,
    Problem,
    ShuttingDown,
    StaleGeneration,
)
from envserver_sdk.models import CreateEpisode, EpisodeState, LimitsRequest
from tests.unit.episodes.helpers import begin, request, step, until
from tests.unit.fixtures import MakeManager
from tests.unit.scripted import Gates, ScriptedRuntime


async def test_a_create_is_labelled_limited_and_bounded_in_time(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    episode = await begin(make_manager(), ttl_s=100, limits={"memory_bytes": 64 << 20})
    (sandbox,) = runtime.sandboxes.values()
    assert sandbox.spec.labels == {
        "episode": episode.episode_id, "generation": "1", "environment": "scripted", "task_set": "letters",
        "task": "a", "owner": "default", "purpose": "episode",
    }  # fmt: skip
    assert sandbox.spec.limits.memory_bytes == 64 << 20
    assert sandbox.spec.ttl_s == 400


async def test_the_task_is_drawn_by_the_seed_which_is_drawn_if_none_is_given(make_manager: MakeManager) -> None:
    manager = make_manager()
    same = [await begin(manager, task=None, seed=7) for _ in range(3)]
    assert len({episode.plan.task.task_id for episode in same}) == 1
    drawn = [await begin(manager, task=None) for _ in range(12)]
    assert len({episode.info().seed for episode in drawn}) == 12
    assert len({episode.plan.task.task_id for episode in drawn}) > 1


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"environment": "none"}, NotFound),
        ({"task": "z"}, NotFound),
        ({"task_set": "numbers"}, NotFound),
        ({"options": {"typo": 1}}, InvalidRequest),
        ({"options": {"crash": True}}, InfraError),
        ({"limits": {"shm_bytes": 1 << 40}}, InvalidRequest),
        ({"limits": {"memory_bytes": 1 << 39}}, InvalidRequest),
    ],
)
async def test_a_create_that_fails_says_why_and_leaves_nothing(
    make_manager: MakeManager, runtime: ScriptedRuntime, members: dict[str, Any], problem: type[Problem]
) -> None:
    manager = make_manager(capacity_memory_bytes=1 << 30)
    with pytest.raises(problem) as caught:
        await manager.create(CreateEpisode(**{"environment": "scripted", **members}))
    assert "secret" not in str(caught.value)
    assert not runtime.sandboxes
    assert manager.services.admission.admitted == 0
    assert not manager.page(state=None, environment=None, cursor=None, limit=10).episodes


@pytest.mark.parametrize(
    ("error", "problem", "tries"),
    [
        (CapacityError("full"), Overloaded, 1),
        (ImageNotFoundError("scripted"), InfraError, 1),
        (RuntimeUnavailableError("down"), InfraError, 2),
    ],
)
async def test_what_the_runtime_refuses(
    make_manager: MakeManager, runtime: ScriptedRuntime, error: Exception, problem: type[Problem], tries: int
) -> None:
    runtime.fail_creates = [error, error]
    with pytest.raises(problem):
        await begin(make_manager())
    assert runtime.counts["create"] == tries


async def test_a_start_that_fails_once_is_tried_again(make_manager: MakeManager, runtime: ScriptedRuntime) -> None:
    runtime.fail_creates = [RuntimeUnavailableError("once")]
    assert (await begin(make_manager())).state is EpisodeState.LIVE


@pytest.mark.parametrize("phase", ["queue", "sandbox", "reset"])
async def test_a_create_cancelled_in_any_phase_leaves_nothing(
    make_manager: MakeManager, runtime: ScriptedRuntime, gates: Gates, phase: str
) -> None:
    manager = make_manager(max_episodes=1)
    options = {}
    if phase == "queue":
        await begin(manager)
    elif phase == "sandbox":
        runtime.hold = asyncio.Event()
    else:
        options = {"gate": "reset"}
    before = (len(runtime.sandboxes), manager.services.admission.admitted)
    creating = asyncio.ensure_future(begin(manager, options=options))
    if phase == "queue":
        await until(lambda: manager.services.admission.queued == 1)
    elif phase == "sandbox":
        await runtime.creating.wait()
    else:
        await gates.reached("reset")
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    runtime.hold = None
    assert (len(runtime.sandboxes), manager.services.admission.admitted) == before
    assert manager.services.admission.queued == 0


async def test_an_episode_closed_while_it_begins_ends_its_create(
    make_manager: MakeManager, runtime: ScriptedRuntime, gates: Gates
) -> None:
    manager = make_manager()
    creating = asyncio.ensure_future(begin(manager, options={"gate": "reset"}))
    await gates.reached("reset")
    (info,) = manager.page(state=EpisodeState.STARTING, environment=None, cursor=None, limit=10).episodes
    await manager.close(info.episode_id)
    with pytest.raises(EpisodeClosed):
        await creating
    assert not runtime.sandboxes


async def test_starts_are_bounded_in_number(make_manager: MakeManager, runtime: ScriptedRuntime) -> None:
    manager = make_manager(start_concurrency=2)
    runtime.hold = asyncio.Event()
    creating = [asyncio.ensure_future(begin(manager)) for _ in range(6)]
    await until(
        lambda: len(manager.page(state=EpisodeState.STARTING, environment=None, cursor=None, limit=9).episodes) == 6
    )
    assert runtime.counts["create"] == 2
    runtime.hold.set()
    await asyncio.gather(*creating)


async def test_a_queued_create_shows_its_position_and_begins_when_there_is_room(make_manager: MakeManager) -> None:
    manager = make_manager(max_episodes=1)
    first = await begin(manager)
    waiting = [asyncio.ensure_future(begin(manager)) for _ in range(2)]
    await until(lambda: manager.services.admission.queued == 2)
    queued = manager.page(state=EpisodeState.QUEUED, environment=None, cursor=None, limit=10).episodes
    assert [info.queue_position for info in queued] == [1, 2]
    await manager.close(first.episode_id)
    second = await waiting[0]
    assert second.state is EpisodeState.LIVE
    await manager.close(second.episode_id)
    await waiting[1]


async def test_reset_begins_the_next_generation_in_a_new_container(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    manager = make_manager()
    episode = await begin(manager)
    await step(episode)
    old = set(runtime.sandboxes)
    await manager.reset(episode.episode_id, 5, {})
    assert (episode.generation, episode.step_index, episode.info().seed) == (2, 0, 5)
    assert len(runtime.sandboxes) == 1
    assert not old & set(runtime.sandboxes)
    assert manager.services.admission.admitted == 1


async def test_a_reset_by_options_that_there_are_not_changes_nothing(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    manager = make_manager()
    episode = await begin(manager)
    refused: tuple[dict[str, object], ...] = ({"refused": True}, {"protocol": "no such protocol"})
    for options in refused:
        with pytest.raises(InvalidRequest):
            await manager.reset(episode.episode_id, 3, options)
        with pytest.raises(InvalidRequest):
            await begin(manager, options=options)
    assert (episode.info().state, episode.info().generation) == (EpisodeState.LIVE, 1)
    assert runtime.counts["create"] == 1
    assert (await step(episode, {"type": "echo", "value": 1})).outcome == "ok"


async def test_reset_under_a_running_step_ends_it_as_stale(make_manager: MakeManager, gates: Gates) -> None:
    manager = make_manager()
    episode = await begin(manager)
    record = episode.step(request(1, {"type": "wait", "gate": "never"}))
    await gates.reached("never")
    await manager.reset(episode.episode_id, None, {})
    with pytest.raises(StaleGeneration):
        _ = record.result
    assert (await step(episode)).generation == 2


async def test_reset_begins_an_ended_or_failed_episode_anew(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    manager = make_manager()
    episode = await begin(manager)
    for kind in ("end", "die", "crash"):
        await step(episode, {"type": kind})
        await manager.reset(episode.episode_id, None, {})
        assert (episode.state, episode.reason) == (EpisodeState.LIVE, None)
    runtime.fail_creates = [RuntimeUnavailableError("down")] * 2
    with pytest.raises(InfraError):
        await manager.reset(episode.episode_id, None, {})
    assert episode.state is EpisodeState.FAILED
    await manager.reset(episode.episode_id, None, {})
    assert (await step(episode)).outcome == "ok"


async def test_a_second_reset_while_one_runs_is_refused(make_manager: MakeManager, gates: Gates) -> None:
    manager = make_manager()
    episode = await begin(manager)
    resetting = asyncio.ensure_future(manager.reset(episode.episode_id, None, {"gate": "g"}))
    await gates.reached("g")
    with pytest.raises(EpisodeNotLive):
        await manager.reset(episode.episode_id, None, {})
    with pytest.raises(EpisodeNotLive) as caught:
        episode.step(request(1))
    assert caught.value.extra["state"] == "starting"
    gates.open("g")
    await resetting


async def test_close_under_a_running_step_tells_its_waiters_and_frees_everything(
    make_manager: MakeManager, runtime: ScriptedRuntime, gates: Gates
) -> None:
    manager = make_manager()
    episode = await begin(manager)
    record = episode.step(request(1, {"type": "wait", "gate": "never"}))
    await gates.reached("never")
    await asyncio.gather(*(manager.close(episode.episode_id) for _ in range(3)))
    assert await record.wait(0)
    with pytest.raises(EpisodeClosed):
        _ = record.result
    assert not runtime.sandboxes
    assert manager.services.admission.admitted == 0
    assert (await manager.close(episode.episode_id)).info().reason == "deleted"


async def test_tombstones_are_bounded(make_manager: MakeManager) -> None:
    manager = make_manager(tombstones=2)
    episodes = [await begin(manager) for _ in range(3)]
    for episode in episodes:
        await manager.close(episode.episode_id)
    with pytest.raises(NotFound):
        manager.episode(episodes[0].episode_id)
    with pytest.raises(EpisodeClosed):
        manager.episode(episodes[2].episode_id)


async def test_listing_pages_in_the_order_of_making(make_manager: MakeManager) -> None:
    manager = make_manager()
    made = [(await begin(manager)).episode_id for _ in range(5)]
    await manager.close(made.pop(1))
    seen: list[str] = []
    cursor = None
    while True:
        page = manager.page(state=None, environment="scripted", cursor=cursor, limit=2)
        seen += [info.episode_id for info in page.episodes]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == made
    assert len(manager.page(state=EpisodeState.CLOSED, environment=None, cursor=None, limit=9).episodes) == 1


async def test_a_restarted_server_lists_what_it_finds_as_lost_and_can_close_it(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    labels = {"episode": "ep_old", "generation": "3", "environment": "scripted", "task": "a", "purpose": "episode"}
    await runtime.create(SandboxSpec("scripted", labels=labels))
    await runtime.create(SandboxSpec("scripted", labels={**labels, "purpose": "grading"}))
    manager = make_manager()
    await manager.adopt()
    assert not runtime.labelled("grading"), "a verdict that nobody waits for is not made"
    (info,) = manager.page(state=EpisodeState.LOST, environment=None, cursor=None, limit=9).episodes
    assert (info.episode_id, info.generation, info.reason) == ("ep_old", 3, "server_restarted")
    assert manager.services.admission.admitted == 1, "it still takes its memory"
    with pytest.raises(EpisodeLost):
        manager.episode("ep_old")
    await manager.close("ep_old")
    assert not runtime.sandboxes
    assert manager.services.admission.admitted == 0
    assert (await manager.close("ep_old")).info().state is EpisodeState.CLOSED


async def test_draining_lets_running_steps_finish_and_begins_nothing(make_manager: MakeManager, gates: Gates) -> None:
    manager = make_manager()
    episode, idle = await begin(manager), await begin(manager)
    record = episode.step(request(1, {"type": "wait", "gate": "g"}))
    await gates.reached("g")
    draining = asyncio.ensure_future(manager.drain(5.0))
    await until(lambda: manager.draining)
    with pytest.raises(ShuttingDown):
        idle.step(request(1))
    with pytest.raises(ShuttingDown):
        await begin(manager)
    assert episode.step(request(1, {"type": "wait", "gate": "g"})) is record
    gates.open("g")
    await draining
    assert record.result


async def test_a_drain_is_bounded_and_shutdown_ends_what_is_left(
    make_manager: MakeManager, runtime: ScriptedRuntime, gates: Gates
) -> None:
    manager = make_manager()
    episode = await begin(manager)
    record = episode.step(request(1, {"type": "wait", "gate": "never"}))
    await manager.drain(0.01)
    await manager.shutdown(5.0)
    with pytest.raises(EpisodeClosed):
        _ = record.result
    assert not runtime.sandboxes


async def test_a_sandbox_that_cannot_be_destroyed_at_once_is_tried_again(
    make_manager: MakeManager, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envserver.episodes.services.DESTROY_BACKOFF_S", (0.001, 0.001))
    real, failures = ScriptedRuntime.destroy, [RuntimeUnavailableError("busy")] * 9

    async def destroy(self: ScriptedRuntime, sandbox_id: str) -> None:
        if failures:
            raise failures.pop()
        await real(self, sandbox_id)

    monkeypatch.setattr(ScriptedRuntime, "destroy", destroy)
    manager = make_manager()
    await manager.close((await begin(manager)).episode_id)
    await runtime.empty.wait()
    assert not failures


async def test_what_could_not_be_destroyed_is_tried_at_once_when_the_server_ends(
    make_manager: MakeManager, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envserver.episodes.services.DESTROY_BACKOFF_S", (3600.0,))
    monkeypatch.setattr("envserver.episodes.services.LEAVING_S", 0.001)
    real, failures = ScriptedRuntime.destroy, [RuntimeUnavailableError("the launcher was killed")] * 3

    async def destroy(self: ScriptedRuntime, sandbox_id: str) -> None:
        if failures:
            raise failures.pop()
        await real(self, sandbox_id)

    monkeypatch.setattr(ScriptedRuntime, "destroy", destroy)
    manager = make_manager()
    await manager.close((await begin(manager)).episode_id)
    assert runtime.sandboxes
    await manager.shutdown(5.0)
    assert not runtime.sandboxes


def test_limits_that_are_left_out_are_the_environments() -> None:
    assert merge_limits(Limits(pids=9), LimitsRequest(cpus=0.5)) == Limits(pids=9, cpus=0.5)
    assert merge_limits(Limits(), LimitsRequest(memory_bytes=100 << 20)).shm_bytes == 40 << 20


async def test_it_is_tried_again_though_whoever_gave_it_up_was_cancelled_meanwhile(
    make_manager: MakeManager, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envserver.episodes.services.DESTROY_BACKOFF_S", (0.01,))
    manager = make_manager()
    await begin(manager)
    (sandbox,) = runtime.sandboxes.values()
    real, reached, refused = ScriptedRuntime.destroy, asyncio.Event(), asyncio.Event()

    async def destroy(self: ScriptedRuntime, sandbox_id: str) -> None:
        if not reached.is_set():
            reached.set()
            await refused.wait()
            raise RuntimeUnavailableError("the launcher was killed")
        await real(self, sandbox_id)

    monkeypatch.setattr(ScriptedRuntime, "destroy", destroy)
    giving_up = asyncio.ensure_future(manager.services.destroy(sandbox))
    await reached.wait()
    giving_up.cancel()
    await asyncio.gather(giving_up, return_exceptions=True)
    refused.set()
    await until(lambda: not runtime.sandboxes)
