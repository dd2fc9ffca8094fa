"""Client of envserver: step containerised RL environments from a training loop.

    from envserver_sdk import Client

    with Client("http://127.0.0.1:8000") as client:
        with client.create("code", task="HumanEval/0") as episode:
            step = episode.step({"type": "python", "code": "1 + 1"})
            print(step.observation["result"], step.reward)

`AsyncClient` has the same verbs. Errors are the classes of `envserver_sdk.errors`, results those of
`envserver_sdk.models`. Importing this package is cheap; pydantic, httpx and websockets come with the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envserver_sdk import errors
from envserver_sdk._async_client import AsyncClient
from envserver_sdk._async_episode import AsyncCheckpoint, AsyncEpisode, AsyncGroup
from envserver_sdk._settings import Timeouts, Tls
from envserver_sdk._sync_client import Checkpoint, Client, Episode, Group
from envserver_sdk.errors import CallTimeout, ConnectionFailed, EnvserverClientError, Problem

if TYPE_CHECKING:
    from envserver_sdk import models
    from envserver_sdk.models import (
        EpisodeInfo,
        EpisodeStarted,
        EpisodeState,
        GradeResult,
        Outcome,
        StepResult,
        Trajectory,
        TrajectoryStep,
    )

__all__ = [
    "Client", "Episode", "Checkpoint", "Group", "AsyncClient", "AsyncEpisode", "AsyncCheckpoint", "AsyncGroup",
    "Timeouts", "Tls",
    "EpisodeInfo", "EpisodeStarted", "EpisodeState", "GradeResult", "Outcome", "StepResult", "Trajectory",
    "TrajectoryStep",
    "EnvserverClientError", "Problem", "CallTimeout", "ConnectionFailed",
    "errors", "models",
]  # fmt: skip

_MODELS = frozenset(
    {
        "EpisodeInfo", "EpisodeStarted", "EpisodeState", "GradeResult", "Outcome", "StepResult", "Trajectory",
        "TrajectoryStep",
    }
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODELS:
        from envserver_sdk import models

        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
