"""Letting an episode stand still between two steps, while a model thinks: frozen, or on disk with its memory freed.

A paused world keeps its memory and thaws in a millisecond; a hibernated one gives memory and capacity back, and has
to be admitted again when its next step wakes it. Either happens on request, or by itself after so long between
two steps. All of it is done while the episode's turn is held, so never under a step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from envserver import failpoints
from envserver.episodes.lease import Lease
from envserver.episodes.plan import Plan
from envserver.episodes.services import Services
from envserver.episodes.world import Stage, World, resume_environment
from envserver.logs import get_logger
from envserver.runtimes.base import (
    Capability,
    CapacityError,
    CheckpointError,
    NotSupportedError,
    RuntimeUnavailableError,
    SandboxError,
    SandboxGoneError,
)
from envserver_sdk.errors import CheckpointFailed, EpisodeLost, InfraError, NotSupported, Overloaded, Problem
from envserver_sdk.models import CheckpointKind, EpisodeState

log = get_logger(__name__)
MAX_WAKES = 3
"""What the disk held so often without success is taken to be broken."""


class Sleep:
    """Whether one episode's world stands still, and how it comes back. Belongs to the loop."""

    def __init__(self, services: Services, plan: Plan, lease: Lease) -> None:
        self._services = services
        self._plan = plan
        self._lease = lease
        self._failed_wakes = 0
        self.state: EpisodeState | None = None
        """PAUSED or HIBERNATED; None while it runs."""
        self._timers: list[asyncio.TimerHandle] = []

    # By itself

    def doze(self, fall: Callable[[EpisodeState], None]) -> None:
        """Between two steps: call `fall` when it is time for either."""
        self.stay_awake()
        config, policies = self._services.config, self._plan.policies
        loop = asyncio.get_running_loop()
        for state, after_s in (
            (EpisodeState.PAUSED, policies.pause_after_s or config.pause_after_s),
            (EpisodeState.HIBERNATED, policies.hibernate_after_s or config.hibernate_after_s),
        ):
            if after_s and (state is EpisodeState.PAUSED or self._can_hibernate):
                self._timers.append(loop.call_later(after_s, fall, state))

    def stay_awake(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # Falling asleep

    async def pause(self, world: World) -> None:
        """Raises: NotSupported, EpisodeLost, InfraError."""
        if self.state is None:
            await self._ask(self._services.runtime.pause(world.sandbox))
            self._stand(EpisodeState.PAUSED)

    async def hibernate(self, world: World) -> None:
        """Raises: NotSupported, CheckpointFailed, EpisodeLost, InfraError."""
        if self.state is EpisodeState.HIBERNATED:
            return
        if not self._can_hibernate:
            message = f"the processes of an episode of {self._plan.environment_name} cannot be put on disk"
            raise NotSupported(message, capability=Capability.HIBERNATE.value)
        await self.resume(world)
        await self._ask(self._services.runtime.hibernate(world.sandbox))
        world.stage = None
        self._stand(EpisodeState.HIBERNATED)

    @property
    def _can_hibernate(self) -> bool:
        """What may not be saved with its processes may not come back with them either."""
        return CheckpointKind.PROCESS in self._plan.checkpoints

    def found(self, state: EpisodeState) -> None:
        """What an earlier server left it as."""
        self._stand(state)

    def _stand(self, state: EpisodeState) -> None:
        self.state = state
        self._lease.hold_episode()
        self._services.metrics.sleeps.labels(state.value).inc()

    # Waking

    async def resume(self, world: World) -> None:
        """Thaw. Raises: EpisodeLost, InfraError."""
        if self.state is EpisodeState.PAUSED:
            await self._ask(self._services.runtime.resume(world.sandbox))
            self._run()

    async def wake(self, world: World) -> None:
        """From disk, into the same world. Raises: Overloaded, EpisodeLost, InfraError."""
        plan, runtime = self._plan, self._services.runtime
        spec = plan.sandbox_spec(world.generation)
        try:
            sandbox = await self._ask(runtime.adopt(world.sandbox_id, spec))
        except InfraError as problem:
            if isinstance(problem.__cause__, (RuntimeUnavailableError, TimeoutError)):
                raise
            self._failed_wakes += 1
            if self._failed_wakes < MAX_WAKES:
                raise
            message = f"episode {self._plan.episode_id}: what was put on disk of it cannot be woken"
            raise EpisodeLost(message, reason="gone") from problem
        self._failed_wakes = 0
        try:
            environment = resume_environment(plan, sandbox, world.snapshot)
        except BaseException:
            await self._services.destroy(sandbox)
            raise
        failpoints.hit("server.wake.adopted")
        world.stage = Stage(sandbox, environment)
        self._run()

    def _run(self) -> None:
        self.state = None
        self._lease.continue_episode()

    async def _ask(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            async with asyncio.timeout(self._services.config.checkpoint_timeout_s):
                return await work
        except (SandboxError, TimeoutError) as error:
            raise self._problem(error) from error

    def _problem(self, error: Exception) -> Problem:
        episode = f"episode {self._plan.episode_id}"
        if isinstance(error, NotSupportedError):
            return NotSupported(str(error))
        if isinstance(error, CheckpointError):
            return CheckpointFailed(str(error))
        if isinstance(error, CapacityError):
            return Overloaded(str(error), retry_after_s=self._services.admission.retry_after_s(1))
        if isinstance(error, SandboxGoneError):
            return EpisodeLost(f"{episode}: its sandbox is gone", reason="gone")
        log.warning("sleep_failed", episode_id=self._plan.episode_id, error=repr(error)[:500])
        return InfraError(f"{episode} could not be put to rest or woken")
