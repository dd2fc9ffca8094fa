"""An environment may cut an episode off, give its world up, and say which task is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from envserver_sdk.errors import EpisodeEnded, EpisodeLost, NotFound
from envserver_sdk.models import CreateEpisode, EpisodeStarted, EpisodeState
from tests.unit.episodes.helpers import begin, request, step
from tests.unit.fixtures import MakeManager
from tests.unit.scripted import ScriptedEnvironment, ScriptedRuntime


@pytest.mark.parametrize(
    ("kind", "ends", "reason"), [("cut", (False, True), "truncated"), ("end_and_cut", (True, True), "terminated")]
)
async def test_an_environment_truncates_and_the_episode_has_ended(
    make_manager: MakeManager, kind: str, ends: tuple[bool, bool], reason: str
) -> None:
    episode = await begin(make_manager())
    result = await step(episode, {"type": kind})
    assert (result.terminated, result.truncated) == ends
    assert (result.outcome, result.trainable) == ("ok", True)
    assert (episode.state, episode.reason) == (EpisodeState.ENDED, reason)
    with pytest.raises(EpisodeEnded, match=reason):
        episode.step(request(2))
    assert (await episode.grade()).reward == 0.0, "what was left is graded"


async def test_a_world_that_its_environment_gives_up_is_destroyed_and_nobodys_lesson(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    episode = await begin(make_manager())
    result = await step(episode, {"type": "give_up"})
    assert (result.outcome, result.trainable, result.truncated) == ("infra_error", False, True)
    assert result.observation == {"error": "it broke"}
    assert (episode.state, runtime.sandboxes) == (EpisodeState.FAILED, {})
    with pytest.raises(EpisodeLost):
        episode.step(request(2))


async def test_options_may_mean_a_task_where_none_is_named(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task_of(options: Mapping[str, Any]) -> str | None:
        return "b" if "gate" in options else None

    monkeypatch.setattr(ScriptedEnvironment, "task_of", task_of)
    manager = make_manager()

    async def played(task: str | None, **options: Any) -> Any:
        asked = CreateEpisode(environment="scripted", task=task, seed=1, options=options)
        return EpisodeStarted.model_validate_json(await manager.create(asked)).info["task"]

    drawn = await played(None)
    assert drawn != "b", "this seed's own is another one, or the test would say nothing"
    assert await played(None, gate="") == "b"
    assert await played("c", gate="") == "c"
    monkeypatch.setattr(ScriptedEnvironment, "task_of", lambda options: "nonsense")
    with pytest.raises(NotFound, match="nonsense"):
        await played(None, gate="")
