"""Every method of the journal, in memory and on disk; what was written is there again after reopening."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from envserver.episodes.journal import (
    Journal,
    JournalConflictError,
    JournalMissingError,
    JournalSettings,
    JournalUnavailableError,
    writer,
)
from envserver.episodes.journal.rows import StepRow
from envserver.episodes.journal.store import Writes
from tests.unit.journal import rows
from tests.unit.journal.images import opened
from tests.unit.journal.rows import LARGE

Again = Callable[[], Awaitable[Journal]]


@pytest.fixture(params=["memory", "disk"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "journal" if request.param == "disk" else None


@pytest.fixture
async def journal(directory: Path | None) -> AsyncIterator[Journal]:
    opened = await open_at(directory)
    yield opened
    await opened.close()


@pytest.fixture
async def again(journal: Journal, directory: Path | None) -> AsyncIterator[Again]:
    """The journal after a restart; one in memory as it is."""
    opened = [journal]

    async def reopen() -> Journal:
        if directory is not None:
            await opened[-1].close()
            opened.append(await open_at(directory))
        return opened[-1]

    yield reopen
    await opened[-1].close()


async def open_at(directory: Path | None, **settings: Any) -> Journal:
    return await asyncio.to_thread(Journal.open, directory, JournalSettings(**settings))


async def test_an_episode_comes_back_with_every_member(journal: Journal, again: Again) -> None:
    row = rows.episode(group_id="gr_1", parent_checkpoint="cp_0", grade=LARGE, reason="why", sandbox_id="sb", image="i")
    await journal.add_episodes([row], [rows.generation()], rows.group())
    journal = await again()
    assert await journal.episode("ep_1") == row
    assert await journal.generations("ep_1") == [rows.generation()]
    assert await journal.group("gr_1") == rows.group()
    assert await journal.episode("ep_2") is None
    assert await journal.group("gr_2") is None


async def test_episodes_are_added_all_or_none(journal: Journal) -> None:
    await journal.add_episodes([rows.episode("ep_2")])
    with pytest.raises(JournalConflictError, match="episode_id"):
        await journal.add_episodes([rows.episode("ep_1"), rows.episode("ep_2")], [rows.generation()], rows.group())
    assert [row.episode_id for row in await journal.open_episodes()] == ["ep_2"]
    assert await journal.generations("ep_1") == []
    assert await journal.groups() == []


async def test_changes_of_an_episode_are_kept_and_others_refused(journal: Journal, again: Again) -> None:
    await journal.add_episodes([rows.episode()])
    changes: dict[str, Any] = {
        "state": "live",
        "reason": "r",
        "generation": 2,
        "step_index": 3,
        "steps_taken": 4,
        "reward": 0.1,
        "sandbox_id": "sb_1",
        "image": "sha256:1",
        "series": 9,
        "snapshot": b'{"a": 1}',
        "clock": b'{"b": 2}',
        "grade": b"{}",
    }
    await journal.save_episode("ep_1", **changes)
    with pytest.raises(ValueError, match="owner"):
        await journal.save_episode("ep_1", owner="bob")
    with pytest.raises(JournalMissingError, match="ep_2"):
        await journal.save_episode("ep_2", state="live")
    journal = await again()
    assert await journal.episode("ep_1") == rows.episode(**changes)


async def test_open_and_closed_episodes_are_told_apart(journal: Journal) -> None:
    for number in range(5):
        await journal.add_episodes([rows.episode(f"ep_{number}")])
    for number, closed_at in ((3, 50.0), (1, 60.0), (0, 40.0)):
        await journal.save_episode(f"ep_{number}", closed_at=closed_at, state="closed", durable=True)
    assert [row.episode_id for row in await journal.open_episodes()] == ["ep_2", "ep_4"]
    assert [row.episode_id for row in await journal.closed_episodes(2)] == ["ep_3", "ep_1"]


async def test_a_generation_is_replaced_with_its_episodes_changes(journal: Journal, again: Again) -> None:
    await journal.add_episodes([rows.episode()], [rows.generation()])
    started = rows.generation(number=2, origin="restore", started=LARGE, parent_episode="ep_1", parent_generation=1)
    await journal.begin_generation(rows.generation(number=2), {"generation": 2})
    await journal.begin_generation(started, {"state": "live", "series": 0})
    journal = await again()
    assert await journal.generations("ep_1") == [rows.generation(), started]
    episode = await journal.episode("ep_1")
    assert episode is not None
    assert (episode.generation, episode.state) == (2, "live")
    with pytest.raises(JournalMissingError):
        await journal.begin_generation(rows.generation("ep_9"), {"generation": 1})
    assert await journal.generations("ep_9") == []


@pytest.mark.parametrize("result", [b'{"reward": 1}', b"", LARGE], ids=["small", "empty", "large"])
async def test_a_step_is_intended_and_finished(journal: Journal, again: Again, result: bytes) -> None:
    await journal.add_episodes([rows.episode()])
    intended = rows.step(action=result)
    await journal.intend_step(intended)
    assert await journal.steps("ep_1", 1) == [intended]
    assert await journal.running_steps() == [intended]
    changes: dict[str, Any] = {"step_index": 1, "steps_taken": 1, "snapshot": b"[1]"}
    finished: dict[str, Any] = {"result": result, "outcome": "ok", "reward": 0.25, "finished_at": 1003.0}
    await journal.finish_step(("ep_1", 1, 1), changes=changes, **finished)
    journal = await again()
    assert await journal.steps("ep_1", 1) == [dataclasses.replace(intended, **finished)]
    assert await journal.running_steps() == []
    assert await journal.episode("ep_1") == rows.episode(series=3, **changes)


async def test_a_step_is_intended_once_and_for_an_episode(journal: Journal) -> None:
    await journal.add_episodes([rows.episode(series=7)])
    await journal.intend_step(rows.step())
    with pytest.raises(JournalConflictError):
        await journal.intend_step(rows.step(series=11))
    with pytest.raises(JournalMissingError):
        await journal.intend_step(rows.step("ep_2"))
    episode = await journal.episode("ep_1")
    assert episode is not None
    assert episode.series == 7
    assert await journal.steps("ep_2", 1) == []


async def test_an_unknown_step_is_not_finished_and_changes_nothing(journal: Journal) -> None:
    await journal.add_episodes([rows.episode()])
    with pytest.raises(JournalMissingError):
        await journal.finish_step(
            ("ep_1", 1, 1), result=b"", outcome="ok", reward=0, finished_at=1.0, changes={"step_index": 1}
        )
    assert await journal.episode("ep_1") == rows.episode()


async def test_only_an_intent_is_forgotten(journal: Journal) -> None:
    await journal.add_episodes([rows.episode()])
    await journal.intend_step(rows.step(index=1))
    await journal.intend_step(rows.step(index=2))
    finished: dict[str, Any] = {"result": b"1", "outcome": "ok", "reward": 0.0, "finished_at": 1.0}
    await journal.finish_step(("ep_1", 1, 1), changes={}, **finished)
    for index in (1, 2, 3):
        await journal.forget_step(("ep_1", 1, index))
    assert [step.step_index for step in await journal.steps("ep_1", 1)] == [1]


async def test_steps_are_read_by_range_and_generation(journal: Journal) -> None:
    await journal.add_episodes([rows.episode()])
    for index in (3, 1, 2):
        await journal.intend_step(rows.step(index=index))
    await journal.intend_step(rows.step(number=2, index=4))
    assert [step.step_index for step in await journal.steps("ep_1", 1)] == [1, 2, 3]
    assert [step.step_index for step in await journal.steps("ep_1", 1, 2)] == [2, 3]
    assert [step.step_index for step in await journal.steps("ep_1", 1, 1, 2)] == [1, 2]
    assert [step.step_index for step in await journal.steps("ep_1", 2)] == [4]


async def test_running_steps_are_of_open_episodes_and_their_current_generation(journal: Journal) -> None:
    await journal.add_episodes([rows.episode("ep_1", generation=2), rows.episode("ep_2", closed_at=1.0)])
    await journal.intend_step(rows.step("ep_1", 1))
    await journal.intend_step(rows.step("ep_1", 2))
    await journal.intend_step(rows.step("ep_2", 1))
    assert await journal.running_steps() == [rows.step("ep_1", 2)]


async def test_checkpoints_are_listed_until_deleted(journal: Journal, again: Again) -> None:
    kept = rows.checkpoint("cp_2", state=LARGE, automatic=False, label=None)
    await journal.add_checkpoint(rows.checkpoint())
    await journal.add_checkpoint(kept)
    await journal.add_checkpoint(rows.checkpoint("cp_3", "ep_2", owner="bob"))
    await journal.delete_checkpoint("cp_1", 2000.0)
    await journal.delete_checkpoint("cp_1", 3000.0)
    journal = await again()
    assert await journal.checkpoint("cp_1") == rows.checkpoint(deleted_at=2000.0)
    assert await journal.checkpoint("cp_2") == kept
    assert await journal.checkpoint("cp_9") is None
    assert [row.checkpoint_id for row in await journal.checkpoints()] == ["cp_2", "cp_3"]
    assert await journal.checkpoints(episode_id="ep_1") == [kept]
    assert await journal.checkpoints(owner="ann") == [kept]
    first = (await journal.checkpoints(limit=1))[0]
    assert [row.checkpoint_id for row in await journal.checkpoints(after=first.position)] == ["cp_3"]
    with pytest.raises(JournalConflictError):
        await journal.add_checkpoint(kept)
    with pytest.raises(JournalMissingError):
        await journal.delete_checkpoint("cp_9", 1.0)


async def test_groups_are_listed_until_closed(journal: Journal, again: Again) -> None:
    await journal.add_episodes([], group=rows.group("gr_1"))
    await journal.add_episodes([], group=rows.group("gr_2"))
    await journal.save_group("gr_1", started=LARGE)
    await journal.save_group("gr_2", closed_at=5.0, durable=True)
    journal = await again()
    assert await journal.groups() == [rows.group("gr_1", started=LARGE)]
    assert await journal.group("gr_2") == rows.group("gr_2", closed_at=5.0)
    with pytest.raises(ValueError, match="size"):
        await journal.save_group("gr_1", size=3)


async def test_calls_are_replaced_and_read_by_age(journal: Journal, again: Again) -> None:
    await journal.save_call(rows.call("old", created_at=10.0))
    await journal.save_call(rows.call("new", created_at=30.0, status=None, body=None))
    await journal.save_call(rows.call("new", created_at=30.0, body=LARGE))
    journal = await again()
    assert await journal.calls(0) == [rows.call("old", created_at=10.0), rows.call("new", created_at=30.0, body=LARGE)]
    assert [row.call_key for row in await journal.calls(10.0)] == ["new"]


async def test_episodes_are_found_by_each_condition_and_paged(journal: Journal) -> None:
    changes: list[dict[str, Any]] = [
        {"owner": "bob"},
        {"environment": "tools"},
        {"task_set": "x"},
        {"task": "y"},
        {"state": "live"},
        {"group_id": "g"},
        {"created_at": 5.0},
        {"reward": 2.0},
        {"closed_at": 9.0},
    ]
    await journal.add_episodes([rows.episode(f"ep_{n}", **change) for n, change in enumerate(changes)])

    async def find(**conditions: Any) -> list[int]:
        return [int(row.episode_id[3:]) for row in await journal.find_episodes(**conditions)]

    assert await find() == list(range(9))
    assert await find(owner="bob") == [0]
    assert await find(environment="tools") == [1]
    assert await find(task_set="x") == [2]
    assert await find(task="y") == [3]
    assert await find(state="live") == [4]
    assert await find(group_id="g") == [5]
    assert await find(created_before=1000.5) == [6]
    assert await find(created_after=1000.5, min_reward=0.5) == [7]
    assert await find(max_reward=1.0, owner="ann", limit=2) == [1, 2]
    page = await journal.find_episodes(limit=4)
    assert await find(after=page[-1].position, limit=3) == [4, 5, 6]


async def test_a_failing_entry_fails_none_of_its_batch(journal: Journal) -> None:
    await journal.add_episodes([rows.episode()])
    answers = await asyncio.gather(
        journal.intend_step(rows.step(index=1)),
        journal.intend_step(rows.step(index=1, action=LARGE)),
        journal.save_episode("ep_9", state="live"),
        journal.intend_step(rows.step(index=2, action=LARGE)),
        journal.save_episode("ep_1", state=object()),
        journal.add_episodes([rows.episode("ep_2")]),
        return_exceptions=True,
    )
    kinds = [type(answer).__name__ for answer in answers]
    assert kinds[:4] == ["NoneType", "JournalConflictError", "JournalMissingError", "NoneType"]
    assert isinstance(answers[4], Exception)
    assert answers[5] is None
    assert [step.step_index for step in await journal.steps("ep_1", 1)] == [1, 2]
    assert len(await journal.open_episodes()) == 2


async def test_writes_take_effect_in_their_order(journal: Journal, again: Again) -> None:
    await journal.add_episodes([rows.episode()])
    await asyncio.gather(*(journal.save_episode("ep_1", step_index=n, durable=n % 7 == 0) for n in range(3000)))
    journal = await again()
    episode = await journal.episode("ep_1")
    assert episode is not None
    assert episode.step_index == 2999


async def test_a_cancelled_write_is_written(journal: Journal) -> None:
    await journal.add_episodes([rows.episode()])
    write = asyncio.create_task(journal.save_episode("ep_1", state="live"))
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    await journal.save_episode("ep_1", series=1)
    assert await journal.episode("ep_1") == rows.episode(state="live", series=1)


async def test_closing_writes_what_waits_and_refuses_what_follows(journal: Journal, directory: Path | None) -> None:
    await journal.add_episodes([rows.episode()])
    writes = [asyncio.create_task(journal.save_episode("ep_1", step_index=n, durable=n > 90)) for n in range(100)]
    await asyncio.sleep(0)
    await asyncio.gather(journal.close(), journal.close())
    await asyncio.gather(*writes)
    await journal.close()
    with pytest.raises(JournalUnavailableError, match="closed"):
        await journal.save_episode("ep_1", step_index=7)
    with pytest.raises(JournalUnavailableError, match="closed"):
        await journal.episode("ep_1")
    if directory is not None:
        reopened = await open_at(directory)
        assert await reopened.episode("ep_1") == rows.episode(step_index=99)
        assert reopened.journal_id == journal.journal_id != ""
        await reopened.close()


async def test_a_journal_in_memory_has_no_id() -> None:
    journal = await open_at(None)
    assert journal.journal_id == ""
    await journal.close()


async def test_a_small_step_is_committed_by_the_loop_itself_and_one_behind_others_in_its_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])
        threads: list[str] = []
        real = Writes.intend_step

        def note(self: Writes, row: StepRow) -> None:
            threads.append(threading.current_thread().name)
            real(self, row)

        with patch.object(Writes, "intend_step", note):
            await journal.intend_step(rows.step(index=1))
            behind = [journal.save_episode("ep_1", reason="first"), journal.intend_step(rows.step(index=2))]
            await asyncio.gather(*behind)
            await journal.intend_step(rows.step(index=3, action=os.urandom(100_000)))
        assert threads == ["MainThread", "journal-writer", "journal-writer"]
        assert [row.step_index for row in await journal.steps("ep_1", 1)] == [1, 2, 3]


async def test_a_commit_that_the_disk_holds_up_is_the_threads_for_a_while(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])
        with patch.object(writer, "SLOW_S", 0.0):
            await journal.intend_step(rows.step(index=1))
        threads: list[str] = []
        real = Writes.intend_step

        def note(self: Writes, row: StepRow) -> None:
            threads.append(threading.current_thread().name)
            real(self, row)

        with patch.object(Writes, "intend_step", note):
            await journal.intend_step(rows.step(index=2))
        assert threads == ["journal-writer"]
