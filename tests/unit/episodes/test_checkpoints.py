"""Saving, forking and rolling back: what a checkpoint keeps, who may begin from it, and what is left when it goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envserver.episodes import services as services_module
from envserver.episodes.episode import Episode
from envserver.episodes.journal.errors import JournalUnavailableError
from envserver.episodes.journal.rows import CheckpointRow
from envserver.episodes.saved import Saved
from envserver.episodes.saving import Wish, delete_checkpoint, delete_old_checkpoints
from envserver.runtimes.base import (
    Capability,
    CapacityError,
    CheckpointError,
    NotSupportedError,
    RuntimeUnavailableError,
)
from envserver_sdk.errors import (
    CheckpointFailed,
    EpisodeEnded,
    InfraError,
    InvalidRequest,
    NotSupported,
    Overloaded,
    Problem,
    QuotaExceeded,
    StaleGeneration,
)
from envserver_sdk.models import AutoCheckpoints, CheckpointKind, CreateGroup, EpisodeState, ForkCheckpoint, Stragglers
from tests.unit.episodes.helpers import begin, request, step, until
from tests.unit.episodes.lives import Lives
from tests.unit.scripted import Gates, ScriptedEnvironment, ScriptedRuntime

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


async def fork(lives: Lives, row: CheckpointRow, n: int = 1, **members: Any) -> list[Episode]:
    body = await lives.forks.fork(Saved.of(row), ForkCheckpoint(n=n, **members), "default")
    return [lives.episode(each["episode_id"]) for each in json.loads(body)["episodes"]]


async def group(lives: Lives, n: int, **members: Any) -> tuple[dict[str, Any], list[Episode]]:
    asked = CreateGroup(environment="scripted", n=n, **{"task": "a", **members})
    started = json.loads(await lives.forks.create_group(asked, "default"))
    return started, [lives.episode(each["episode_id"]) for each in started["episodes"]]


async def test_forks_go_on_from_one_state_and_apart(lives: Lives) -> None:
    origin = await begin(lives.manager, seed=3, metadata={"run": 1})
    await step(origin, SET)
    await step(origin, {"type": "score", "reward": 0.5})
    row = await origin.checkpoint(Wish(label="here"))
    assert (row.kind, row.step_index, row.label, row.pause_ms) == ("process", 2, "here", 1.5)
    await step(origin, {"type": "set", "value": 8})
    one, two = await fork(lives, row, 2)
    await step(one, {"type": "set", "value": 9})
    values = [(await step(each, GET)).observation["value"] for each in (origin, one, two)]
    assert values == [8, 9, 7]
    info = two.info()
    assert (info.step_index, info.reward, info.seed, info.metadata) == (3, 0.5, 3, {"run": 1})
    assert info.lineage is not None
    assert (info.lineage.episode_id, info.lineage.step_index) == (origin.episode_id, 2)


async def test_forks_of_forks_outlive_the_episodes_and_servers_that_they_came_from(lives: Lives) -> None:
    origin = await begin(lives.manager)
    await step(origin, SET)
    row = await origin.checkpoint(Wish())
    await lives.manager.close(origin.episode_id)
    (child,) = await fork(lives, row)
    await step(child, {"type": "set", "value": 8})
    second = await child.checkpoint(Wish())
    await delete_checkpoint(lives.manager.services, row)
    await lives.manager.close(child.episode_id)
    await lives.reboot()
    (grandchild,) = await fork(lives, second)
    assert (await step(grandchild, GET)).observation["value"] == 8
    assert grandchild.step_index == 3


async def test_a_rollback_is_the_next_generation_in_place(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await step(episode, SET)
    row = await episode.checkpoint(Wish())
    await step(episode, {"type": "set", "value": 8})
    await step(episode, {"type": "end"})
    started = json.loads(await lives.manager.restore(episode.episode_id, Saved.of(row)))
    assert (started["generation"], started["step_index"]) == (2, 1)
    assert (await step(episode, GET)).observation == {"value": 7, "taken": 2}
    assert len(lives.runtime.sandboxes) == 1


async def test_a_rollback_to_another_task_is_refused(lives: Lives) -> None:
    one, other = await begin(lives.manager, task="a"), await begin(lives.manager, task="b")
    row = await one.checkpoint(Wish())
    with pytest.raises(InvalidRequest):
        await lives.manager.restore(other.episode_id, Saved.of(row))
    assert other.generation == 1


async def test_a_replay_takes_the_actions_again_and_says_where_it_differs(lives: Lives, gates: Gates) -> None:
    episode = await begin(lives.manager, seed=4)
    await step(episode, SET)
    await step(episode, {"type": "random"})
    row = await episode.checkpoint(Wish(CheckpointKind.REPLAY))
    assert row.runtime_id is None
    body = json.loads(await lives.forks.fork(Saved.of(row), ForkCheckpoint(), "default"))
    (started,) = body["episodes"]
    assert started["info"]["replayed_steps"] == 2
    assert started["info"]["divergence"]["step_index"] == 2
    replayed = lives.episode(started["episode_id"])
    assert (await step(replayed, GET)).observation == {"value": 7, "taken": 3}
    again = await replayed.checkpoint(Wish(CheckpointKind.REPLAY))
    (twice,) = await fork(lives, again)
    assert (await step(twice, GET)).observation == {"value": 7, "taken": 4}


@pytest.mark.parametrize(
    ("capabilities", "failures", "kind"),
    [
        (set(Capability), 0, "process"),
        (set(Capability), 1, "filesystem"),
        (set(Capability), 2, "replay"),
        ({Capability.FILESYSTEM_CHECKPOINT}, 0, "filesystem"),
        (set(), 0, "replay"),
    ],
)
async def test_auto_takes_the_strongest_kind_that_works_and_names_it(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, capabilities: set[Capability], failures: int, kind: str
) -> None:
    monkeypatch.setattr(ScriptedRuntime, "capabilities", frozenset(capabilities))
    episode = await begin(lives.manager)
    lives.runtime.fail_checkpoints = [CheckpointError("a socket")] * failures
    assert (await episode.checkpoint(Wish())).kind == kind
    assert (await step(episode, GET)).outcome == "ok"


async def test_a_kind_that_does_not_hold_all_of_an_environment_is_passed_over_and_refused(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = frozenset({CheckpointKind.PROCESS, CheckpointKind.REPLAY})
    monkeypatch.setattr(ScriptedEnvironment, "spec", replace(ScriptedEnvironment.spec, checkpoints=whole))
    episode = await begin(lives.manager)
    lives.runtime.fail_checkpoints = [CheckpointError("a socket")]
    assert (await episode.checkpoint(Wish())).kind == "replay"
    with pytest.raises(NotSupported, match="a filesystem checkpoint does not hold all of an episode of"):
        await episode.checkpoint(Wish(CheckpointKind.FILESYSTEM))
    assert (await step(episode, GET)).outcome == "ok"


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (CheckpointError("python: descriptor 5 is a half-closed socket"), CheckpointFailed),
        (CapacityError("full"), Overloaded),
        (RuntimeUnavailableError("down"), InfraError),
        (NotSupportedError("no"), NotSupported),
    ],
)
async def test_what_cannot_be_saved_says_why_and_goes_on(
    lives: Lives, error: Exception, problem: type[Problem]
) -> None:
    episode = await begin(lives.manager)
    lives.runtime.fail_checkpoints = [error]
    with pytest.raises(problem) as caught:
        await episode.checkpoint(Wish(CheckpointKind.PROCESS))
    if problem is CheckpointFailed:
        assert "descriptor 5" in str(caught.value)
    assert (await step(episode, GET)).outcome == "ok"
    assert not lives.runtime.stored


@pytest.mark.parametrize("kind", [CheckpointKind.PROCESS, CheckpointKind.REPLAY])
async def test_a_checkpoint_that_may_not_be_on_the_disk_is_taken_back(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, kind: CheckpointKind
) -> None:
    """A row is committed before it is synced; who was told that it failed asks again, and gets the only one."""
    episode = await begin(lives.manager)
    journal = lives.manager.services.journal
    add, forget, failures = journal.add_checkpoint, journal.forget_checkpoint, 2

    async def unsynced(row: CheckpointRow) -> None:
        await add(row)
        raise JournalUnavailableError("no space left")

    async def full(checkpoint_id: str) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise JournalUnavailableError("no space left")
        await forget(checkpoint_id)

    monkeypatch.setattr(services_module, "DESTROY_BACKOFF_S", (0.01,))
    monkeypatch.setattr(journal, "add_checkpoint", unsynced)
    monkeypatch.setattr(journal, "forget_checkpoint", full)
    with pytest.raises(InfraError):
        await episode.checkpoint(Wish(kind, call_key="k"))
    monkeypatch.setattr(journal, "add_checkpoint", add)
    row = await episode.checkpoint(Wish(kind, call_key="k"))
    async with asyncio.timeout(5):
        while [found.checkpoint_id for found in await journal.checkpoints()] != [row.checkpoint_id]:
            await asyncio.sleep(0.01)
        await until(lambda: set(lives.runtime.stored) == {row.runtime_id} - {None})
    assert (await step(episode, GET)).outcome == "ok"


async def test_a_deletion_that_was_begun_is_carried_through_whoever_gives_up(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An episode's close ends whatever runs for it, the pruning of its automatic checkpoints too."""
    episode = await begin(lives.manager)
    row = await episode.checkpoint(Wish())
    services = lives.manager.services
    delete, written, answer = services.journal.delete_checkpoint, asyncio.Event(), asyncio.Event()

    async def slow(checkpoint_id: str, deleted_at: float) -> None:
        await delete(checkpoint_id, deleted_at)
        written.set()
        await answer.wait()

    monkeypatch.setattr(services.journal, "delete_checkpoint", slow)
    deleting = asyncio.ensure_future(delete_checkpoint(services, row))
    await written.wait()
    deleting.cancel()
    await asyncio.wait((deleting,))
    answer.set()
    async with asyncio.timeout(5):
        await until(lambda: not lives.runtime.stored)


async def test_a_checkpoint_waits_for_the_running_step_and_the_next_step_for_it(lives: Lives, gates: Gates) -> None:
    episode = await begin(lives.manager)
    episode.step(request(1, {"type": "wait", "gate": "g"}))
    await gates.reached("g")
    saving = asyncio.ensure_future(episode.checkpoint(Wish()))
    await asyncio.sleep(0)
    gates.open("g")
    row = await saving
    assert row.step_index == 1
    assert episode.step_index == 1


async def test_steps_go_on_while_the_disk_is_still_at_work(lives: Lives) -> None:
    episode = await begin(lives.manager, checkpoints=AutoCheckpoints(every_steps=1))
    lives.runtime.slow_disk = asyncio.Event()
    await step(episode, SET)
    await step(episode, {"type": "set", "value": 8})
    assert episode.work(), "the checkpoint is not on disk yet"
    lives.runtime.slow_disk.set()
    await until(lambda: not episode.work())
    rows = await lives.manager.services.journal.checkpoints(episode_id=episode.episode_id)
    (first,) = await fork(lives, rows[0])
    assert (await step(first, GET)).observation == {"value": 7, "taken": 2}


async def test_an_ended_episode_is_not_saved(lives: Lives) -> None:
    episode = await begin(lives.manager)
    await step(episode, {"type": "end"})
    with pytest.raises(EpisodeEnded):
        await episode.checkpoint(Wish())


async def test_the_server_saves_by_itself_as_often_as_asked_and_keeps_the_last(lives: Lives) -> None:
    episode = await begin(lives.manager, checkpoints=AutoCheckpoints(every_steps=1, keep=2))
    by_hand = await episode.checkpoint(Wish())
    for index in range(4):
        await step(episode, {"type": "set", "value": index})
        await until(lambda: not episode.work())
    journal = lives.manager.services.journal
    rows = await journal.checkpoints(episode_id=episode.episode_id)
    assert [(row.step_index, row.automatic) for row in rows] == [(0, False), (3, True), (4, True)]
    assert by_hand.checkpoint_id == rows[0].checkpoint_id
    assert len(lives.runtime.stored) == 3


async def test_a_fork_that_cannot_begin_takes_its_siblings_with_it(lives: Lives) -> None:
    episode = await begin(lives.manager)
    row = await episode.checkpoint(Wish())
    lives.runtime.fail_restores = [RuntimeUnavailableError("down")] * 20
    with pytest.raises(InfraError):
        await fork(lives, row, 3)
    assert len(lives.runtime.sandboxes) == 1
    assert lives.manager.services.admission.admitted == 1
    assert lives.manager.services.tenants.get("default").episodes == 1


async def test_forks_count_against_their_tenants_quota_together(lives: Lives) -> None:
    from envserver.access.tenants import Quotas

    episode = await begin(lives.manager)
    row = await episode.checkpoint(Wish())
    lives.manager.services.tenants.set_quotas({"default": Quotas(max_episodes=3)})
    with pytest.raises(QuotaExceeded):
        await fork(lives, row, 3)
    assert len(await fork(lives, row, 2)) == 2


# Groups


async def test_a_group_begins_alike_for_one_reset(lives: Lives, gates: Gates) -> None:
    gates.open("reset")
    started, members = await group(lives, 4, seed=9, options={"gate": "reset"})
    assert started["kind"] == "process"
    assert gates.counts["reset"] == 1
    assert len({json.dumps({**each, "episode_id": None}) for each in started["episodes"]}) == 1
    for number, member in enumerate(members):
        await step(member, {"type": "set", "value": number})
    assert [(await step(member, GET)).observation["value"] for member in members] == [0, 1, 2, 3]
    assert not lives.runtime.stored, "the checkpoint was the group's own"
    assert {member.info().group_id for member in members} == {started["group_id"]}


async def test_where_nothing_can_be_copied_members_are_reset_with_the_same_seed(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedRuntime, "capabilities", frozenset())
    started, members = await group(lives, 3, seed=9)
    assert started["kind"] == "replay"
    assert [(await step(member, GET)).observation["value"] for member in members] == [9, 9, 9]


async def test_a_group_is_all_or_none(lives: Lives) -> None:
    lives.runtime.fail_restores = [RuntimeUnavailableError("down")] * 20
    with pytest.raises(InfraError):
        await group(lives, 3)
    assert not lives.runtime.sandboxes
    assert lives.manager.services.admission.admitted == 0
    with pytest.raises(InvalidRequest):
        await group(lives, 3, options={"typo": 1})
    assert lives.manager.services.tenants.get("default").episodes == 0


async def test_a_group_whose_first_member_dies_while_it_begins_can_be_asked_for_again(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ScriptedRuntime.checkpoint

    async def die(self: ScriptedRuntime, sandbox: Any, *arguments: Any) -> Any:
        sandbox.dead = True
        return await real(self, sandbox, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedRuntime, "checkpoint", die)
        with pytest.raises(InfraError):
            await group(lives, 3)
    assert not lives.runtime.sandboxes
    assert len((await group(lives, 3))[1]) == 3


async def test_two_groups_never_wait_for_each_others_half(tmp_path: Path, gates: Gates) -> None:
    lives = Lives(tmp_path / "journal", max_episodes=4)
    await lives.boot()
    first, second = await asyncio.gather(*(_played(lives, 3) for _ in range(2)))
    assert first == second == 3
    await lives.end()


async def _played(lives: Lives, n: int) -> int:
    _, members = await group(lives, n)
    await asyncio.gather(*(lives.manager.close(each.episode_id) for each in members))
    return len(members)


async def test_stragglers_are_truncated_when_enough_have_finished(lives: Lives, gates: Gates) -> None:
    _, members = await group(lives, 3, stragglers=Stragglers(finished=2, grace_s=0.0))
    await step(members[0], {"type": "end"})
    assert members[2].state is EpisodeState.LIVE
    running = members[2].step(request(1, {"type": "wait", "gate": "g"}))
    await gates.reached("g")
    await lives.manager.close(members[1].episode_id)
    await until(lambda: members[2].state is EpisodeState.ENDED)
    gates.open("g")
    assert await running.wait(5)
    assert json.loads(running.result)["truncated"] is True
    assert members[2].reason == "straggler"


async def test_a_group_outlives_its_server_with_its_rule(lives: Lives) -> None:
    started, members = await group(lives, 3, stragglers=Stragglers(finished=2, grace_s=0.0))
    await step(members[0], {"type": "end"})
    await lives.reboot()
    again = [lives.episode(each.episode_id) for each in members]
    assert lives.manager.group(started["group_id"]).episode_ids == [each.episode_id for each in members]
    await step(again[1], {"type": "end"})
    await until(lambda: again[2].state is EpisodeState.ENDED)
    assert again[2].reason == "straggler"


async def test_a_group_whose_beginning_was_cut_short_leaves_nothing(lives: Lives, gates: Gates) -> None:
    beginning = asyncio.ensure_future(group(lives, 3, options={"gate": "reset"}))
    await gates.reached("reset")
    await lives.reboot()
    beginning.cancel()
    assert not lives.runtime.sandboxes
    assert not lives.manager.episodes()
    assert not lives.runtime.stored


async def test_what_was_saved_by_itself_ends_with_its_episode(lives: Lives) -> None:
    kept = await begin(lives.manager, checkpoints=AutoCheckpoints(every_steps=1))
    closed = await begin(lives.manager, checkpoints=AutoCheckpoints(every_steps=1))
    for episode in (kept, closed):
        await step(episode, SET)
        await until(lambda episode=episode: not episode.work())  # type: ignore[misc]
    by_hand = await closed.checkpoint(Wish())
    await lives.manager.close(closed.episode_id)
    await until(lambda: len(lives.runtime.stored) == 2)
    rows = await lives.manager.services.journal.checkpoints()
    assert {row.episode_id for row in rows if row.automatic} == {kept.episode_id}
    assert by_hand.checkpoint_id in {row.checkpoint_id for row in rows}
    await lives.kill()
    assert len(lives.runtime.stored) == 2
    await lives.boot()
    assert len(lives.runtime.stored) == 2


async def test_a_tenants_checkpoints_are_bounded_and_old_ones_deleted(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    from envserver import clock
    from envserver.access.tenants import Quotas

    services = lives.manager.services
    services.tenants.set_quotas({"default": Quotas(max_checkpoints=2)})
    episode = await begin(lives.manager)
    first = await episode.checkpoint(Wish())
    await episode.checkpoint(Wish())
    with pytest.raises(QuotaExceeded):
        await episode.checkpoint(Wish())
    await group(lives, 2)
    await delete_checkpoint(services, first)
    last = await episode.checkpoint(Wish())
    now = clock.wall()
    monkeypatch.setattr(clock, "wall", lambda: now + services.config.checkpoint_age_s - 1)
    await delete_old_checkpoints(services)
    assert len(lives.runtime.stored) == 2
    monkeypatch.setattr(clock, "wall", lambda: last.created_at + services.config.checkpoint_age_s - 0.0001)
    await delete_old_checkpoints(services)
    assert [made.labels["checkpoint"] for made in await lives.runtime.checkpoints()] == [last.checkpoint_id]


async def test_what_a_runtime_does_not_delete_at_once_is_deleted_later(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services_module, "DESTROY_BACKOFF_S", (0.01,))
    episode = await begin(lives.manager)
    row = await episode.checkpoint(Wish())
    lives.runtime.fail_deletes = [RuntimeUnavailableError("the launcher was killed")] * 2
    await delete_checkpoint(lives.manager.services, row)
    async with asyncio.timeout(5):
        await until(lambda: not lives.runtime.stored)


async def test_a_checkpoint_that_was_cut_short_leaves_the_turn_to_whoever_has_it(
    lives: Lives, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = await begin(lives.manager)
    late: list[Callable[[], None]] = []

    async def hang(*arguments: Any) -> Any:
        late.append(arguments[-1])
        await asyncio.Event().wait()

    monkeypatch.setattr(ScriptedRuntime, "checkpoint", lambda _, *arguments: hang(*arguments))
    saving = asyncio.ensure_future(episode.checkpoint(Wish()))
    await until(lambda: bool(late))
    await episode.reset(1, {})
    with pytest.raises(StaleGeneration):
        await saving
    episode.step(request(1, {"type": "wait", "gate": "g"}))
    await gates.reached("g")
    late[0]()
    assert episode._turn.locked(), "the step has it"
    gates.open("g")
