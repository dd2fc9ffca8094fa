"""Nothing lives for ever: TTL, idle lease, episode time-out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from envserver_sdk.errors import EpisodeClosed, EpisodeEnded
from envserver_sdk.models import EpisodeState
from tests.unit.episodes.helpers import begin, request, step, until
from tests.unit.fixtures import MakeManager
from tests.unit.scripted import Gates, ScriptedEnvironment, ScriptedRuntime


@pytest.mark.parametrize(("members", "reason"), [({"ttl_s": 0.05}, "expired"), ({"idle_timeout_s": 0.05}, "idle")])
async def test_an_episode_that_nobody_needs_is_closed_and_freed(
    make_manager: MakeManager, runtime: ScriptedRuntime, members: dict[str, float], reason: str
) -> None:
    manager = make_manager()
    episode = await begin(manager, **members)
    await runtime.empty.wait()
    await until(lambda: manager.services.admission.admitted == 0)
    with pytest.raises(EpisodeClosed, match=reason):
        manager.episode(episode.episode_id)


async def test_a_ttl_ends_a_running_step_too(make_manager: MakeManager, gates: Gates) -> None:
    episode = await begin(make_manager(), ttl_s=0.05)
    record = episode.step(request(1, {"type": "wait", "gate": "never"}))
    assert await record.wait(5)
    with pytest.raises(EpisodeClosed):
        _ = record.result


async def test_a_running_step_keeps_an_idle_lease_alive(
    make_manager: MakeManager, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = await begin(make_manager(), idle_timeout_s=0.03)
    record = episode.step(request(1, {"type": "wait", "gate": "g"}))
    assert not await record.wait(0.1)  # several leases long
    gates.open("g")
    assert await record.wait(5)
    assert record.result


async def test_past_its_time_an_idle_episode_is_ended_but_can_be_graded(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedEnvironment, "spec", replace(ScriptedEnvironment.spec, episode_timeout_s=0.03))
    episode = await begin(make_manager())
    await until(lambda: episode.state is EpisodeState.ENDED)
    with pytest.raises(EpisodeEnded, match="episode_timeout"):
        episode.step(request(1))
    assert (await episode.grade()).reward == 0.0


async def test_past_its_time_a_running_step_is_the_last_and_truncated(
    make_manager: MakeManager, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedEnvironment, "spec", replace(ScriptedEnvironment.spec, episode_timeout_s=0.2))
    episode = await begin(make_manager())
    assert (await step(episode)).observation["timeout_s"] <= 0.2, "no step may last longer than its episode"
    record = episode.step(request(2, {"type": "wait", "gate": "g"}))
    await until(lambda: episode.state is EpisodeState.ENDED)
    gates.open("g")
    assert await record.wait(5)
    assert b'"truncated":true' in record.result
    assert episode.reason == "episode_timeout"
