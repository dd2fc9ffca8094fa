"""Grading an ended episode: stop it, export its artifacts, let a grader judge them in sandboxes of its own.

The turn is taken a grading, not a sandbox: a grading holds every sandbox that it needs, so two of them can
never wait for each other's. These sandboxes are outside the capacity that episodes are admitted to, so an
episode that waits to be graded never waits for another to end. Artifacts are plain data by then, so a
grading that failed for reasons of ours is simply run again.

No verdict is never a verdict: the reward is None and the record is not trainable.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from time import perf_counter

from environments.environment import Artifacts
from envserver.episodes.plan import PURPOSE_GRADING, Plan
from envserver.episodes.services import Services
from envserver.episodes.world import World
from envserver.grading.base import Grade, GradingError
from envserver.logs import get_logger
from envserver.runtimes.base import Sandbox, SandboxError, SandboxSpec
from envserver_sdk.models import GradeResult

log = get_logger(__name__)

NO_WORLD = Artifacts(files={}, problems=("the policy ended its sandbox: nothing is left to grade",))


@dataclass
class SandboxPool:
    """The sandboxes of one grading: labelled, bounded in number, and none survives it."""

    services: Services
    plan: Plan
    generation: int

    def __post_init__(self) -> None:
        self._made: list[Sandbox] = []
        self._being_made = 0
        self._closed = False

    async def make(self, spec: SandboxSpec) -> Sandbox:
        """A `SandboxFactory`."""
        most = self.services.config.grade_max_sandboxes
        self._made = [sandbox for sandbox in self._made if not sandbox.gone]
        if self._closed or len(self._made) + self._being_made >= most:
            raise GradingError(f"a grading may hold {most} sandboxes at a time, while it runs")
        self._being_made += 1
        try:
            sandbox = await self._create(spec)
        finally:
            self._being_made -= 1
        if self._closed:  # a grader left this call behind
            await self.services.destroy(sandbox)
            raise GradingError("the grading has ended")
        self._made.append(sandbox)
        return sandbox

    async def _create(self, spec: SandboxSpec) -> Sandbox:
        config = self.services.config
        labels = {**spec.labels, **self.plan.labels(self.generation, PURPOSE_GRADING)}
        ttl_s = min(spec.ttl_s, config.grade_timeout_s + config.sandbox_ttl_margin_s)
        async with self.services.starts, asyncio.timeout(config.start_timeout_s):
            return await self.services.runtime.create(replace(spec, labels=labels, ttl_s=ttl_s))

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(self.services.destroy(sandbox) for sandbox in self._made))


def no_verdict(reason: str) -> GradeResult:
    return GradeResult(reward=None, components={}, trainable=False, report={"reason": reason})


async def grade_episode(services: Services, plan: Plan, generation: int, world: World | None) -> GradeResult:
    """The record of the episode's end; `world` is None when the policy has ended it. Raises only cancellation."""
    try:
        artifacts = await _export(services, world) if world is not None else NO_WORLD
    except Exception as error:
        return _failed(plan, "the artifacts could not be exported", error)
    try:
        async with asyncio.timeout(services.config.grade_queue_timeout_s):
            await services.gradings.acquire()
    except TimeoutError as error:
        return _failed(plan, "no grader became free in time", error)
    try:
        return await _judge(services, plan, generation, artifacts)
    finally:
        services.gradings.release()


async def _export(services: Services, world: World) -> Artifacts:
    async with asyncio.timeout(services.config.file_timeout_s):
        await world.sandbox.stop_processes()
        return await world.environment.artifacts()


async def _judge(services: Services, plan: Plan, generation: int, artifacts: Artifacts) -> GradeResult:
    kind = plan.task.grader.kind
    began = perf_counter()
    result = no_verdict("the grader was not run")
    for _ in range(services.config.grade_attempts):
        try:
            grade = await _judge_once(services, plan, generation, artifacts)
            result = _verdict(grade)
            break
        except (GradingError, SandboxError, TimeoutError) as error:
            result = _failed(plan, "the grader could not reach a verdict", error)
        except Exception as error:
            result = _failed(plan, "the grader failed", error)
            break
    verdict = "none" if result.reward is None else "reached"
    services.metrics.gradings.labels(kind, verdict).observe(perf_counter() - began)
    return result


async def _judge_once(services: Services, plan: Plan, generation: int, artifacts: Artifacts) -> Grade:
    grader = services.graders(plan.task.grader.kind)
    pool = SandboxPool(services, plan, generation)
    try:
        async with asyncio.timeout(services.config.grade_timeout_s):
            return await grader.grade(plan.task, artifacts, pool.make)
    finally:
        await pool.close()


def _verdict(grade: Grade) -> GradeResult:
    return GradeResult(
        reward=grade.reward,
        components=dict(grade.components),
        trainable=True,
        report=dict(grade.report),
        forgeable=grade.forgeable,
    )


def _failed(plan: Plan, reason: str, error: Exception) -> GradeResult:
    log.error("grading_failed", episode_id=plan.episode_id, reason=reason, error=repr(error)[:500])
    return no_verdict(reason)
