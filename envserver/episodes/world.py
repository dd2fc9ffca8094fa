"""A world: one generation's sandbox with the environment over it, and how it is begun.

Beginning a world either succeeds as a whole or leaves nothing: on failure, time-out or cancellation at any
point the sandbox is destroyed before the error goes on. What can be tried again without anyone noticing
(nothing has been observed yet) is tried once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from pydantic_core import to_json

from environments.environment import Environment, EnvironmentSpec, JsonObject
from environments.tasks import Task
from envserver.access.tenants import DEFAULT_TENANT
from envserver.episodes.pool import Kind
from envserver.episodes.services import Services
from envserver.logs import get_logger
from envserver.runtimes.base import (
    CapacityError,
    ImageNotFoundError,
    Limits,
    Sandbox,
    SandboxError,
    SandboxSpec,
)
from envserver_sdk.errors import InfraError, InvalidRequest, Overloaded, Problem

log = get_logger(__name__)

START_ATTEMPTS = 2

PURPOSE_EPISODE = "episode"
PURPOSE_GRADING = "grading"


@dataclass(frozen=True)
class Plan:
    """What an episode plays, fixed for its life."""

    episode_id: str
    environment_name: str
    environment: type[Environment]
    task_set: str
    task: Task
    limits: Limits
    sandbox_ttl_s: float
    owner: str = DEFAULT_TENANT
    """The tenant."""

    @property
    def spec(self) -> EnvironmentSpec:
        """The environment's, with what the task sets instead."""
        task, spec = self.task, self.environment.spec
        changes: dict[str, Any] = {"episode_timeout_s": task.episode_timeout_s, "max_steps": task.max_steps}
        changes |= dict.fromkeys(("step_timeout_s", "max_step_timeout_s"), task.step_timeout_s)
        return replace(spec, **{name: value for name, value in changes.items() if value is not None})

    def labels(self, generation: int, purpose: str) -> dict[str, str]:
        """How a sandbox is found again when this process is gone."""
        return {
            "episode": self.episode_id,
            "generation": str(generation),
            "environment": self.environment_name,
            "task_set": self.task_set,
            "task": self.task.task_id,
            "owner": self.owner,
            "purpose": purpose,
        }

    @property
    def kind(self) -> Kind:
        return Kind(self.environment, self.task.image or self.environment.spec.image, self.limits)

    def sandbox_spec(self, generation: int) -> SandboxSpec:
        return SandboxSpec(
            image=self.kind.image,
            limits=self.limits,
            labels=self.labels(generation, PURPOSE_EPISODE),
            ttl_s=self.sandbox_ttl_s,
        )


@dataclass
class World:
    """Alive from `begin_world` until its sandbox is destroyed."""

    generation: int
    sandbox: Sandbox
    environment: Environment
    seed: int
    observation: bytes
    """The first one, encoded."""
    info: JsonObject


async def begin_world(services: Services, plan: Plan, generation: int, seed: int, options: Mapping[str, Any]) -> World:
    """Take a warm sandbox or make one, and reset the environment in it.

    Raises: InvalidRequest for options that the environment refuses; Overloaded when the runtime has no room;
    InfraError for everything that is our fault.
    """
    warm = await _claim(services, plan, generation)
    for attempt in range(1, START_ATTEMPTS + 1):
        claimed, warm = warm, None
        try:
            if claimed is None:
                claimed = await _make(services, plan, generation)
            return await _begin_in(services, plan, generation, seed, options, claimed)
        except CapacityError as error:
            if attempt < START_ATTEMPTS and await services.pool.drain():
                continue
            raise Overloaded(str(error), retry_after_s=services.admission.retry_after_s(1)) from error
        except ImageNotFoundError as error:
            raise InfraError(
                f"image {plan.kind.image!r} of environment {plan.environment_name!r} is not stored on this node; "
                "`envserver images import` stores it"
            ) from error
        except (SandboxError, TimeoutError) as error:
            log.warning(
                "episode_start_failed",
                episode_id=plan.episode_id, generation=generation, attempt=attempt, error=repr(error)[:500],
            )  # fmt: skip
            if attempt == START_ATTEMPTS:
                what = "took too long" if isinstance(error, TimeoutError) else "failed"
                raise InfraError(f"starting the episode {what}") from error
    raise AssertionError("unreachable")


_Claimed = tuple[Sandbox, Environment | None]
"""With the environment that was prepared over it, if one was."""


async def _claim(services: Services, plan: Plan, generation: int) -> _Claimed | None:
    """A warm sandbox, made this episode's own."""
    warm = services.pool.take(plan.kind, plan.sandbox_ttl_s)
    if warm is None:
        return None
    began = perf_counter()
    try:
        async with asyncio.timeout(services.config.start_timeout_s):
            await services.runtime.claim(warm.sandbox, plan.sandbox_spec(generation))
    except BaseException as error:
        await services.destroy(warm.sandbox)
        if not isinstance(error, (SandboxError, TimeoutError)):
            raise
        log.info("warm_sandbox_lost", episode_id=plan.episode_id, error=repr(error)[:300])
        return None
    services.metrics.create_phase.labels(plan.environment_name, "claim").observe(perf_counter() - began)
    return warm.sandbox, warm.environment


async def _make(services: Services, plan: Plan, generation: int) -> _Claimed:
    services.starting += 1
    try:
        async with services.starts:
            began = perf_counter()
            async with asyncio.timeout(services.config.start_timeout_s):
                sandbox = await services.runtime.create(plan.sandbox_spec(generation))
    finally:
        services.starting -= 1
    services.metrics.create_phase.labels(plan.environment_name, "sandbox").observe(perf_counter() - began)
    return sandbox, None


async def _begin_in(
    services: Services, plan: Plan, generation: int, seed: int, options: Mapping[str, Any], claimed: _Claimed
) -> World:
    """Reset; the sandbox is destroyed on any failure."""
    sandbox, prepared = claimed
    began = perf_counter()
    try:
        environment = prepared or plan.environment()
        async with asyncio.timeout(services.config.reset_timeout_s):
            observation, info = await environment.reset(sandbox, plan.task, seed, options)
        encoded = _encode(observation)
        _encode(info)
    except BaseException as error:
        await services.destroy(sandbox)
        problem = _as_problem(error, plan)
        if problem is not None:
            raise problem from error
        raise
    services.metrics.create_phase.labels(plan.environment_name, "reset").observe(perf_counter() - began)
    return World(generation, sandbox, environment, seed, encoded, info)


def _encode(value: JsonObject) -> bytes:
    try:
        return to_json(value, inf_nan_mode="null")
    except ValueError as error:  # not to be taken for the caller's options
        raise TypeError("the environment's observation or info cannot be encoded") from error


def _as_problem(error: BaseException, plan: Plan) -> Problem | None:
    """What a failed reset means to the caller; None for what goes on as it is (ours to retry, or cancellation)."""
    if not isinstance(error, Exception) or isinstance(error, (SandboxError, TimeoutError, Problem)):
        return None
    if isinstance(error, ValueError):
        return InvalidRequest(f"options: {error}")
    log.error("environment_defect", episode_id=plan.episode_id, call="reset", exc_info=error)
    return InfraError(f"environment {plan.environment_name!r} failed to reset")
