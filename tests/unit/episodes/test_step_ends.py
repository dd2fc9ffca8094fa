"""What a step that goes wrong comes to."""

from __future__ import annotations

from typing import Any

import pytest

from envserver_sdk.errors import EpisodeEnded, EpisodeLost
from envserver_sdk.models import EpisodeState
from tests.unit.episodes.helpers import begin, request, step
from tests.unit.fixtures import MakeManager
from tests.unit.scripted import Gates, ScriptedRuntime


@pytest.mark.parametrize(("kind", "outcome"), [("oom", "policy_oom"), ("pids", "policy_pids")])
async def test_a_limit_that_stopped_the_step_is_its_outcome_and_the_episode_goes_on(
    make_manager: MakeManager, kind: str, outcome: str
) -> None:
    episode = await begin(make_manager())
    result = await step(episode, {"type": kind})
    assert (result.outcome, result.trainable, result.done) == (outcome, True, False)
    assert (await step(episode)).outcome == "ok", "a limit counts for the step that it stopped alone"


async def test_a_step_reports_what_it_used(make_manager: MakeManager) -> None:
    info = (await step(await begin(make_manager()), {"type": "oom"})).info
    assert info.cpu_ms == 500.0
    assert info.peak_memory_bytes == 2000
    assert info.duration_ms > 0


@pytest.mark.parametrize(("cpu_s", "outcome"), [(0.0, "episode_lost"), (100.0, "policy_killed")])
async def test_silence_of_a_sandbox_without_cpu_time_is_ours(
    make_manager: MakeManager, cpu_s: float, outcome: str
) -> None:
    episode = await begin(make_manager())
    result = await step(episode, {"type": "silent", "cpu_s": cpu_s})
    assert result.info.outcome == outcome
    assert result.info.trainable == (outcome == "policy_killed")


@pytest.mark.parametrize(("kind", "outcome"), [("die", "policy_killed"), ("die_oom", "policy_oom")])
async def test_a_policy_that_ends_its_world_terminates_the_episode_and_may_be_trained_on(
    make_manager: MakeManager, runtime: ScriptedRuntime, kind: str, outcome: str
) -> None:
    episode = await begin(make_manager())
    result = await step(episode, {"type": kind})
    assert (result.outcome, result.terminated, result.trainable) == (outcome, True, True)
    assert result.observation["error"]
    assert not runtime.sandboxes
    with pytest.raises(EpisodeEnded):
        episode.step(request(2))


async def test_a_world_that_is_gone_with_its_launcher_is_lost_and_nobodys_lesson(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    episode = await begin(make_manager())
    runtime.available = False
    result = await step(episode, {"type": "die"})
    runtime.available = True
    assert (result.outcome, result.trainable, result.terminated, result.truncated) == (
        "episode_lost", False, False, True,
    )  # fmt: skip
    with pytest.raises(EpisodeLost):
        episode.step(request(2))


@pytest.mark.parametrize("kind", ["fail", "crash", "nonsense", "nan"])
async def test_what_is_our_fault_ends_the_episode_untrainable_and_says_nothing_of_our_insides(
    make_manager: MakeManager, runtime: ScriptedRuntime, kind: str
) -> None:
    episode = await begin(make_manager())
    result = await step(episode, {"type": kind})
    assert (result.outcome, result.trainable, result.reward, result.truncated) == ("infra_error", False, 0.0, True)
    assert "secret" not in result.model_dump_json()
    assert episode.state is EpisodeState.FAILED
    assert not runtime.sandboxes
    with pytest.raises(EpisodeLost):
        episode.step(request(2))


async def test_a_step_that_hangs_past_its_hard_limit_is_given_up(
    make_manager: MakeManager, runtime: ScriptedRuntime, gates: Gates
) -> None:
    episode = await begin(make_manager(step_margin_s=0.02))
    result = await step(episode, {"type": "wait", "gate": "never"}, timeout_s=0.02)
    assert (result.outcome, result.trainable) == ("infra_error", False)
    assert not runtime.sandboxes


async def test_after_max_steps_the_episode_is_truncated(make_manager: MakeManager) -> None:
    episode = await begin(make_manager())
    results = [await step(episode) for _ in range(5)]
    assert [result.truncated for result in results] == [False] * 4 + [True]
    assert episode.reason == "max_steps"
    with pytest.raises(EpisodeEnded):
        episode.step(request(6))


async def test_rewards_add_up(make_manager: MakeManager) -> None:
    episode = await begin(make_manager())
    for reward in (0.5, 0.25):
        await step(episode, {"type": "score", "reward": reward})
    assert episode.info().reward == 0.75


async def test_an_environments_own_info_never_overrides_the_actors(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from environments.environment import Transition
    from tests.unit.scripted import ScriptedEnvironment

    async def lie(*_: Any) -> Transition:
        return Transition({}, info={"outcome": "ok", "trainable": True, "mine": 1}, terminated=False)

    monkeypatch.setattr(ScriptedEnvironment, "do_lie", lie, raising=False)
    info = (await step(await begin(make_manager()), {"type": "lie"})).info.model_dump()
    assert info["mine"] == 1
    assert info["duration_ms"] >= 0
