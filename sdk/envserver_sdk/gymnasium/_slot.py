"""One place for an episode: begins it when it is first reset, begins it again, and takes its steps.

A reset keeps the episode's id and begins its next generation, as long as the task is named and stays the same. The
server gives an episode one task for its life, so a reset to another task, or one that leaves the task to the seed,
closes the episode and makes another. So does a reset of an episode whose lease has ended or whose server went away.

A slot may also be given an episode that began elsewhere: a fork, or a member of a group.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gymnasium.error import ResetNeeded

from envserver_sdk import AsyncCheckpoint, AsyncClient, AsyncEpisode, AsyncGroup
from envserver_sdk.errors import (
    EnvserverClientError,
    EpisodeClosed,
    EpisodeLost,
    EpisodeNotLive,
    InfraError,
    NotFound,
)
from envserver_sdk.models import Outcome, StepResult

GONE = (EpisodeClosed, EpisodeLost, EpisodeNotLive, NotFound)
"""What a reset of an episode that cannot go on raises."""


class EpisodeRecovered(EpisodeLost):
    """The world was lost in a step and goes on from a checkpoint, which is where the next step is taken.

    `extra["info"]["recovery"]` says from which one, and what was observed there.
    """


Named = tuple[str | None, str | None]
"""Task set and task; the server chooses what is None."""


@dataclass(frozen=True)
class EpisodeRequest:
    """What every episode of a Gymnasium object is asked for; the words are those of `AsyncClient.create`."""

    environment: str
    task: str | None = None
    task_set: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] | None = None
    ttl_s: float | None = None
    idle_timeout_s: float | None = None
    metadata: Mapping[str, Any] | None = None
    step_timeout_s: float | None = None
    """Of a step's own work; the environment's default when left out."""
    checkpoints: Mapping[str, Any] | None = None
    recovery: str | None = None
    pause_after_s: float | None = None
    hibernate_after_s: float | None = None

    async def create(self, client: AsyncClient, named: Named, seed: int, options: Mapping[str, Any]) -> AsyncEpisode:
        """One episode. Raises: as `AsyncClient.create`."""
        return await client.create(self.environment, **self._arguments(named, seed, options))

    async def create_group(
        self, client: AsyncClient, named: Named, seed: int, options: Mapping[str, Any], n: int, stragglers: Any
    ) -> AsyncGroup:
        """Raises: as `AsyncClient.group`."""
        arguments = self._arguments(named, seed, options)
        return await client.group(self.environment, n=n, stragglers=stragglers, **arguments)

    def split(self, options: Mapping[str, Any]) -> tuple[Named, dict[str, Any]]:
        """Which task a reset's options name, and what else the environment gets."""
        rest = {**self.options, **options}
        return (rest.pop("task_set", self.task_set), rest.pop("task", self.task)), rest

    def _arguments(self, named: Named, seed: int, options: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "task_set": named[0], "task": named[1], "seed": seed, "options": options, "limits": self.limits,
            "ttl_s": self.ttl_s, "idle_timeout_s": self.idle_timeout_s, "checkpoints": self.checkpoints,
            "recovery": self.recovery, "pause_after_s": self.pause_after_s,
            "hibernate_after_s": self.hibernate_after_s, "metadata": self.metadata,
        }  # fmt: skip


class Slot:
    """Belongs to the client's event loop. One call at a time."""

    def __init__(self, client: AsyncClient, request: EpisodeRequest) -> None:
        self._client = client
        self._request = request
        self._episode: AsyncEpisode | None = None
        self._creating: asyncio.Task[AsyncEpisode] | None = None
        self._begun_as: Named = (None, None)
        self.needs_reset = True

    async def begin(self, seed: int, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The first observation and `info`. `options` go to the environment, but for `task` and `task_set`.

        Raises: as `AsyncClient.create`.
        """
        self.needs_reset = True
        named, rest = self._request.split(options)
        episode = await self._begin_again(named, seed, rest) or await self._create(named, seed, rest)
        return self._begun(episode)

    def adopt(self, episode: AsyncEpisode) -> tuple[Any, dict[str, Any]]:
        """Go on with an episode that began elsewhere, where it stands. The one before must have been closed."""
        self._episode, self._begun_as = episode, (None, None)
        return self._begun(episode)

    @property
    def episode(self) -> AsyncEpisode:
        """Raises: ResetNeeded."""
        if self._episode is None:
            raise ResetNeeded("there is no episode: call reset first")
        return self._episode

    async def restore(self, checkpoint: AsyncCheckpoint | str) -> tuple[Any, dict[str, Any]]:
        """Roll the episode back; observation and `info` as `begin`. Raises: ResetNeeded, as `AsyncEpisode.restore`."""
        await self.episode.restore(checkpoint)
        return self._begun(self.episode)

    def _begun(self, episode: AsyncEpisode) -> tuple[Any, dict[str, Any]]:
        self.needs_reset = False
        name = {"episode_id": episode.episode_id, "generation": episode.generation}
        return episode.observation, {**episode.info, **name}

    async def step(self, action: Any) -> StepResult:
        """The next step. A step that our fault ended is an exception: no observation and no reward came of it.

        Raises: ResetNeeded, and as `AsyncEpisode.step`; InfraError, EpisodeLost or EpisodeRecovered also for a step
        of that outcome, whose `info` is then in `extra`.
        """
        if self._episode is None or self.needs_reset:
            raise ResetNeeded("there is no episode to step: it has not begun, has ended or has failed; call reset")
        step = await self._episode.step(action, timeout_s=self._request.step_timeout_s)
        self.needs_reset = step.done
        failure = {Outcome.INFRA_ERROR: InfraError, Outcome.EPISODE_LOST: EpisodeLost}.get(step.outcome)
        if failure is not None:
            self.needs_reset = step.recovery is None
            failure = failure if self.needs_reset else EpisodeRecovered
            detail = str(step.observation.get("error") or f"step {step.step_index} ended as {step.outcome}")
            raise failure(detail, info=self.info(step))
        return step

    def info(self, step: StepResult) -> dict[str, Any]:
        """A step's `info`, with the step's name."""
        assert self._episode is not None
        name = {"episode_id": self._episode.episode_id, "generation": step.generation, "step_index": step.step_index}
        return {**step.info.model_dump(mode="json"), **name}

    async def close(self) -> None:
        """Close the episode, also one that is still being made. Idempotent."""
        self.needs_reset = True
        creating, self._creating = self._creating, None
        if creating is not None:
            with contextlib.suppress(EnvserverClientError):
                self._episode = await creating
        episode, self._episode = self._episode, None
        if episode is not None:
            await episode.close()

    async def _begin_again(self, named: Named, seed: int, options: Mapping[str, Any]) -> AsyncEpisode | None:
        if self._episode is None or named != self._begun_as or named[1] is None:
            return None
        try:
            await self._episode.reset(seed=seed, options=options)
        except GONE:
            return None
        return self._episode

    async def _create(self, named: Named, seed: int, options: Mapping[str, Any]) -> AsyncEpisode:
        with contextlib.suppress(EnvserverClientError):  # its lease ends it, should the server not hear us now
            await self.close()
        self._begun_as = named
        creating = self._creating = asyncio.ensure_future(self._request.create(self._client, named, seed, options))
        # A create that nobody waits for any more still makes an episode: `wait` lets it, and `close` waits for it.
        await asyncio.wait({creating})
        self._creating = None
        self._episode = creating.result()
        return self._episode
