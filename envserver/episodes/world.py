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
            "owner": "default",
            "purpose": purpose,
        }

    def sandbox_spec(self, generation: int) -> SandboxSpec:
        return SandboxSpec(
            image=self.task.image or self.environment.spec.image,
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
    """Make a sandbox and reset the environment in it.

    Raises: InvalidRequest for options that the environment refuses; Overloaded when the runtime has no room;
    InfraError for everything that is our fault.
    """
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            async with services.starts:
                return await _begin_once(services, plan, generation, seed, options)
        except CapacityError as error:
            raise Overloaded(str(error), retry_after_s=services.admission.retry_after_s(1)) from error
        except ImageNotFoundError as error:
            image = plan.sandbox_spec(generation).image
            raise InfraError(
                f"image {image!r} of environment {plan.environment_name!r} is not stored on this node; "
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


async def _begin_once(services: Services, plan: Plan, generation: int, seed: int, options: Mapping[str, Any]) -> World:
    config, phases = services.config, services.metrics.create_phase
    began = perf_counter()
    async with asyncio.timeout(config.start_timeout_s):
        sandbox = await services.runtime.create(plan.sandbox_spec(generation))
    made = perf_counter()
    try:
        environment = plan.environment()
        async with asyncio.timeout(config.reset_timeout_s):
            observation, info = await environment.reset(sandbox, plan.task, seed, options)
        encoded = _encode(observation)
        _encode(info)
    except BaseException as error:
        await services.destroy(sandbox)
        problem = _as_problem(error, plan)
        if problem is not None:
            raise problem from error
        raise
    phases.labels(plan.environment_name, "sandbox").observe(made - began)
    phases.labels(plan.environment_name, "reset").observe(perf_counter() - made)
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
