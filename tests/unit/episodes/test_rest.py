"""Pausing and hibernating: when an episode stands still, what that frees, what wakes it, and whose time it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from envserver.episodes.saving import Wish
from envserver.runtimes.base import (
    CapacityError,
    CheckpointError,
    RuntimeUnavailableError,
    Sandbox,
    SandboxError,
    SandboxGoneError,
    SandboxState,
)
from envserver_sdk.errors import (
    CheckpointFailed,
    EpisodeEnded,
    EpisodeLost,
    InfraError,
    NotFound,
    NotSupported,
    Overloaded,
    StaleGeneration,
)
from envserver_sdk.models import CheckpointKind, EpisodeState, Recovery
from tests.unit.episodes.helpers import begin, request, step, until
from tests.unit.episodes.lives import Lives
from tests.unit.scripted import Gates, ScriptedEnvironment, ScriptedRuntime

PAUSED, HIBERNATED = EpisodeState.PAUSED, EpisodeState.HIBERNATED
GET = {"type": "get"}


@pytest.fixture
async def lives(tmp_path: Path, gates: Gates) -> AsyncIterator[Lives]:
    made = Lives(tmp_path / "journal", max_episodes=2, queue_timeout_s=0.05)
    await made.boot()
    yield made
    await made.end()
    assert not made.runtime.sandboxes, "a test left sandboxes behind"
    assert made.manager.services.admission.admitted == 0


async def _pass(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    later = loop.time() + seconds
    await until(lambda: loop.time() > later)


@pytest.mark.parametrize("state", [PAUSED, HIBERNATED])
async def test_the_next_step_wakes_it_with_all_that_it_had(lives: Lives, state: EpisodeState) -> None:
    episode = await begin(lives.manager)
    await step(episode, {"type": "set", "value": 7})
    await episode.rest(state)
    await episode.rest(state)
    (sandbox,) = lives.runtime.sandboxes.values()
    assert (episode.info().state, sandbox.state.value) == (state, state.value)
    assert (await step(episode, GET)).observation == {"value": 7, "taken": 2}
    assert episode.info().state is EpisodeState.LIVE
    assert next(iter(lives.runtime.sandboxes.values())).state is SandboxState.RUNNING


async def test_a_hibernated_one_gives_its_capacity_to_others_and_asks_for_it_again(lives: Lives) -> None:
    sleeper, other = await begin(lives.manager), await begin(lives.manager)
    await sleeper.rest(HIBERNATED)
    third = await begin(lives.manager)
    record = sleeper.step(request(1, GET))
    assert await record.wait(5)
    with pytest.raises(Overloaded):
        _ = record.result
    assert sleeper.info().state is HIBERNATED
    await lives.manager.close(other.episode_id)
    assert (await step(sleeper, GET)).step_index == 1, "the name was not used up"
    assert third.info().state is EpisodeState.LIVE


async def test_who_was_told_to_wait_for_a_step_that_never_began_is_told_why(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await episode.rest(HIBERNATED)
    lives.runtime.fail_adopts = [RuntimeUnavailableError("the launcher was killed")]
    assert await episode.step(request(1, GET)).wait(5)
    asked = episode.record(1, None)
    assert asked.done
    with pytest.raises(InfraError):
        _ = asked.result
    with pytest.raises(NotFound, match="has not been sent"):
        episode.record(2, None)
    assert (await step(episode, GET)).observation["taken"] == 1, "its name was not used up"
    assert json.loads(episode.record(1, None).result)["step_index"] == 1


async def test_it_falls_asleep_by_itself_between_steps_and_never_under_one(lives: Lives, gates: Gates) -> None:
    episode = await begin(lives.manager, pause_after_s=0.02, hibernate_after_s=0.1)
    running = episode.step(request(1, {"type": "wait", "gate": "g"}))
    await gates.reached("g")
    await _pass(0.15)
    assert episode.info().state is EpisodeState.LIVE
    gates.open("g")
    assert await running.wait(5)
    await until(lambda: episode.info().state is PAUSED)
    await until(lambda: episode.info().state is HIBERNATED)
    assert (await step(episode, GET)).outcome == "ok"
    await until(lambda: episode.info().state is PAUSED)


async def test_its_time_stands_still_with_it_and_its_lease_does_not(lives: Lives) -> None:
    episode = await begin(lives.manager)
    for state in (PAUSED, HIBERNATED):
        await episode.rest(state)
        left_s, expires_s = episode.lease.episode_left_s(), episode.lease.expires_in_s()
        await _pass(0.05)
        assert episode.lease.episode_left_s() == left_s
        assert episode.lease.expires_in_s() < expires_s
        await episode.resume()
        assert episode.lease.episode_left_s() < left_s + 0.001


@pytest.mark.parametrize("state", [PAUSED, HIBERNATED])
async def test_files_checkpoints_and_grades_wake_it_too(lives: Lives, state: EpisodeState) -> None:
    episode = await begin(lives.manager)
    await episode.rest(state)
    await (await episode.sandbox()).write_file("/workspace/answer", b"a")
    await episode.rest(state)
    assert (await episode.checkpoint(Wish())).kind == "process"
    await episode.rest(state)
    assert (await episode.grade()).reward == 1.0


@pytest.mark.parametrize("state", [PAUSED, HIBERNATED])
async def test_it_is_put_to_rest_after_a_reader_and_never_under_one(lives: Lives, state: EpisodeState) -> None:
    episode = await begin(lives.manager)
    await (await episode.sandbox()).write_file("/workspace/answer", b"a")
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def read(sandbox: Sandbox) -> bytes:
        reading.set()
        await go_on.wait()
        return await sandbox.read_file("/workspace/answer")

    first = asyncio.ensure_future(episode.in_sandbox(read))
    await reading.wait()
    resting = asyncio.ensure_future(episode.rest(state))
    await asyncio.sleep(0)
    late = asyncio.ensure_future(episode.in_sandbox(lambda box: box.read_file("/workspace/answer")))
    await _pass(0.02)
    assert not resting.done() and not late.done()
    go_on.set()
    assert [await first, await late] == [b"a", b"a"]
    await resting
    assert lives.runtime.counts[{PAUSED: "pause", HIBERNATED: "hibernate"}[state]] == 1


@pytest.mark.parametrize("state", [PAUSED, HIBERNATED])
async def test_a_reader_that_comes_while_it_falls_asleep_wakes_it(
    lives: Lives, state: EpisodeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = await begin(lives.manager)
    await (await episode.sandbox()).write_file("/workspace/answer", b"a")
    name = {PAUSED: "pause", HIBERNATED: "hibernate"}[state]
    real, reached, go_on = getattr(ScriptedRuntime, name), asyncio.Event(), asyncio.Event()

    async def slowly(self: ScriptedRuntime, sandbox: Sandbox) -> None:
        reached.set()
        await go_on.wait()
        await real(self, sandbox)

    monkeypatch.setattr(ScriptedRuntime, name, slowly)
    resting = asyncio.ensure_future(episode.rest(state))
    await reached.wait()
    reading = asyncio.ensure_future(episode.in_sandbox(lambda box: box.read_file("/workspace/answer")))
    await asyncio.sleep(0)
    go_on.set()
    assert await reading == b"a"
    await resting


async def test_a_sandbox_that_is_gone_is_not_asked_again(lives: Lives) -> None:
    episode = await begin(lives.manager)
    (sandbox,) = lives.runtime.sandboxes.values()
    sandbox.dead = True
    with pytest.raises(SandboxGoneError):
        await episode.in_sandbox(lambda box: box.read_file("/workspace/answer"))


async def test_it_does_not_fall_asleep_by_itself_under_a_reader(lives: Lives) -> None:
    episode = await begin(lives.manager, pause_after_s=0.02)

    async def read(_: Sandbox) -> EpisodeState:
        await _pass(0.06)
        return episode.info().state

    assert await episode.in_sandbox(read) is EpisodeState.LIVE
    await until(lambda: episode.info().state is PAUSED)


@pytest.mark.parametrize("state", [PAUSED, HIBERNATED])
async def test_it_can_be_closed_and_reset_where_it_lies(lives: Lives, state: EpisodeState) -> None:
    closed, again = await begin(lives.manager), await begin(lives.manager)
    await closed.rest(state)
    await lives.manager.close(closed.episode_id)
    await again.rest(state)
    await lives.manager.reset(again.episode_id, 3, {})
    assert (await step(again, GET)).observation == {"value": 3, "taken": 1}
    assert len(lives.runtime.sandboxes) == 1


async def test_what_cannot_be_put_to_disk_runs_on(lives: Lives) -> None:
    episode = await begin(lives.manager)
    lives.runtime.fail_checkpoints = [CheckpointError("a socket")]
    with pytest.raises(CheckpointFailed):
        await episode.rest(HIBERNATED)
    assert episode.info().state is EpisodeState.LIVE
    assert lives.manager.services.admission.admitted == 1
    assert (await step(episode, GET)).outcome == "ok"


async def test_a_runtime_that_cannot_says_so(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    from envserver.runtimes.base import Runtime

    for name in ("pause", "hibernate"):
        monkeypatch.setattr(ScriptedRuntime, name, getattr(Runtime, name))
    episode = await begin(lives.manager)
    for state in (PAUSED, HIBERNATED):
        with pytest.raises(NotSupported):
            await episode.rest(state)
    assert episode.info().state is EpisodeState.LIVE


async def test_what_may_not_be_saved_with_its_processes_is_not_put_to_disk(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = frozenset({CheckpointKind.REPLAY})
    monkeypatch.setattr(ScriptedEnvironment, "spec", replace(ScriptedEnvironment.spec, checkpoints=whole))
    episode = await begin(lives.manager, hibernate_after_s=0.1)
    with pytest.raises(NotSupported):
        await episode.rest(HIBERNATED)
    await _pass(0.15)
    assert (episode.info().state, lives.runtime.counts["hibernate"]) == (EpisodeState.LIVE, 0)
    assert (await step(episode, GET)).outcome == "ok"


async def test_one_that_cannot_be_woken_is_tried_again_and_then_lost(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await episode.rest(HIBERNATED)
    lives.runtime.fail_adopts = [RuntimeUnavailableError("the launcher was killed")] * 5
    lives.runtime.fail_adopts += [SandboxError("restoring failed")] * 3
    caught = []
    for _ in range(8):
        record = episode.step(request(1, GET))
        assert await record.wait(5)
        with pytest.raises((InfraError, EpisodeLost)) as raised:
            _ = record.result
        caught.append(raised.type)
    assert caught == [InfraError] * 7 + [EpisodeLost]
    assert (episode.info().state, lives.manager.services.admission.admitted) == (EpisodeState.LOST, 0)
    await until(lambda: not lives.runtime.sandboxes)


async def test_one_that_has_vanished_from_the_disk_is_lost(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await episode.rest(HIBERNATED)
    await lives.runtime.destroy(next(iter(lives.runtime.sandboxes)))
    record = episode.step(request(1, GET))
    assert await record.wait(5)
    with pytest.raises(EpisodeLost):
        _ = record.result
    assert lives.manager.services.admission.admitted == 0
    assert (episode.info().state, episode.info().reason) == (EpisodeState.LOST, "sandbox_gone")
    await lives.reboot()
    assert lives.episode(episode.episode_id).info().state is EpisodeState.LOST


async def test_one_that_has_vanished_comes_back_from_its_checkpoint_if_that_is_wanted(lives: Lives) -> None:
    episode = await begin(lives.manager, recovery=Recovery.RESTORE)
    await step(episode, {"type": "set", "value": 7})
    await episode.checkpoint(Wish())
    await step(episode, {"type": "set", "value": 8})
    await episode.rest(HIBERNATED)
    await lives.runtime.destroy(next(iter(lives.runtime.sandboxes)))
    record = episode.step(request(3, GET))
    assert await record.wait(5)
    with pytest.raises(StaleGeneration) as caught:
        _ = record.result
    assert caught.value.extra["generation"] == 2
    await until(lambda: episode.state is EpisodeState.LIVE)
    assert (await step(episode, GET)).observation == {"value": 7, "taken": 2}


async def test_an_ended_episode_is_not_put_to_rest(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await step(episode, {"type": "end"})
    with pytest.raises(EpisodeEnded):
        await episode.rest(PAUSED)


async def test_a_full_node_says_when_waking_has_no_room(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    episode = await begin(lives.manager)
    await episode.rest(HIBERNATED)

    async def full(*_: object) -> None:
        raise CapacityError("no uid range is free")

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedRuntime, "adopt", full)
        record = episode.step(request(1, GET))
        assert await record.wait(5)
        with pytest.raises(Overloaded):
            _ = record.result
    assert lives.manager.services.admission.admitted == 0
    assert (await step(episode, GET)).outcome == "ok"
