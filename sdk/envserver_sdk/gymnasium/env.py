"""One episode at a time as a `gymnasium.Env`.

Observations and actions are JSON values, described by the spaces that the server publishes. A malformed action is an
observation like any other, so `step` checks none against the space. What our infrastructure does is an exception: a
reward of 0 always means that the policy earned 0.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import gymnasium
from gymnasium.error import ResetNeeded, UnsupportedMode

from envserver_sdk import AsyncEpisode, Checkpoint, Timeouts, Tls
from envserver_sdk.errors import EnvserverClientError
from envserver_sdk.gymnasium._session import Session
from envserver_sdk.gymnasium._slot import EpisodeRequest, Slot
from envserver_sdk.gymnasium.spaces import space_for

DEFAULT_URL = "http://127.0.0.1:8000"
SEEDS = 2**31
"""Seeds of resets without one are drawn below this, from `np_random`."""


class EnvserverEnv(gymnasium.Env[Any, Any]):
    """An environment of a server.

    `reset` begins an episode: `seed` goes to the server as it is, and one is drawn from `np_random` where it is left
    out. Its `options` may hold `task` and `task_set`; everything else goes to the environment. Without a task the seed
    chooses one. A named task that stays the same keeps the episode's id: the next generation, in a new container.

    `step` may be repeated with the same action after `CallTimeout` and `ConnectionFailed`: it runs once. After a
    `Problem` call `reset`, which replaces an episode that is gone.

    Args:
        environment: its name on the server.
        url: the server's, api_key: its key, or else that of the environment variable ENVSERVER_API_KEY.
        task, task_set, options, limits, ttl_s, idle_timeout_s, metadata, checkpoints, recovery, pause_after_s,
            hibernate_after_s: as in `AsyncClient.create`.
        step_timeout_s: for the policy's own work in a step; the environment's default when left out.
        timeouts: how long to wait for what; tls: whom to trust behind https.
        render_mode: "ansi", the last observation as text, or None.

    Raises: NotFound for an unknown environment, ConnectionFailed, UnsupportedMode.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]

    def __init__(
        self,
        environment: str,
        *,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        task: str | None = None,
        task_set: str | None = None,
        options: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        ttl_s: float | None = None,
        idle_timeout_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        step_timeout_s: float | None = None,
        checkpoints: Mapping[str, Any] | None = None,
        recovery: str | None = None,
        pause_after_s: float | None = None,
        hibernate_after_s: float | None = None,
        timeouts: Timeouts | None = None,
        tls: Tls | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UnsupportedMode(f"render_mode is {render_mode!r}, must be 'ansi' or None")
        self.render_mode = render_mode
        self._frame: str | None = None
        self._session = Session(self, url, api_key, timeouts, tls)
        published = self._session.environment(environment)
        self.action_space = space_for(published.action_schema)
        self.observation_space = space_for(published.observation_schema)
        request = EpisodeRequest(
            environment, task, task_set, options or {}, limits, ttl_s, idle_timeout_s, metadata, step_timeout_s,
            checkpoints, recovery, pause_after_s, hibernate_after_s,
        )  # fmt: skip
        self._twin: Callable[[], EnvserverEnv] = partial(
            type(self), environment, url=url, api_key=api_key, task=task, task_set=task_set, options=options,
            limits=limits, ttl_s=ttl_s, idle_timeout_s=idle_timeout_s, metadata=metadata,
            step_timeout_s=step_timeout_s, checkpoints=checkpoints, recovery=recovery, pause_after_s=pause_after_s,
            hibernate_after_s=hibernate_after_s, timeouts=timeouts, tls=tls, render_mode=render_mode,
        )  # fmt: skip
        self._slot = Slot(self._session.client, request)
        self._session.on_close(self._slot.close)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode. `info` has at least `task`, `task_set`, `seed`, `episode_id` and `generation`.

        Raises: as `AsyncClient.create`.
        """
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(SEEDS)) if seed is None else seed
        observation, info = self._session.run(self._slot.begin(drawn, options or {}))
        self._show(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step. `info` has `outcome`, `trainable`, what the step used, and its name.

        Raises: ResetNeeded before the first reset and after the end; InfraError, EpisodeLost and the rest of
        `AsyncEpisode.step` where the infrastructure failed; EpisodeRecovered where it failed and the next step goes on
        from a checkpoint.
        """
        step = self._session.run(self._slot.step(action))
        self._show(step.observation)
        return step.observation, float(step.reward), step.terminated, step.truncated, self._slot.info(step)

    def checkpoint(self, kind: str = "auto", label: str | None = None) -> Checkpoint:
        """Save the episode as it stands, as in `AsyncEpisode.checkpoint`. Raises: ResetNeeded, CheckpointFailed."""
        return self._session.checkpoint(self._slot.episode.checkpoint(kind, label))

    def restore(self, checkpoint: Checkpoint | str) -> tuple[Any, dict[str, Any]]:
        """Roll the episode back to a checkpoint; observation and `info` as from `reset`.

        Raises: ResetNeeded, and as `AsyncEpisode.restore`.
        """
        checkpoint_id = checkpoint if isinstance(checkpoint, str) else checkpoint.checkpoint_id
        observation, info = self._session.run(self._slot.restore(checkpoint_id))
        self._show(observation)
        return observation, info

    def fork(self, n: int = 1) -> list[EnvserverEnv]:
        """`n` environments that go on from here, each its own way and each to be closed. All of them or none.

        Raises: ResetNeeded, and as `AsyncEpisode.fork`.
        """
        episodes = self._session.run(self._slot.episode.fork(n))
        twins: list[EnvserverEnv] = []
        try:
            for episode in episodes:
                twins.append(self._twin())
                twins[-1]._adopt(episode.episode_id)
        except BaseException:
            for twin in twins:
                twin.close()
            for episode in episodes:
                self._end(episode)
            raise
        return twins

    def render(self) -> str | None:
        """The last observation as text, in render mode "ansi". Raises: ResetNeeded before the first."""
        if self.render_mode is not None and self._frame is None:
            raise ResetNeeded("there is nothing to render before the first reset")
        return self._frame

    def close(self) -> None:
        """Close the episode and the connection. Idempotent; also done when the object is collected, and at exit."""
        self._session.close()

    def _adopt(self, episode_id: str) -> None:
        observation, _ = self._slot.adopt(self._session.run(self._session.client.attach(episode_id)))
        self._show(observation)

    def _end(self, episode: AsyncEpisode) -> None:
        with contextlib.suppress(EnvserverClientError):
            self._session.run(episode.close())

    def _show(self, observation: Any) -> None:
        """Drawn at once, since the caller may change the observation."""
        if self.render_mode is not None:
            self._frame = as_text(observation)


def as_text(observation: Any) -> str:
    """An observation for people: each member under its name, texts as they are, the rest as JSON."""
    if not isinstance(observation, dict):
        return _as_text(observation)
    return "\n".join(f"{name}: {_as_text(value)}" for name, value in observation.items())


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
