"""A step has a name and happens once."""

from __future__ import annotations

import asyncio

import pytest

from envserver_sdk.errors import (
    EpisodeClosed,
    EpisodeEnded,
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    StaleGeneration,
    WrongStepIndex,
)
from tests.unit.episodes.helpers import begin, request, step
from tests.unit.fixtures import MakeManager
from tests.unit.scripted import Gates


async def test_a_retry_during_and_after_a_step_gets_the_same_bytes_and_runs_nothing(
    make_manager: MakeManager, gates: Gates
) -> None:
    episode = await begin(make_manager())
    action = {"type": "wait", "gate": "g"}
    first = episode.step(request(1, action))
    await gates.reached("g")
    during = episode.step(request(1, {"gate": "g", "type": "wait"}))
    assert not await during.wait(0)
    gates.open("g")
    assert await first.wait(5)
    after = episode.step(request(1, action))
    assert first.result == during.result == after.result == episode.record(1, None).result
    assert gates.counts["g"] == 1


async def test_two_sends_of_one_name_at_once_run_once(make_manager: MakeManager, gates: Gates) -> None:
    episode = await begin(make_manager())
    gates.open("g")
    records = [episode.step(request(1, {"type": "wait", "gate": "g"})) for _ in range(20)]
    await asyncio.gather(*(record.wait(5) for record in records))
    assert gates.counts["g"] == 1
    assert len({record.result for record in records}) == 1


async def test_another_action_under_the_same_name_is_refused(make_manager: MakeManager, gates: Gates) -> None:
    episode = await begin(make_manager())
    episode.step(request(1, {"type": "wait", "gate": "g"}))
    with pytest.raises(IdempotencyMismatch):
        episode.step(request(1, {"type": "echo"}))
    gates.open("g")


async def test_any_other_index_is_refused_with_the_expected_one(make_manager: MakeManager) -> None:
    episode = await begin(make_manager())
    await step(episode)
    for wrong in (3, 17):
        with pytest.raises(WrongStepIndex) as caught:
            episode.step(request(wrong))
        assert caught.value.extra["expected"] == 2


async def test_the_next_name_is_refused_while_a_step_runs(make_manager: MakeManager, gates: Gates) -> None:
    episode = await begin(make_manager())
    episode.step(request(1, {"type": "wait", "gate": "g"}))
    with pytest.raises(WrongStepIndex) as caught:
        episode.step(request(2))
    assert caught.value.extra["expected"] == 1
    gates.open("g")


async def test_another_generation_is_stale_for_steps_and_records(make_manager: MakeManager) -> None:
    manager = make_manager()
    episode = await begin(manager)
    await step(episode)
    await manager.reset(episode.episode_id, None, {})
    with pytest.raises(StaleGeneration) as caught:
        episode.step(request(1, generation=1))
    assert caught.value.extra["generation"] == 2
    with pytest.raises(StaleGeneration):
        episode.record(1, 1)
    assert (await step(episode, generation=2)).generation == 2


async def test_records_answer_after_the_end_but_nothing_new_runs(make_manager: MakeManager) -> None:
    episode = await begin(make_manager())
    assert (await step(episode, {"type": "end"})).terminated
    assert episode.step(request(1, {"type": "end"})).done
    with pytest.raises(EpisodeEnded):
        episode.step(request(2))


async def test_a_closed_episode_answers_410_to_everything(make_manager: MakeManager) -> None:
    manager = make_manager()
    episode = await begin(manager)
    await step(episode)
    await manager.close(episode.episode_id)
    with pytest.raises(EpisodeClosed):
        episode.step(request(1))
    with pytest.raises(EpisodeClosed):
        manager.episode(episode.episode_id)


async def test_a_record_that_never_was_or_is_forgotten_is_not_found(make_manager: MakeManager) -> None:
    episode = await begin(make_manager(record_bytes=3000))
    with pytest.raises(NotFound, match="has not been sent"):
        episode.record(1, None)
    for _ in range(3):
        await step(episode, {"type": "large", "size": 2000})
    with pytest.raises(NotFound, match="no longer kept"):
        episode.record(1, None)
    assert episode.record(3, None).done, "the newest record always stays"


async def test_a_refused_time_limit_uses_no_name_up(make_manager: MakeManager) -> None:
    episode = await begin(make_manager())
    with pytest.raises(InvalidRequest, match="at most 60"):
        episode.step(request(1, timeout_s=61))
    assert (await step(episode, timeout_s=7)).observation["timeout_s"] == 7


async def test_an_action_may_be_any_json_value(make_manager: MakeManager) -> None:
    episode = await begin(make_manager())
    for action in ("text", 3, [1], True, {"type": 4}):
        result = await step(episode, action)
        assert result.outcome == "format_error"
        assert result.trainable


async def test_a_record_that_has_its_result_keeps_it_whatever_becomes_of_its_episode(make_manager: MakeManager) -> None:
    episode = await begin(make_manager())
    record = episode.step(request(1, {"type": "submit", "answer": "a"}))
    assert await record.wait(5)
    first = record.result
    await episode.close("deleted")  # perhaps while the step still lets go of its world
    record.fail(EpisodeClosed("too late"))
    assert record.result == first
