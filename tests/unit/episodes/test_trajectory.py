"""The record of an episode: held against the wire model, across forks, restores, resets, retention and servers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from envserver.episodes.encoding import encode_step
from envserver.episodes.episode import Episode
from envserver.episodes.forks import Forks
from envserver.episodes.journal.rows import CheckpointRow, StepRow
from envserver.episodes.journal.store import Reads
from envserver.episodes.journal.tables import Table
from envserver.episodes.manager import EpisodeManager
from envserver.episodes.records import StepRecord
from envserver.episodes.saved import Saved
from envserver.episodes.saving import Wish
from envserver.episodes.stepping import Done
from envserver.episodes.trajectory import encode_record, is_trainable, read_record
from envserver_sdk.models import EpisodesStarted, ForkCheckpoint, Outcome, Trajectory, TrajectoryStep
from tests.unit.episodes.helpers import begin, request, step, until
from tests.unit.episodes.lives import Lives
from tests.unit.fixtures import MakeManager
from tests.unit.scripted import Gates, ScriptedGrader


async def find(manager: EpisodeManager, episode_id: str, generation: int | None = None) -> Trajectory | None:
    """The record as it would be sent, held against the wire model: no member lacks, none is unknown."""
    journal = manager.services.journal
    row = await journal.episode(episode_id)
    assert row is not None
    record = await read_record(journal, row, generation)
    if record is None:
        return None
    body = b"".join(encode_record(record))
    document = json.loads(body, parse_constant=lambda name: AssertionError(name))
    found = Trajectory.model_validate_json(body)
    assert set(document) == set(Trajectory.model_fields)
    assert all(set(each) == set(TrajectoryStep.model_fields) for each in document["steps"])
    assert found.model_dump(mode="json") == document, "not a number more or less exact than it was sent"
    return found


async def read(manager: EpisodeManager, episode_id: str, generation: int | None = None) -> Trajectory:
    found = await find(manager, episode_id, generation)
    assert found is not None
    return found


async def fork(manager: EpisodeManager, row: CheckpointRow) -> Episode:
    body = await Forks(manager).fork(Saved.of(row), ForkCheckpoint(), "default")
    (started,) = EpisodesStarted.model_validate_json(body).episodes
    return manager.episode(started.episode_id)


def values(trajectory: Trajectory) -> list[Any]:
    return [each.action.get("value") for each in trajectory.steps]


async def test_a_record_has_all_that_was_sent_and_answered(make_manager: MakeManager) -> None:
    manager = make_manager()
    limits = {"memory_bytes": 1 << 30, "pids": 64}
    episode = await begin(manager, seed=7, options={"gate": ""}, limits=limits, metadata={"run": "ü"})
    first = await step(episode, {"type": "echo", "value": "hé\u2028"}, timeout_s=3, metadata={"policy": 12})
    second = await step(episode, {"type": "fly"})
    third = await step(episode, {"type": "submit", "answer": "a"})
    await episode.close("deleted")
    found = await read(manager, episode.episode_id)
    assert (found.environment, found.task_set, found.task, found.seed) == ("scripted", "letters", "a", 7)
    assert (found.options, found.metadata) == ({"gate": ""}, {"run": "ü"})
    assert (found.limits["memory_bytes"], found.limits["pids"], found.image) == (1 << 30, 64, "scripted")
    assert (found.state, found.reason, found.generation, found.origin) == ("closed", "submitted", 1, "create")
    assert (found.observation, found.info["greeting"]) == ({"prompt": "Say a."}, "hello")
    assert found.closed_at is not None
    assert found.created_at <= found.begun_at <= found.closed_at
    for recorded, answered in zip(found.steps, (first, second, third), strict=True):
        shown = answered.model_dump(mode="json")
        assert {name: recorded.model_dump(mode="json")[name] for name in shown} == shown
        assert found.begun_at <= recorded.begun_at <= recorded.finished_at <= found.closed_at
        assert recorded.episode_id == episode.episode_id
    assert found.steps[0].action == {"type": "echo", "value": "hé\u2028"}
    assert (found.steps[0].timeout_s, found.steps[0].metadata) == (3.0, {"policy": 12})
    assert [each.outcome for each in found.steps] == [Outcome.OK, Outcome.FORMAT_ERROR, Outcome.OK]
    assert (found.reward, found.terminated, found.truncated) == (1.0, True, False)
    assert found.grade is not None
    assert (found.grade.reward, found.grade.components) == (1.0, {"tests": 1.0})
    assert found.trainable
    assert found.complete


async def test_a_running_step_is_left_out(make_manager: MakeManager, gates: Gates) -> None:
    manager = make_manager()
    episode = await begin(manager)
    await step(episode)
    running = episode.step(request(2, {"type": "wait", "gate": "g"}))
    await gates.reached("g")
    found = await read(manager, episode.episode_id)
    assert [each.step_index for each in found.steps] == [1]
    assert found.complete
    assert not found.truncated
    gates.open("g")
    await running.wait(5)
    assert len((await read(manager, episode.episode_id)).steps) == 2


async def test_a_step_that_a_reset_cut_short_is_left_out(make_manager: MakeManager, gates: Gates) -> None:
    manager = make_manager()
    episode = await begin(manager)
    await step(episode)
    episode.step(request(2, {"type": "wait", "gate": "g"}))
    await gates.reached("g")
    await manager.reset(episode.episode_id, 1, {})
    found = await read(manager, episode.episode_id, 1)
    assert ([each.step_index for each in found.steps], found.complete, found.truncated) == ([1], True, True)


async def test_what_is_ours_is_not_trainable_and_the_episode_neither(
    make_manager: MakeManager, grader: ScriptedGrader
) -> None:
    manager = make_manager(grade_attempts=1)
    failed = await begin(manager)
    await step(failed)
    await step(failed, {"type": "fail"})
    found = await read(manager, failed.episode_id)
    assert [each.trainable for each in found.steps] == [True, False]
    assert (found.trainable, found.terminated, found.truncated) == (False, False, True)
    ungraded = await begin(manager)
    await step(ungraded)
    assert (await read(manager, ungraded.episode_id)).trainable
    grader.errors.append(RuntimeError())
    await ungraded.grade()
    found = await read(manager, ungraded.episode_id)
    assert found.grade is not None
    assert (found.grade.trainable, found.trainable) == (False, False)
    assert [each.trainable for each in found.steps] == [True]


async def test_an_episode_that_stops_elsewhere_is_truncated(make_manager: MakeManager) -> None:
    manager = make_manager()
    long = await begin(manager)
    for _ in range(5):
        await step(long)
    closed = await begin(manager)
    assert not (await read(manager, closed.episode_id)).truncated
    await closed.close("deleted")
    for episode in (long, closed):
        found = await read(manager, episode.episode_id)
        assert (found.terminated, found.truncated) == (False, True)
    assert (await read(manager, closed.episode_id)).steps == []


async def test_a_fork_of_a_fork_begins_with_its_ancestors_steps(make_manager: MakeManager) -> None:
    manager = make_manager()
    root = await begin(manager, seed=3)
    await step(root, {"type": "set", "value": "r1"})
    first = await root.checkpoint(Wish(label="one"))
    await step(root, {"type": "set", "value": "r2"})
    child = await fork(manager, first)
    await step(child, {"type": "set", "value": "c2"})
    second = await child.checkpoint(Wish())
    await step(child, {"type": "set", "value": "c3"})
    grandchild = await fork(manager, second)
    await step(grandchild, {"type": "set", "value": "g3"})
    found = await read(manager, grandchild.episode_id)
    assert values(found) == ["r1", "c2", "g3"]
    assert [each.step_index for each in found.steps] == [1, 2, 3]
    assert [each.episode_id for each in found.steps] == [e.episode_id for e in (root, child, grandchild)]
    assert [(each.episode_id, each.step_index) for each in found.lineage] == [
        (child.episode_id, 2),
        (root.episode_id, 1),
    ]
    assert (found.seed, found.origin, found.complete) == (3, "fork", True)
    assert found.observation == {"prompt": "Say a."}, "the first step's, which the root took"
    assert values(await read(manager, root.episode_id)) == ["r1", "r2"]
    assert [each.label for each in (await read(manager, root.episode_id)).checkpoints] == ["one"]
    assert found.checkpoints == []


async def test_a_rollback_leaves_the_steps_that_it_took_back_to_their_generation(make_manager: MakeManager) -> None:
    manager = make_manager()
    episode = await begin(manager)
    await step(episode, {"type": "set", "value": 1})
    saved = Saved.of(await episode.checkpoint(Wish()))
    await step(episode, {"type": "set", "value": 2})
    await manager.restore(episode.episode_id, saved)
    unstepped = await read(manager, episode.episode_id)
    assert (values(unstepped), unstepped.complete) == ([1], True)
    assert values(await read(manager, episode.episode_id, 1)) == [1, 2]
    await step(episode, {"type": "set", "value": 3})
    now, before = await read(manager, episode.episode_id), await read(manager, episode.episode_id, 1)
    assert (values(now), now.generation, now.origin, now.truncated) == ([1, 3], 2, "restore", False)
    assert (values(before), before.generation, before.truncated) == ([1, 2], 1, True)
    assert [(each.generation, each.step_index) for each in now.lineage] == [(1, 1)]
    assert [each.generation for each in now.steps] == [1, 2]
    assert len(before.checkpoints) == 1


async def test_an_episode_that_is_rolled_back_often_is_read_with_few_reads(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager()
    episode = await begin(manager)
    for _ in range(30):
        saved = Saved.of(await episode.checkpoint(Wish()))
        await manager.restore(episode.episode_id, saved)
    await step(episode)
    asked: list[str] = []
    rows = Reads.rows

    def counted(self: Reads, table: Table[Any], *rest: Any) -> Any:
        asked.append(table.name)
        return rows(self, table, *rest)

    monkeypatch.setattr(Reads, "rows", counted)
    found = await read(manager, episode.episode_id)
    assert (len(found.lineage), len(found.steps)) == (30, 1)
    assert asked.count("generations") == 1


async def test_each_generation_of_resets_keeps_its_own_record_and_grade(make_manager: MakeManager) -> None:
    manager = make_manager()
    episode = await begin(manager, seed=1)
    await step(episode, {"type": "submit", "answer": "a"})
    await manager.reset(episode.episode_id, 2, {})
    await step(episode)
    first, second = await read(manager, episode.episode_id, 1), await read(manager, episode.episode_id)
    assert (first.seed, second.seed, second.generation) == (1, 2, 2)
    assert first.grade is not None
    assert (first.grade.reward, first.terminated, second.grade) == (1.0, True, None)
    assert await find(manager, episode.episode_id, 3) is None


async def test_what_retention_has_removed_is_said(make_manager: MakeManager) -> None:
    manager = make_manager()
    root = await begin(manager)
    await step(root, {"type": "set", "value": 1})
    child = await fork(manager, await root.checkpoint(Wish()))
    await step(child, {"type": "set", "value": 2})
    journal = manager.services.journal

    def forget(writes: Any) -> None:
        for table in ("episodes", "generations", "steps"):
            writes.connection.execute(f"DELETE FROM {table} WHERE episode_id = ?", (root.episode_id,))

    await journal._write(forget)
    found = await read(manager, child.episode_id)
    assert (values(found), found.complete, found.steps[0].step_index) == ([2], False, 2)
    assert [each.episode_id for each in found.lineage] == [root.episode_id], "where they were taken is still known"


async def test_what_a_journal_in_memory_has_dropped_is_said_too(make_manager: MakeManager) -> None:
    manager = make_manager(record_bytes=1500)
    episode = await begin(manager)
    for _ in range(2):
        await step(episode, {"type": "large", "size": 1000})
    found = await read(manager, episode.episode_id)
    assert ([each.step_index for each in found.steps], found.complete) == ([2], False)
    await manager.reset(episode.episode_id, 1, {})
    assert (await read(manager, episode.episode_id)).complete
    await step(episode, {"type": "large", "size": 1000})
    earlier, now = await read(manager, episode.episode_id, 1), await read(manager, episode.episode_id)
    assert (len(earlier.steps), earlier.complete) == (0, False)
    assert (len(now.steps), now.complete) == (1, True)


async def test_one_that_is_removed_meanwhile_is_not_there_by_halves(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager()
    episode = await begin(manager)
    await step(episode)
    await episode.close("deleted")
    row = await manager.services.journal.episode(episode.episode_id)
    steps = Reads.steps

    def removed(self: Reads, *which: Any) -> Any:
        self.connection.execute("DELETE FROM episodes WHERE episode_id = ?", (episode.episode_id,))
        return steps(self, *which)

    monkeypatch.setattr(Reads, "steps", removed)
    assert row is not None
    assert await read_record(manager.services.journal, row) is None


async def test_it_outlives_the_server_that_wrote_it(tmp_path: Path, gates: Gates) -> None:
    lives = Lives(tmp_path / "journal")
    episode = await begin(await lives.boot())
    for value in range(3):
        await step(episode, {"type": "set", "value": value})
    closed = await begin(lives.manager, metadata={"n": 1})
    await step(closed, {"type": "submit", "answer": "a"})
    await closed.close("deleted")
    before = [await read(lives.manager, each.episode_id) for each in (episode, closed)]
    await lives.reboot()
    after = [await read(lives.manager, each.episode_id) for each in (episode, closed)]
    assert after == before
    await step(lives.episode(episode.episode_id), {"type": "get"})
    assert (await read(lives.manager, episode.episode_id)).steps[-1].observation["value"] == 2
    await lives.end()


async def test_an_episode_that_has_not_begun_has_none(make_manager: MakeManager, gates: Gates) -> None:
    manager = make_manager()
    creating = asyncio.ensure_future(begin(manager, options={"gate": "g"}))
    await gates.reached("g")
    (episode,) = manager.episodes()
    await until(lambda: episode.starting is not None)
    assert await find(manager, episode.episode_id) is None
    gates.open("g")
    await creating
    assert (await read(manager, episode.episode_id)).steps == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KNOWN = st.sampled_from(["outcome", "trainable", "duration_ms", "cpu_ms", "peak_memory_bytes", "info", "reward"])


@given(
    st.sampled_from(Outcome),
    st.dictionaries(_KNOWN | st.text(max_size=4), _JSON, max_size=4),
    st.none() | st.floats(0, 1e9),
    st.none() | st.integers(0, 1 << 40),
    st.dictionaries(st.text(max_size=4), _JSON, max_size=2),
)
def test_whether_a_step_is_trainable_is_read_as_it_was_written(
    outcome: Outcome, info: dict[str, Any], cpu_ms: float | None, peak: int | None, observation: dict[str, Any]
) -> None:
    """Whatever an environment puts into `info`, members of the same names and texts that look like them included."""
    alike = {"outcome": "ok", "trainable": True, "duration_ms": 1, "cpu_ms": 1, "peak_memory_bytes": 1}
    tricky = {**info, "note": json.dumps({"in": alike}, separators=(",", ":")), "nested": {"in": alike}}
    done = Done(outcome, to_json(observation), info=tricky, cpu_ms=cpu_ms, peak_memory_bytes=peak)
    record = object.__new__(StepRecord)
    record.index, record.generation = 1, 1
    body = encode_step(record, done, truncated=False)
    row = StepRow("ep", 1, 1, b"{}", b"", b"{}", 1.0, 1, b"null", 0.0, result=body)
    assert is_trainable(row) is json.loads(body)["info"]["trainable"] is outcome.trainable_by_default


async def test_a_generation_that_was_replaced_keeps_the_grade_that_was_asked_for(make_manager: MakeManager) -> None:
    manager = make_manager()
    episode = await begin(manager)
    await step(episode, {"type": "end"})
    assert (await episode.grade()).reward == 0.0
    await manager.reset(episode.episode_id, 1, {})
    first = await read(manager, episode.episode_id, 1)
    assert first.grade is not None
    assert (first.grade.reward, first.reason) == (0.0, "terminated")
    assert (await read(manager, episode.episode_id)).grade is None
