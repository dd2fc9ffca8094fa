"""What a killed server leaves, its successor goes on with: no step runs twice, none is lost, nothing is made up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from envserver import clock
from envserver.episodes.adopting import ADOPT_TRIES
from envserver.episodes.episode import Episode
from envserver.episodes.idempotency import Name, Reply
from envserver.episodes.journal.journal import Journal
from envserver.episodes.records import StepRecord
from envserver.episodes.saved import Saved
from envserver.episodes.saving import Wish
from envserver.runtimes.base import CheckpointKind, RuntimeUnavailableError, SandboxState
from envserver_sdk.errors import EpisodeClosed, EpisodeLost, NotFound, ShuttingDown, StaleGeneration
from envserver_sdk.models import (
    AutoCheckpoints,
    CreateEpisode,
    EpisodeState,
    ForkCheckpoint,
    Recovery,
    StepResult,
)
from envserver_sdk.models import CheckpointKind as SavedKind
from tests.unit.episodes.helpers import begin, request, step, until
from tests.unit.episodes.lives import Lives
from tests.unit.scripted import Gates

SET = {"type": "set", "value": 7}
GET = {"type": "get"}


@pytest.fixture
async def lives(tmp_path: Path, gates: Gates) -> AsyncIterator[Lives]:
    made = Lives(tmp_path / "journal")
    await made.boot()
    yield made
    await made.end()
    assert not made.runtime.sandboxes, "a test left sandboxes behind"
    assert made.manager.services.admission.admitted == 0
    assert made.manager.services.tenants.get("default").episodes == 0


async def repeat(episode: Episode, index: int, action: Any, **members: Any) -> bytes:
    """The same name and action once more, as a client does that got no answer."""
    await episode.recall(index)
    record = episode.step(request(index, action, **members))
    assert await record.wait(5.0)
    return record.result


async def test_an_episode_goes_on_with_its_world_its_steps_and_its_reward(lives: Lives) -> None:
    episode = await begin(lives.manager, seed=3, metadata={"run": 1})
    await step(episode, SET)
    await step(episode, {"type": "score", "reward": 0.25})
    before = episode.info()
    await lives.reboot()
    after = lives.episode(episode.episode_id)
    told = {"usage", "expires_at"}
    assert after.info().model_dump(exclude=told) == before.model_dump(exclude=told)
    assert (await step(after, GET)).observation == {"value": 7, "taken": 3}
    assert lives.runtime.counts["create"] == 1


async def test_a_repeated_step_gets_the_very_bytes_from_the_next_server(lives: Lives, gates: Gates) -> None:
    episode = await begin(lives.manager)
    first = [await repeat(episode, index, {"type": "random"}) for index in (1, 2, 3)]
    await lives.reboot()
    after = lives.episode(episode.episode_id)
    assert [await repeat(after, index, {"type": "random"}) for index in (1, 2, 3)] == first
    assert gates.counts["steps"] == 3


async def test_a_step_under_way_is_finished_by_the_next_server_and_runs_once(lives: Lives, gates: Gates) -> None:
    episode = await begin(lives.manager)
    action = {"type": "wait", "gate": "g"}
    episode.step(request(1, action))
    await gates.reached("g")
    await lives.reboot()
    after = lives.episode(episode.episode_id)
    assert not after.record(1, None).done, "it is known before anyone asks for it"
    gates.open("g")
    result = StepResult.model_validate_json(await repeat(after, 1, action))
    assert result.observation == {"passed": "g"}
    assert gates.counts["g"] == 1


async def test_a_step_that_ended_unseen_is_answered_from_what_the_guest_kept(lives: Lives, gates: Gates) -> None:
    episode = await begin(lives.manager)
    (sandbox,) = lives.runtime.sandboxes.values()
    action = {"type": "wait", "gate": "g"}
    episode.step(request(1, action))
    await gates.reached("g")
    await lives.kill()
    gates.open("g")
    await until(lambda: all(result.done() for result in sandbox.guest.results.values()))
    await lives.boot()
    after = lives.episode(episode.episode_id)
    assert json.loads(await repeat(after, 1, action))["observation"] == {"passed": "g"}
    assert sandbox.guest.ran == {(1, 1): 1}


async def test_a_step_whose_fate_the_guest_forgot_makes_the_episode_lost_and_does_not_run(
    lives: Lives, gates: Gates
) -> None:
    episode = await begin(lives.manager)
    (sandbox,) = lives.runtime.sandboxes.values()
    episode.step(request(1, {"type": "wait", "gate": "g"}))
    await gates.reached("g")
    await lives.kill()
    sandbox.guest.settled = 1
    gates.open("g")
    await lives.boot()
    after = lives.episode(episode.episode_id)
    result = json.loads(await repeat(after, 1, {"type": "wait", "gate": "g"}))
    assert result["info"]["outcome"] == "episode_lost"
    assert result["info"]["trainable"] is False
    with pytest.raises(EpisodeLost):
        after.step(request(2))
    assert gates.counts["g"] == 1


async def test_a_fork_of_what_a_killed_server_had_not_acknowledged_outlives_the_next_one(lives: Lives) -> None:
    episode = await begin(lives.manager)
    (sandbox,) = lives.runtime.sandboxes.values()
    await step(episode, SET)
    assert sandbox.guest.settled == 0, "a server says so with its next call: this one is killed before that"
    await lives.reboot()
    row = await lives.episode(episode.episode_id).checkpoint(Wish(SavedKind.PROCESS))
    body = json.loads(await lives.forks.fork(Saved.of(row), ForkCheckpoint(), "default"))
    await lives.reboot()
    forked = lives.episode(body["episodes"][0]["episode_id"])
    assert (await step(forked, GET)).observation == {"value": 7, "taken": 2}


async def test_a_guest_is_told_by_the_next_server_what_the_last_one_had_written_down(lives: Lives) -> None:
    episode = await begin(lives.manager)
    (sandbox,) = lives.runtime.sandboxes.values()
    await step(episode, SET)
    assert sandbox.guest.settled == 0
    await lives.reboot()
    await lives.episode(episode.episode_id).checkpoint(Wish(SavedKind.PROCESS))
    assert sandbox.guest.settled == 1, "it keeps no result that is in the journal"


async def test_a_launcher_that_is_started_again_meanwhile_costs_no_episode(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await step(episode, SET)
    await lives.kill()
    lives.runtime.fail_lists = [RuntimeUnavailableError("gone")] * 2
    lives.runtime.fail_adopts = [RuntimeUnavailableError("gone")] * 2
    await lives.boot()
    assert (await step(lives.episode(episode.episode_id), GET)).observation == {"value": 7, "taken": 2}


async def test_an_agent_that_does_not_answer_while_the_launcher_does_is_gone(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await lives.kill()
    lives.runtime.fail_adopts = [RuntimeUnavailableError("sandbox sb1 does not answer")] * ADOPT_TRIES
    await lives.boot()
    assert lives.episode(episode.episode_id).state is EpisodeState.LOST
    assert not lives.runtime.sandboxes


async def test_what_is_left_of_a_sandbox_that_ended_before_is_removed(lives: Lives) -> None:
    episode = await begin(lives.manager)
    (sandbox,) = lives.runtime.sandboxes.values()
    await lives.kill()
    sandbox.dead, sandbox.state = True, SandboxState.ENDED
    await lives.boot()
    assert lives.episode(episode.episode_id).state is EpisodeState.LOST
    assert not lives.runtime.sandboxes


async def test_a_guest_that_has_run_what_the_journal_does_not_know_of_is_not_believed(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await step(episode, SET)
    await lives.kill()
    (sandbox,) = lives.runtime.sandboxes.values()
    sandbox.guest.greatest = sandbox.guest.settled = 9
    await lives.boot()
    with pytest.raises(EpisodeLost):
        lives.episode(episode.episode_id).step(request(2))
    assert not lives.runtime.sandboxes


async def test_without_its_sandbox_an_episode_is_lost_and_stays_so(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await step(episode, SET)
    await lives.kill()
    await lives.runtime.destroy(next(iter(lives.runtime.sandboxes)))
    for _ in range(2):
        await lives.boot()
        after = lives.episode(episode.episode_id)
        assert (after.info().state, after.info().reason) == (EpisodeState.LOST, "sandbox_gone")
        with pytest.raises(EpisodeLost):
            after.step(request(2))
        assert (await after.grade()).trainable is False
        await lives.kill()
    await lives.boot()


async def test_with_a_checkpoint_it_comes_back_as_the_next_generation_if_that_is_wanted(lives: Lives) -> None:
    wanted = {"recovery": Recovery.RESTORE, "checkpoints": AutoCheckpoints(every_steps=2)}
    episode = await begin(lives.manager, **wanted)
    await step(episode, SET)
    await step(episode, {"type": "score", "reward": 0.5})
    await until(lambda: not episode.work())
    await step(episode, {"type": "set", "value": 8})
    await lives.kill()
    for sandbox_id in list(lives.runtime.sandboxes):
        await lives.runtime.destroy(sandbox_id)
    await lives.boot()
    after = lives.episode(episode.episode_id)
    await until(lambda: after.state is EpisodeState.LIVE)
    assert (after.generation, after.step_index, after.reward) == (2, 2, 0.5)
    with pytest.raises(StaleGeneration):
        after.step(request(4, generation=1))
    assert (await step(after, GET)).observation == {"value": 7, "taken": 3}
    lineage = after.info().lineage
    assert lineage is not None
    assert (lineage.episode_id, lineage.generation, lineage.step_index) == (episode.episode_id, 1, 2)


async def test_a_create_that_nobody_was_told_of_leaves_nothing(lives: Lives, gates: Gates) -> None:
    creating = asyncio.ensure_future(begin(lives.manager, options={"gate": "reset"}))
    await gates.reached("reset")
    await lives.reboot()
    creating.cancel()
    assert not lives.runtime.sandboxes
    (info,) = lives.manager.page(state=EpisodeState.CLOSED, environment=None, cursor=None, limit=9).episodes
    assert info.reason == "interrupted"


async def test_a_reset_under_way_is_carried_through(lives: Lives, gates: Gates) -> None:
    episode = await begin(lives.manager)
    await step(episode, SET)
    episode.reset(5, {"gate": "reset"})
    await gates.reached("reset")
    await lives.reboot()
    gates.open("reset")
    after = lives.episode(episode.episode_id)
    await until(lambda: after.state is EpisodeState.LIVE)
    assert (after.generation, after.step_index) == (2, 0)
    assert (await step(after, GET)).observation == {"value": 5, "taken": 1}
    assert len(lives.runtime.sandboxes) == 1


async def test_a_grading_under_way_is_made_again_and_paid_once(lives: Lives, gates: Gates) -> None:
    episode = await begin(lives.manager)
    lives.grader.gate = "judge"
    submission = {"type": "submit", "answer": "a"}
    episode.step(request(1, submission))
    await gates.reached("judge")
    await lives.reboot()
    gates.open("judge")
    after = lives.episode(episode.episode_id)
    result = json.loads(await repeat(after, 1, submission))
    assert (result["reward"], result["terminated"]) == (1.0, True)
    assert after.reward == 1.0
    assert gates.counts["steps"] == 1
    await lives.reboot()
    again = lives.episode(episode.episode_id)
    assert json.loads(await repeat(again, 1, submission)) == result
    assert (await again.grade()).reward == 1.0
    assert lives.grader.gradings == 2, "one that was cut off, one that counts"


async def test_a_kill_between_a_verdict_and_its_step_costs_no_world(
    lives: Lives, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = await begin(lives.manager)
    submission, judged, real = {"type": "submit", "answer": "a"}, asyncio.Event(), Journal.finish_step

    async def hold(*_: Any, **__: Any) -> None:
        judged.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Journal, "finish_step", hold)
    episode.step(request(1, submission))
    await judged.wait()
    await lives.kill()
    monkeypatch.setattr(Journal, "finish_step", real)
    await lives.boot()
    after = lives.episode(episode.episode_id)
    assert json.loads(await repeat(after, 1, submission))["reward"] == 1.0
    await until(lambda: not lives.runtime.sandboxes)


async def test_keys_are_known_to_the_next_server_whatever_the_wall_clock_says(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str | None] = []

    async def make(key: str | None) -> Reply:
        made.append(key)
        return Reply(b"made")

    name, now = Name("default", "reset ep_1", "key"), clock.wall()
    assert await lives.manager.services.once("default").run(name, b"body", make) == Reply(b"made")
    monkeypatch.setattr(clock, "wall", lambda: now + 24 * 3600)
    await lives.reboot()
    assert await lives.manager.services.once("default").run(name, b"body", make) == Reply(b"made")
    assert len(made) == 1


async def test_a_create_that_was_not_answered_is_answered_though_another_world_is_about_to_begin(
    lives: Lives, gates: Gates
) -> None:
    """What it made is what it is told of: the first world, whatever has become of that since."""
    name, made = Name("default", "create", "key"), list[bytes]()

    async def make(key: str | None) -> Reply:
        made.append(await lives.manager.create(CreateEpisode(environment="scripted", task="a"), call_key=key))
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    once = lives.manager.services.once("default")
    creating = asyncio.ensure_future(once.run(name, b"body", make, makes=True))
    await until(lambda: bool(made))
    episode_id = json.loads(made[0])["episode_id"]
    resetting = asyncio.ensure_future(lives.manager.reset(episode_id, None, {"gate": "g"}))
    await gates.reached("g")
    await lives.reboot()
    creating.cancel()
    resetting.cancel()
    gates.open("g")
    reply = await lives.manager.services.once("default").run(name, b"body", make)
    assert json.loads(reply.body)["episode_id"] == episode_id
    assert json.loads(reply.body)["generation"] == 1
    assert len(made) == 1


async def test_a_grade_asked_for_is_given_by_the_next_server(lives: Lives, gates: Gates) -> None:
    episode = await begin(lives.manager)
    lives.grader.gate = "judge"
    asking = asyncio.ensure_future(episode.grade())
    await gates.reached("judge")
    await lives.reboot()
    asking.cancel()
    gates.open("judge")
    after = lives.episode(episode.episode_id)
    assert (await after.grade()).reward == 0.0
    assert not lives.runtime.labelled("grading")


async def test_an_ended_episode_still_waits_for_its_grade(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await step(episode, {"type": "end"})
    await lives.reboot()
    after = lives.episode(episode.episode_id)
    assert after.info().reason == "terminated"
    assert (await after.grade()).reward == 0.0


async def test_an_ended_episode_whose_artifacts_are_gone_has_no_verdict(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await step(episode, {"type": "end"})
    await lives.kill()
    await lives.runtime.destroy(next(iter(lives.runtime.sandboxes)))
    await lives.boot()
    grade = await lives.episode(episode.episode_id).grade()
    assert (grade.reward, grade.trainable) == (None, False)


async def test_a_closed_episode_is_remembered_and_its_sandbox_cleared_away(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await lives.manager.close(episode.episode_id)
    kept = await begin(lives.manager)
    await lives.reboot()
    with pytest.raises(EpisodeClosed):
        lives.episode(episode.episode_id)
    assert lives.manager.entry(episode.episode_id).info().reason == "deleted"
    assert [each.episode_id for each in lives.manager.episodes()] == [kept.episode_id]


async def test_sandboxes_and_checkpoints_that_the_journal_does_not_know_are_removed(lives: Lives) -> None:
    from dataclasses import replace

    episode = await begin(lives.manager)
    (sandbox,) = lives.runtime.sandboxes.values()
    await lives.kill()
    journal = {"journal": sandbox.spec.labels["journal"]}
    for labels in (
        {"purpose": "episode", "episode": "ep_x", **journal}, {"purpose": "pool", **journal}, {"purpose": "grading"},
        {"purpose": "episode", "episode": "ep_y", "journal": "another"}, {"purpose": "pool", "journal": "another"},
    ):  # fmt: skip
        await lives.runtime.create(replace(sandbox.spec, labels=labels))
    for labels in (journal, {"journal": "another"}):
        await lives.runtime.checkpoint(sandbox, CheckpointKind.PROCESS, labels)
    await lives.boot()
    left = [each.spec.labels.get("journal") for each in lives.runtime.sandboxes.values()]
    assert left == [journal["journal"], "another", "another"]
    assert [made.labels["journal"] for made in await lives.runtime.checkpoints()] == ["another"]
    assert [each.episode_id for each in lives.manager.episodes()] == [episode.episode_id]
    for sandbox_id, found in list(lives.runtime.sandboxes.items()):
        if found.spec.labels["journal"] == "another":
            await lives.runtime.destroy(sandbox_id)


async def test_one_on_disk_stays_there_until_its_next_step(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await step(episode, SET)
    await episode.rest(EpisodeState.HIBERNATED)
    await lives.reboot()
    after = lives.episode(episode.episode_id)
    (sandbox,) = lives.runtime.sandboxes.values()
    assert after.info().state is EpisodeState.HIBERNATED
    assert sandbox.state is SandboxState.HIBERNATED
    assert lives.manager.services.admission.admitted == 0
    assert (await step(after, GET)).observation == {"value": 7, "taken": 2}
    assert after.info().state is EpisodeState.LIVE
    assert lives.manager.services.admission.admitted == 1


async def test_one_that_the_node_put_on_disk_is_found_so(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await step(episode, SET)
    await lives.kill()
    next(iter(lives.runtime.sandboxes.values())).state = SandboxState.HIBERNATED
    await lives.boot()
    after = lives.episode(episode.episode_id)
    assert after.info().state is EpisodeState.HIBERNATED
    assert (await step(after, GET)).observation == {"value": 7, "taken": 2}


async def test_a_server_that_is_asked_to_stop_leaves_its_episodes_to_the_next(lives: Lives, gates: Gates) -> None:
    episode = await begin(lives.manager)
    await step(episode, SET)
    record: StepRecord = episode.step(request(2, {"type": "wait", "gate": "g"}))
    await gates.reached("g")
    await lives.manager.drain(0.01)
    await lives.manager.shutdown(5.0)
    with pytest.raises(ShuttingDown):
        assert record.done
        _ = record.result
    await lives.manager.services.journal.close()
    await lives.boot()
    gates.open("g")
    after = lives.episode(episode.episode_id)
    assert json.loads(await repeat(after, 2, {"type": "wait", "gate": "g"}))["observation"] == {"passed": "g"}
    assert (await step(after, GET)).observation["value"] == 7
    assert gates.counts["g"] == 1


async def test_what_was_beginning_when_the_server_stopped_is_asked_for_again(lives: Lives, gates: Gates) -> None:
    creating = asyncio.ensure_future(begin(lives.manager, options={"gate": "reset"}))
    await gates.reached("reset")
    await lives.manager.drain(0.01)
    await lives.manager.shutdown(5.0)
    with pytest.raises(ShuttingDown):
        await creating
    await lives.manager.services.journal.close()
    assert not lives.runtime.sandboxes
    await lives.boot()
    assert not lives.manager.episodes()


async def test_deadlines_go_on_counting_while_no_server_runs(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    from envserver import clock

    episode = await begin(lives.manager, ttl_s=100)
    await lives.kill()
    steady = clock.steady()
    monkeypatch.setattr(clock, "steady", lambda: steady + 60)
    monkeypatch.setattr(clock, "wall", lambda: 0.0)  # somebody set it
    await lives.boot()
    after = lives.episode(episode.episode_id)
    assert 35 < after.lease.expires_in_s() < 41
    await lives.kill()
    monkeypatch.setattr(clock, "steady", lambda: steady + 200)
    await lives.boot()
    await until(lambda: not lives.runtime.sandboxes)
    assert lives.manager.entry(episode.episode_id).info().reason == "expired"


async def test_the_log_of_an_unknown_task_closes_its_episode(lives: Lives) -> None:
    episode = await begin(lives.manager)
    journal = lives.manager.services.journal
    row = await journal.episode(episode.episode_id)
    assert row is not None
    await lives.manager.close(episode.episode_id)
    await journal.add_episodes(
        [type(row)(**{**vars(row), "episode_id": "ep_gone", "task": "no such task", "state": "live"})]
    )
    await lives.reboot()
    with pytest.raises(EpisodeClosed):
        lives.episode("ep_gone")
    with pytest.raises(NotFound):
        lives.episode("ep_never")
