"""A world: one generation's sandbox with the environment over it, and how it is begun: reset, or from a saved state.

Beginning a world either succeeds as a whole or leaves nothing: on failure, time-out or cancellation at any
point the sandbox is destroyed before the error goes on. What can be tried again without anyone noticing
(nothing has been observed yet) is tried once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from pydantic_core import to_json

from environments.environment import Environment, JsonObject
from environments.spoken import speaking, speaking_again
from envserver.episodes.plan import Plan
from envserver.episodes.saved import Saved
from envserver.episodes.services import Services
from envserver.logs import get_logger
from envserver.runtimes.base import (
    CapacityError,
    CheckpointNotFoundError,
    ImageNotFoundError,
    Sandbox,
    SandboxError,
    SandboxGoneError,
)
from envserver_sdk.errors import InfraError, InvalidRequest, NotFound, Overloaded, Problem

log = get_logger(__name__)

START_ATTEMPTS = 2


@dataclass
class Stage:
    """The sandbox with the environment over it; while a world is on disk there is none."""

    sandbox: Sandbox
    environment: Environment


@dataclass
class World:
    """Alive from `begin` until its sandbox is destroyed."""

    generation: int
    sandbox_id: str
    stage: Stage | None
    seed: int
    observation: bytes
    """The last one, encoded."""
    info: JsonObject
    """Of the beginning."""
    options: JsonObject = field(default_factory=dict)
    snapshot: JsonObject = field(default_factory=dict)
    """The environment's state after the last finished step."""
    first_index: int = 0
    """Steps up to this one are part of the saved state that it began from."""
    reward: float = 0.0
    """Sum over those steps."""

    @property
    def sandbox(self) -> Sandbox:
        """Raises: SandboxGoneError while it is on disk."""
        if self.stage is None:
            raise SandboxGoneError(f"sandbox {self.sandbox_id} is hibernated")
        return self.stage.sandbox

    @property
    def environment(self) -> Environment:
        """Raises: SandboxGoneError while it is on disk."""
        if self.stage is None:
            raise SandboxGoneError(f"sandbox {self.sandbox_id} is hibernated")
        return self.stage.environment


async def begin_world(services: Services, plan: Plan, generation: int, seed: int, options: Mapping[str, Any]) -> World:
    """Take a warm sandbox or make one, and reset the environment in it.

    Raises: InvalidRequest for options that the environment refuses; Overloaded when the runtime has no room;
    InfraError for everything that is our fault.
    """
    warm = [await _claim(services, plan, generation)]

    async def attempt() -> World:
        claimed = warm.pop() if warm else None
        if claimed is None:
            claimed = await _make(services, plan, generation)
        return await _begin_in(services, plan, generation, seed, options, claimed)

    return await _try(services, plan, generation, attempt)


async def restore_world(services: Services, plan: Plan, generation: int, saved: Saved) -> World:
    """A world that goes on from a checkpoint of processes or files.

    Raises: NotFound when the runtime has it no more; Overloaded, InfraError.
    """
    assert saved.row.runtime_id is not None, "a replay is begun by its actions"
    checkpoint_id = saved.row.runtime_id

    async def attempt() -> World:
        began = perf_counter()
        async with services.starts, asyncio.timeout(services.config.start_timeout_s):
            sandbox = await services.runtime.restore(checkpoint_id, plan.sandbox_spec(generation))
        services.metrics.create_phase.labels(plan.environment_name, "restore").observe(perf_counter() - began)
        return await continue_world(services, plan, generation, saved, sandbox)

    try:
        return await _try(services, plan, generation, attempt)
    except CheckpointNotFoundError as error:
        raise NotFound(f"checkpoint {saved.row.checkpoint_id} is not stored on this node") from error


async def continue_world(services: Services, plan: Plan, generation: int, saved: Saved, sandbox: Sandbox) -> World:
    """The environment over a restored sandbox, which is destroyed if that fails. Raises: InfraError."""
    state = saved.state
    # Whatever the copied guest has run belongs to what was saved: this episode's own series begin above.
    sandbox.settle_series(sandbox.reserve_series())
    try:
        environment = resume_environment(plan, sandbox, state.snapshot)
    except BaseException:
        await services.destroy(sandbox)
        raise
    return World(
        generation, sandbox.sandbox_id, Stage(sandbox, environment), state.seed, _encode(state.observation), state.info,
        state.options, state.snapshot, saved.row.step_index, state.reward,
    )  # fmt: skip


def resume_environment(plan: Plan, sandbox: Sandbox, snapshot: JsonObject) -> Environment:
    """A new instance that goes on from a snapshot. Raises: InfraError when it cannot."""
    try:
        environment = speaking_again(plan.environment(), snapshot)
        environment.restore(sandbox, plan.task, snapshot)
    except Exception as error:
        log.exception("environment_defect", episode_id=plan.episode_id, call="restore")
        raise InfraError(f"environment {plan.environment_name!r} cannot go on from what was saved of it") from error
    return environment


async def _try(services: Services, plan: Plan, generation: int, begin: Callable[[], Awaitable[World]]) -> World:
    """Begin a world, and once more where that makes sense."""
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            return await begin()
        except CapacityError as error:
            if attempt < START_ATTEMPTS and await services.pool.drain():
                continue
            raise Overloaded(str(error), retry_after_s=services.admission.retry_after_s(1)) from error
        except CheckpointNotFoundError:
            raise
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
        environment, own = speaking(prepared or plan.environment(), options)
        async with asyncio.timeout(services.config.reset_timeout_s):
            observation, info = await environment.reset(sandbox, plan.task, seed, own)
        encoded = _encode(observation)
        _encode(info)
        snapshot = environment.snapshot()
        _encode(snapshot)
    except BaseException as error:
        await services.destroy(sandbox)
        problem = _as_problem(error, plan)
        if problem is not None:
            raise problem from error
        raise
    services.metrics.create_phase.labels(plan.environment_name, "reset").observe(perf_counter() - began)
    stage = Stage(sandbox, environment)
    return World(generation, sandbox.sandbox_id, stage, seed, encoded, info, dict(options), snapshot)


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
