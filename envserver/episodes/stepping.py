"""Running one step in a world: whatever happens becomes a `Done`, never an exception.

Two limits stand around a step. The environment enforces the policy's own (`timeout_s`), because only it can
interrupt a session and keep it. The outer one here is for the case that the environment or the way to the
sandbox hangs: past it the world can no longer be trusted and is given up.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from pydantic_core import to_json

from environments.environment import JsonObject, StepContext, Transition
from envserver.episodes.outcomes import Evidence, classify, classify_gone
from envserver.episodes.services import Services
from envserver.episodes.world import World
from envserver.logs import get_logger
from envserver.runtimes.base import (
    CallForgottenError,
    OutputListener,
    SandboxError,
    SandboxGoneError,
    SandboxSilentError,
    Usage,
)
from envserver_sdk.models import Outcome

log = get_logger(__name__)

LAUNCHER_ANSWER_S = 5.0
"""How long the launcher has to show that it lives when a sandbox has ended."""

GIVEN_UP = (Outcome.INFRA_ERROR, Outcome.EPISODE_LOST)
"""After one of these the world is of no use, whoever says so."""


@dataclass
class Done:
    """What a step came to, before it is written down."""

    outcome: Outcome
    observation: bytes = b"{}"
    """Encoded."""
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    submitted: bool = False
    info: JsonObject = field(default_factory=dict)
    world_over: bool = False
    """The sandbox has ended or can no longer be trusted."""
    duration_s: float = 0.0
    cpu_ms: float | None = None
    peak_memory_bytes: int | None = None

    @property
    def ours(self) -> bool:
        """Our fault: the episode cannot go on, and nobody may learn from it."""
        return self.outcome in GIVEN_UP


@dataclass(frozen=True)
class Attempt:
    """How a step is made, for the first time or, after its server was killed, once more by the same names."""

    series: int
    timeout_s: float
    before: Usage | None
    """The sandbox's counters when it began."""
    on_output: OutputListener | None = None
    again: bool = False
    """An earlier server began it: the counters' window is open, and what has run does not run again."""


async def run_step(services: Services, world: World, action: Any, attempt: Attempt) -> Done:
    """Carry out one action. Raises nothing but cancellation."""
    began = perf_counter()  # the loop's own clock ticks in whole milliseconds under uvloop
    before = attempt.before
    try:
        if not attempt.again:
            world.sandbox.mark_usage()
        with world.sandbox.series(attempt.series):
            async with asyncio.timeout(attempt.timeout_s + services.config.step_margin_s):
                transition = await world.environment.step(action, StepContext(attempt.timeout_s, attempt.on_output))
        done = _of_transition(transition)
    except CallForgottenError:
        log.error("step_fate_unknown", sandbox_id=world.sandbox_id, series=attempt.series)  # noqa: TRY400
        done = Done(Outcome.EPISODE_LOST, info={"reason": "what this step did is not known any more"}, world_over=True)
    except SandboxGoneError as error:
        done = await _of_gone(services, world, before, error, perf_counter() - began)
    except SandboxError as error:
        log.warning("step_failed", sandbox_id=world.sandbox_id, error=repr(error)[:500])
        done = Done(Outcome.INFRA_ERROR, info={"reason": "the sandbox failed"}, world_over=True)
    except TimeoutError:
        log.warning("step_hung", sandbox_id=world.sandbox_id, timeout_s=attempt.timeout_s)
        done = Done(Outcome.INFRA_ERROR, info={"reason": "the step hung past its hard limit"}, world_over=True)
    except Exception:
        log.exception("environment_defect", sandbox_id=world.sandbox_id, call="step")
        done = Done(Outcome.INFRA_ERROR, info={"reason": "the environment failed"}, world_over=True)
    done.duration_s = perf_counter() - began
    _add_usage(done, world, before)
    return done


def _of_transition(transition: Transition) -> Done:
    if not math.isfinite(transition.reward):
        raise ValueError(f"the environment's reward is {transition.reward!r}")
    to_json(transition.info)  # what cannot be encoded is a defect of the environment, and found here
    return Done(
        transition.outcome,
        observation=to_json(transition.observation, inf_nan_mode="null"),
        reward=transition.reward,
        terminated=transition.terminated or transition.submitted,
        truncated=transition.truncated,
        submitted=transition.submitted,
        info=dict(transition.info),
        world_over=transition.outcome in GIVEN_UP,
    )


async def _of_gone(
    services: Services, world: World, before: Usage | None, error: SandboxGoneError, elapsed_s: float
) -> Done:
    after = read_usage(world)
    evidence = Evidence.between(before, after) if before and after else None
    allowed_s = elapsed_s * world.sandbox.spec.limits.cpus if isinstance(error, SandboxSilentError) else None
    outcome = classify_gone(evidence, launcher_answers=await _launcher_answers(services), silent_cpu_s=allowed_s)
    log.info("sandbox_gone", sandbox_id=world.sandbox_id, outcome=outcome, error=type(error).__name__)
    if outcome is Outcome.EPISODE_LOST:
        return Done(outcome, info={"reason": "the sandbox is gone"}, world_over=True)
    message = {
        Outcome.POLICY_OOM: "The sandbox ran out of memory and has ended.",
        Outcome.POLICY_KILLED: "The sandbox has ended: its processes were killed from within.",
    }[outcome]
    return Done(outcome, observation=to_json({"error": message}), terminated=True, world_over=True)


async def _launcher_answers(services: Services) -> bool:
    try:
        async with asyncio.timeout(LAUNCHER_ANSWER_S):
            await services.runtime.list()
    except (SandboxError, TimeoutError, OSError):
        return False
    return True


def read_usage(world: World) -> Usage | None:
    """The sandbox's counters; None when they are gone with it."""
    try:
        return world.sandbox.usage()
    except SandboxError:
        return None


def _add_usage(done: Done, world: World, before: Usage | None) -> None:
    after = read_usage(world)
    if before is None or after is None:
        return
    done.cpu_ms = round(max(0.0, after.cpu_s - before.cpu_s) * 1000, 3)
    done.peak_memory_bytes = after.memory_peak_bytes
    if not done.world_over:
        done.outcome = classify(done.outcome, Evidence.between(before, after))
