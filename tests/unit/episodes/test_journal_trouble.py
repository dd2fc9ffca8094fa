"""A journal that cannot be written: nothing runs unwritten, nothing is told unwritten, and nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from envserver.episodes import ending as ending_module
from envserver.episodes import episode as episode_module
from envserver.episodes.journal.errors import JournalUnavailableError
from envserver.episodes.journal.journal import Journal
from envserver.episodes.saving import Wish
from envserver_sdk.errors import InfraError
from envserver_sdk.models import EpisodeState
from tests.unit.episodes.helpers import begin, request, step, until
from tests.unit.episodes.lives import Lives
from tests.unit.fixtures import MakeManager
from tests.unit.scripted import Gates

GET = {"type": "get"}

Trouble = Callable[[str, int], None]


@pytest.fixture
async def lives(tmp_path: Path, gates: Gates) -> AsyncIterator[Lives]:
    made = Lives(tmp_path / "journal")
    await made.boot()
    yield made
    await made.end()
    assert not made.runtime.sandboxes, "a test left sandboxes behind"
    assert made.manager.services.admission.admitted == 0
    assert made.manager.services.tenants.get("default").episodes == 0


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    """`trouble(method, times)`: the next so many calls of a journal's method find the disk full."""
    monkeypatch.setattr(episode_module, "WRITE_BACKOFF_S", (0.001,))

    def make(method: str, times: int) -> None:
        left, real = times, getattr(Journal, method)

        async def refuse(self: Journal, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left > 0:
                left -= 1
                raise JournalUnavailableError("database or disk is full")
            return await real(self, *arguments, **options)

        monkeypatch.setattr(Journal, method, refuse)

    return make


async def test_a_step_that_cannot_be_written_down_does_not_run_and_keeps_its_name(
    lives: Lives, trouble: Trouble, gates: Gates
) -> None:
    episode = await begin(lives.manager)
    trouble("intend_step", 1)
    record = episode.step(request(1, GET))
    assert await record.wait(5)
    with pytest.raises(InfraError):
        _ = record.result
    assert gates.counts["steps"] == 0
    assert (await step(episode, GET)).step_index == 1
    assert gates.counts["steps"] == 1


async def test_a_result_is_told_to_nobody_before_it_is_written(
    lives: Lives, trouble: Trouble, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = await begin(lives.manager)
    written = asyncio.Event()
    real = Journal.finish_step

    async def wait(self: Journal, *arguments: Any, **options: Any) -> None:
        await written.wait()
        await real(self, *arguments, **options)

    monkeypatch.setattr(Journal, "finish_step", wait)
    record = episode.step(request(1, GET))
    await until(lambda: gates.counts["steps"] == 1)
    assert not await record.wait(0.05)
    written.set()
    assert await record.wait(5)


async def test_a_result_is_written_as_soon_as_there_is_room_again(lives: Lives, trouble: Trouble, gates: Gates) -> None:
    episode = await begin(lives.manager)
    trouble("finish_step", 5)
    assert (await step(episode, {"type": "set", "value": 7})).outcome == "ok"
    await lives.reboot()
    again = lives.episode(episode.episode_id)
    assert (await step(again, GET)).observation["value"] == 7
    assert gates.counts["steps"] == 2


async def test_a_server_killed_before_it_could_write_a_result_loses_nothing(
    lives: Lives, trouble: Trouble, gates: Gates
) -> None:
    episode = await begin(lives.manager)
    trouble("finish_step", 20)
    action = {"type": "random"}
    episode.step(request(1, action))
    await until(lambda: gates.counts["steps"] == 1)
    await lives.reboot()
    again = lives.episode(episode.episode_id)
    record = again.step(request(1, action))
    assert await record.wait(5)
    assert gates.counts["steps"] == 1


@pytest.mark.parametrize("method", ["add_episodes", "begin_generation"])
async def test_a_create_that_cannot_be_written_down_leaves_nothing(lives: Lives, trouble: Trouble, method: str) -> None:
    trouble(method, 1)
    with pytest.raises(InfraError):
        await begin(lives.manager)
    assert not lives.runtime.sandboxes
    assert lives.manager.services.admission.admitted == 0
    await begin(lives.manager)


async def test_a_checkpoint_that_cannot_be_written_down_is_not_kept(lives: Lives, trouble: Trouble) -> None:
    episode = await begin(lives.manager)
    trouble("add_checkpoint", 1)
    with pytest.raises(InfraError):
        await episode.checkpoint(Wish())
    assert not lives.runtime.stored
    assert (await step(episode, GET)).outcome == "ok"


async def test_a_close_that_cannot_be_written_down_is_refused_and_frees_all_the_same(
    lives: Lives, trouble: Trouble
) -> None:
    episode = await begin(lives.manager)
    trouble("save_episode", 1)
    with pytest.raises(InfraError):
        await lives.manager.close(episode.episode_id)
    assert not lives.runtime.sandboxes
    await lives.manager.close(episode.episode_id)
    await lives.reboot()
    assert lives.manager.entry(episode.episode_id).info().state is EpisodeState.CLOSED


async def test_the_grade_of_a_submission_is_told_to_nobody_before_its_step_is_written(
    lives: Lives, trouble: Trouble
) -> None:
    episode = await begin(lives.manager)
    trouble("finish_step", 50)
    record = episode.step(request(1, {"type": "submit", "answer": "a"}))
    await until(lambda: lives.grader.gradings == 1)
    grading = asyncio.ensure_future(episode.grade())
    await asyncio.wait((grading,), timeout=0.02)
    assert not (grading.done() and not record.done)
    assert (await grading).reward == 1.0
    assert record.done


async def test_a_grade_that_cannot_be_written_down_is_given_when_it_can(lives: Lives, trouble: Trouble) -> None:
    episode = await begin(lives.manager)
    await step(episode, {"type": "end"})
    trouble("save_episode", 1)
    with pytest.raises(InfraError):
        await episode.grade()
    assert (await episode.grade()).reward == 0.0
    assert lives.grader.gradings == 2


async def test_a_close_that_cannot_be_written_is_written_once_it_can_be_and_nobody_asks(
    lives: Lives, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending_module, "CLOSE_AGAIN_S", 0.01)
    episode = await begin(lives.manager, idle_timeout_s=0.05)
    trouble("save_episode", 3)
    await until(lambda: lives.manager.find(episode.episode_id) is not episode)
    await lives.reboot()
    entry = lives.manager.entry(episode.episode_id)
    assert (entry.info().state, entry.info().reason) == (EpisodeState.CLOSED, "idle")


async def test_a_journal_in_memory_keeps_so_many_bytes_of_an_episodes_steps(make_manager: MakeManager) -> None:
    manager = make_manager(record_bytes=5000)
    episode = await begin(manager)
    for _ in range(4):
        await step(episode, {"type": "large", "size": 2000})
    journal = manager.services.journal
    assert [row.step_index for row in await journal.steps(episode.episode_id, 1)] == [3, 4]
    await manager.reset(episode.episode_id, 1, {})
    await step(episode, {"type": "large", "size": 9000})
    assert await journal.steps(episode.episode_id, 1) == []
    assert [row.step_index for row in await journal.steps(episode.episode_id, 2)] == [1]


async def test_a_close_that_could_not_be_written_is_when_the_server_stops(lives: Lives, trouble: Trouble) -> None:
    episode = await begin(lives.manager)
    trouble("save_episode", 1)
    with pytest.raises(InfraError):
        await episode.close("deleted")
    await lives.manager.shutdown(5.0)
    await lives.reboot()
    assert lives.manager.entry(episode.episode_id).info().state is EpisodeState.CLOSED
