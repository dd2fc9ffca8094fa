"""An episode is graded once, and no verdict is never a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from envserver.grading.base import GradingError
from envserver.runtimes.base import SandboxError
from envserver_sdk.errors import EpisodeClosed, EpisodeEnded, StaleGeneration
from envserver_sdk.models import GradeResult
from tests.unit.episodes.helpers import begin, request, step, until
from tests.unit.fixtures import MakeManager
from tests.unit.scripted import Gates, ScriptedGrader, ScriptedRuntime


@pytest.mark.parametrize(("answer", "reward"), [("a", 1.0), ("b", 0.0)])
async def test_submit_ends_the_episode_and_carries_the_reward(
    make_manager: MakeManager, runtime: ScriptedRuntime, answer: str, reward: float
) -> None:
    episode = await begin(make_manager())
    result = await step(episode, {"type": "submit", "answer": answer})
    assert (result.reward, result.terminated, result.trainable) == (reward, True, True)
    grade = GradeResult.model_validate(result.info.model_dump()["grade"])
    assert grade.reward == reward
    assert await episode.grade() == grade
    assert not runtime.sandboxes, "a graded episode's sandbox is freed at once, not when it is closed"


@pytest.mark.parametrize("error", [GradingError("unclear"), SandboxError("gone"), RuntimeError("a defect")])
async def test_a_failed_grading_is_an_infra_error_and_no_reward(
    make_manager: MakeManager, grader: ScriptedGrader, error: Exception
) -> None:
    grader.errors = [error, error]
    episode = await begin(make_manager())
    result = await step(episode, {"type": "submit", "answer": "a"})
    assert (result.outcome, result.reward, result.trainable, result.terminated) == ("infra_error", 0.0, False, True)
    grade = await episode.grade()
    assert (grade.reward, grade.trainable) == (None, False)


async def test_a_grading_that_failed_for_reasons_of_ours_is_run_again(
    make_manager: MakeManager, grader: ScriptedGrader
) -> None:
    grader.errors = [SandboxError("once")]
    result = await step(await begin(make_manager()), {"type": "submit", "answer": "a"})
    assert (result.reward, grader.gradings) == (1.0, 2)


async def test_grade_ends_a_live_episode_and_gives_the_same_record_ever_after(
    make_manager: MakeManager, grader: ScriptedGrader
) -> None:
    episode = await begin(make_manager())
    first, second = await asyncio.gather(episode.grade(), episode.grade())
    assert first is second is await episode.grade()
    assert (first.reward, grader.gradings) == (0.0, 1)
    with pytest.raises(EpisodeEnded):
        episode.step(request(1))


async def test_grade_waits_for_the_running_step_which_is_then_the_last(make_manager: MakeManager, gates: Gates) -> None:
    episode = await begin(make_manager())
    record = episode.step(request(1, {"type": "wait", "gate": "g"}))
    await gates.reached("g")
    grading = asyncio.ensure_future(episode.grade())
    await until(lambda: episode.state == "ended")
    gates.open("g")
    assert (await grading).reward == 0.0
    assert b'"truncated":true' in record.result


async def test_grade_during_a_submit_is_the_submits_grade(
    make_manager: MakeManager, gates: Gates, grader: ScriptedGrader
) -> None:
    episode = await begin(make_manager())
    record = episode.step(request(1, {"type": "submit", "answer": "a", "gate": "g"}))
    await gates.reached("g")
    grading = asyncio.ensure_future(episode.grade())
    await until(lambda: episode.state == "ended")
    gates.open("g")
    assert (await grading).reward == 1.0
    assert await record.wait(5)
    assert b'"reward":1.0' in record.result
    assert grader.gradings == 1


async def test_a_truncated_episode_keeps_its_world_until_it_is_graded(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    episode = await begin(make_manager())
    for _ in range(5):
        await step(episode)
    assert len(runtime.sandboxes) == 1
    assert (await episode.grade()).reward == 0.0
    assert not runtime.sandboxes


async def test_a_world_that_the_policy_ended_is_graded_as_nothing_handed_in(make_manager: MakeManager) -> None:
    episode = await begin(make_manager())
    await step(episode, {"type": "die"})
    grade = await episode.grade()
    assert (grade.reward, grade.trainable) == (0.0, True)


async def test_an_episode_that_we_failed_has_no_verdict(make_manager: MakeManager) -> None:
    episode = await begin(make_manager())
    await step(episode, {"type": "crash"})
    grade = await episode.grade()
    assert (grade.reward, grade.trainable) == (None, False)


@pytest.mark.parametrize(
    ("disturb", "problem"),
    [("close", EpisodeClosed), ("reset", StaleGeneration)],
)
async def test_a_grading_under_which_the_episode_goes_leaves_nothing(
    make_manager: MakeManager,
    gates: Gates,
    grader: ScriptedGrader,
    runtime: ScriptedRuntime,
    disturb: str,
    problem: type[Exception],
) -> None:
    manager = make_manager()
    episode = await begin(manager)
    grader.gate = "grader"
    grading = asyncio.ensure_future(episode.grade())
    await gates.reached("grader")
    if disturb == "close":
        await manager.close(episode.episode_id)
    else:
        await manager.reset(episode.episode_id, None, {})
    with pytest.raises(problem):
        await grading
    assert not runtime.labelled("grading")


async def test_gradings_never_wait_for_each_others_sandboxes_nor_for_episodes(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    manager = make_manager(grade_concurrency=2, max_episodes=6, start_concurrency=2)
    episodes = [await begin(manager) for _ in range(6)]  # the node is full
    results = await asyncio.gather(*(step(e, {"type": "submit", "answer": "a"}) for e in episodes))
    assert [result.reward for result in results] == [1.0] * 6
    assert runtime.most <= 6 + 2 * 2


async def test_a_grader_holds_only_so_many_sandboxes_and_leaves_none(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    episode = await begin(make_manager(grade_max_sandboxes=1))
    result = await step(episode, {"type": "submit", "answer": "a"})
    assert result.outcome == "infra_error"
    assert not runtime.sandboxes


def test_a_grade_is_finite_and_between_0_and_1() -> None:
    from envserver.grading.base import Grade

    make: Callable[[float], Grade] = Grade
    for reward in (float("nan"), float("inf"), -0.1, 1.1):
        with pytest.raises(GradingError):
            make(reward)
