"""Shorthands for driving actors without a transport."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from envserver.episodes.episode import Episode
from envserver.episodes.manager import EpisodeManager
from envserver_sdk.models import CreateEpisode, EpisodeStarted, StepRequest, StepResult


async def begin(manager: EpisodeManager, **members: Any) -> Episode:
    body = await manager.create(CreateEpisode(environment="scripted", **{"task": "a", **members}))
    return manager.episode(EpisodeStarted.model_validate_json(body).episode_id)


def request(index: int, action: Any = None, **members: Any) -> StepRequest:
    return StepRequest(
        action={"type": "echo", "value": index} if action is None else action, step_index=index, **members
    )


async def step(episode: Episode, action: Any = None, **members: Any) -> StepResult:
    """The next step, to its end, checked against the wire model."""
    record = episode.step(request(episode.step_index + 1, action, **members))
    assert await record.wait(5.0)
    assert set(json.loads(record.result)) == set(StepResult.model_fields)
    return StepResult.model_validate_json(record.result)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds; the test's own time limit bounds it."""
    while not condition():
        await asyncio.sleep(0.001)
