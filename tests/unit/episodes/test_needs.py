"""What an episode's options make of its sandbox holds for the episode's life."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from environments.environment import Needs
from environments.tasks import GraderSpec, Task
from envserver.episodes.plan import Plan
from envserver.runtimes.base import MIB, Limits
from envserver_sdk.errors import InvalidRequest
from envserver_sdk.models import CheckpointKind
from tests.unit.episodes.helpers import begin
from tests.unit.episodes.lives import Lives
from tests.unit.fixtures import MakeManager
from tests.unit.scripted import ScriptedEnvironment

LARGE = Limits(memory_bytes=900 * MIB)


@pytest.fixture(autouse=True)
def _choosy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment whose option `large` asks for another sandbox."""
    usual = ScriptedEnvironment.needs

    def needs(task: Task, options: Mapping[str, Any]) -> Needs:
        if options.get("large") == "very":
            raise ValueError("large is 'very', must be true or false")
        return Needs("large", LARGE, frozenset({CheckpointKind.REPLAY})) if options.get("large") else usual(task, {})

    monkeypatch.setattr(ScriptedEnvironment, "needs", needs)


async def test_options_decide_the_sandbox(make_manager: MakeManager) -> None:
    episode = await begin(make_manager(), options={"large": True})
    assert episode.plan.image == episode.plan.sandbox_spec(1).image == episode.plan.kind.image == "large"
    assert episode.plan.limits == episode.plan.kind.limits == LARGE
    assert episode.plan.checkpoints == {CheckpointKind.REPLAY}


async def test_a_caller_may_ask_for_less_than_options_need(make_manager: MakeManager) -> None:
    episode = await begin(make_manager(), options={"large": True}, limits={"pids": 9})
    assert (episode.plan.limits.pids, episode.plan.limits.memory_bytes) == (9, LARGE.memory_bytes)


async def test_options_that_there_are_not_are_the_callers_mistake_before_anything_is_made(
    make_manager: MakeManager,
) -> None:
    manager = make_manager()
    with pytest.raises(InvalidRequest, match="large is 'very'"):
        await begin(manager, options={"large": "very"})
    assert not manager.episodes()


async def test_a_reset_cannot_ask_for_another_sandbox(make_manager: MakeManager) -> None:
    manager = make_manager()
    episode = await begin(manager)
    with pytest.raises(InvalidRequest, match="a new episode's"):
        await manager.reset(episode.episode_id, 1, {"large": True})
    await manager.reset(episode.episode_id, 1, {})
    assert episode.generation == 2


async def test_the_next_server_knows_what_the_episode_needs(tmp_path: Path) -> None:
    lives = Lives(tmp_path)
    episode = await begin(await lives.boot(), options={"large": True})
    await lives.kill()
    taken_over = (await lives.boot()).episode(episode.episode_id).plan
    assert (taken_over.image, taken_over.limits, taken_over.checkpoints) == (
        "large",
        LARGE,
        frozenset({CheckpointKind.REPLAY}),
    )
    await lives.kill()


async def test_a_server_starts_though_what_an_episode_needs_is_not_installed_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Lives(tmp_path)
    episode = await begin(await lives.boot(), options={"large": True})
    await lives.kill()

    def needs(task: Task, options: Mapping[str, Any]) -> Needs:
        raise ValueError("there is no kit 'weather'")

    monkeypatch.setattr(ScriptedEnvironment, "needs", needs)
    assert (await lives.boot()).episode(episode.episode_id).plan.image == "large"
    await lives.kill()


def test_a_plan_that_was_written_without_its_needs_has_the_environments() -> None:
    task = Task("a", "", GraderSpec("scripted"), image="own")
    plan = Plan("ep", "scripted", ScriptedEnvironment, "s", task, "x", Limits(), frozenset(), 60.0, 60.0, 60.0)
    written = {name: value for name, value in json.loads(plan.encode()).items() if name not in ("image", "checkpoints")}
    rules = Plan.decode_rules(json.dumps(written).encode(), ScriptedEnvironment.spec, task)
    assert (rules["image"], rules["checkpoints"]) == ("own", ScriptedEnvironment.spec.checkpoints)
