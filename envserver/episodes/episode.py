"""The episode actor: one step at a time, in order, with a name, a clock and a lease.

It belongs to one event loop, and everything that decides (which name runs, which state follows) happens in
synchronous code between two awaits, so it needs no lock. What takes time runs in three tasks of its own that
no request can cancel: beginning a world, a step, a grading. A request only waits for them.

    queued → starting → live → ended → closed          failed: our fault, its world is given up; reset begins anew
               ↑_________reset________|                 closed: from anywhere, by call, lease or shutdown
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from envserver.access.tenants import Hold
from envserver.episodes.admission import Charge, Ticket, Waiter
from envserver.episodes.encoding import encode_started, encode_step
from envserver.episodes.entry import Entry
from envserver.episodes.grading import grade_episode, no_verdict
from envserver.episodes.lease import Expiry, Lease
from envserver.episodes.records import Records, StepRecord, fingerprint
from envserver.episodes.services import Services
from envserver.episodes.stepping import Done, run_step
from envserver.episodes.world import Plan, World, begin_world
from envserver.logs import get_logger
from envserver.runtimes.base import OutputListener, Sandbox, SandboxError
from envserver_sdk.errors import (
    EpisodeClosed,
    EpisodeEnded,
    EpisodeLost,
    EpisodeNotLive,
    IdempotencyMismatch,
    InternalError,
    InvalidRequest,
    Problem,
    ShuttingDown,
    StaleGeneration,
    WrongStepIndex,
)
from envserver_sdk.models import EpisodeInfo, EpisodeState, GradeResult, Outcome, StepRequest

log = get_logger(__name__)

CANCEL_S = 10.0
"""How long a cancelled task may take to notice before the world is destroyed under it."""


class Episode(Entry):
    """One episode of this server."""

    def __init__(
        self,
        services: Services,
        plan: Plan,
        *,
        ttl_s: float,
        idle_timeout_s: float,
        metadata: Mapping[str, Any],
        on_closed: Callable[[Episode], None],
        hold: Hold,
    ) -> None:
        self.episode_id = plan.episode_id
        self.owner = plan.owner
        self.plan = plan
        self.spec = plan.spec
        self.state = EpisodeState.QUEUED
        self.reason: str | None = None
        self.generation = 1
        self.step_index = 0
        self.steps_taken = 0
        """Of all generations."""
        self.reward = 0.0
        self.created_at = time.time()
        self.metadata = dict(metadata)
        self.grade_result: GradeResult | None = None
        self._services = services
        self._on_closed = on_closed
        self._hold = hold
        self._charged_cpu_s = 0.0
        self._lease = Lease(ttl_s, idle_timeout_s, self._is_busy, self._expire)
        self._records = Records(services.config.record_bytes)
        self._world: World | None = None
        self._seed: int | None = None
        self._waiter: Waiter | None = None
        self._ticket: Ticket | None = None
        self._starting: asyncio.Task[bytes] | None = None
        self._stepping: asyncio.Task[None] | None = None
        self._acting: asyncio.Future[None] | None = None
        """Done when the running step's action is: a submitted step then waits for its grade, not the grade for it."""
        self._grading: asyncio.Task[GradeResult] | None = None
        self._closing: asyncio.Task[None] | None = None

    # Beginning

    def start(self, seed: int, options: Mapping[str, Any]) -> asyncio.Task[bytes]:
        """Queue for capacity and begin the first world; the task gives an encoded `EpisodeStarted`.

        Raises at once: Overloaded when the queue is full, InvalidRequest, ShuttingDown.
        """
        self._waiter = self._services.admission.join(Charge.of(self.plan.limits))
        self._starting = self._services.spawn(self._start(self._waiter, seed, options))
        return self._starting

    async def _start(self, waiter: Waiter, seed: int, options: Mapping[str, Any]) -> bytes:
        loop = asyncio.get_running_loop()
        queued_at = loop.time()
        self._ticket = await self._services.admission.wait(waiter)
        self._services.metrics.create_phase.labels(self.plan.environment_name, "queue").observe(loop.time() - queued_at)
        return await self._begin(seed, options)

    def reset(self, seed: int, options: Mapping[str, Any]) -> asyncio.Task[bytes]:
        """A new world under the same id and the next generation, whatever the old one is doing."""
        self._require_open()
        if self.state in (EpisodeState.QUEUED, EpisodeState.STARTING):
            raise self._not_live()
        self._hold.tenant.start()
        self._lease.use()
        self.state = EpisodeState.STARTING
        self.generation += 1
        self.step_index, self.reward, self.reason, self.grade_result = 0, 0.0, None, None
        self._records = Records(self._services.config.record_bytes)
        self._starting = self._services.spawn(self._restart(seed, options))
        return self._starting

    async def _restart(self, seed: int, options: Mapping[str, Any]) -> bytes:
        self._lease.end_episode()
        await _cancel(self._stepping, self._grading)
        self._grading = None
        await self._leave_world()
        return await self._begin(seed, options)

    async def _begin(self, seed: int, options: Mapping[str, Any]) -> bytes:
        self.state = EpisodeState.STARTING
        self._seed = seed
        try:
            world = await begin_world(self._services, self.plan, self.generation, seed, options)
        except Problem as problem:
            if self.state is EpisodeState.STARTING:
                self.state, self.reason = EpisodeState.FAILED, problem.code
            raise
        self._world = world
        self.state = EpisodeState.LIVE
        self._lease.begin_episode(self.spec.episode_timeout_s)
        log.info("episode_begun", episode_id=self.episode_id, generation=self.generation)
        return encode_started(self.plan, world)

    # Stepping

    def step(self, request: StepRequest, listener: OutputListener | None = None) -> StepRecord:
        """The record of the step of that name, which runs now if it has not run before.

        Raises: EpisodeClosed, StaleGeneration, IdempotencyMismatch, EpisodeEnded, EpisodeNotLive, EpisodeLost,
        WrongStepIndex, InvalidRequest, ShuttingDown.
        """
        self._require_open()
        self._require_generation(request.generation)
        self._lease.use()
        action = fingerprint(request.action)
        record = self._records.get(request.step_index)
        if record is None:
            record = self._new_step(request, action, listener)
        elif record.action != action:
            raise IdempotencyMismatch(f"step {request.step_index} came with another action before")
        elif listener is not None and not record.done:
            record.listeners.append(listener)
        return record

    def record(self, index: int, generation: int | None) -> StepRecord:
        """Raises: EpisodeClosed, StaleGeneration, NotFound."""
        self._require_open()
        self._require_generation(generation)
        self._lease.use()
        return self._records.find(index, self.step_index + 1)

    def step_timeout_s(self, request: StepRequest) -> float:
        """Raises: InvalidRequest for more than the environment allows."""
        most = self.spec.max_step_timeout_s
        timeout_s = self.spec.step_timeout_s if request.timeout_s is None else request.timeout_s
        if timeout_s > most:
            raise InvalidRequest(f"timeout_s is {timeout_s:g}, this environment allows at most {most:g}")
        return timeout_s

    def _new_step(self, request: StepRequest, action: bytes, listener: OutputListener | None) -> StepRecord:
        world = self._require_live()
        expected = self.step_index + 1
        if request.step_index != expected:
            raise WrongStepIndex(f"the next step is {expected}, not {request.step_index}", expected=expected)
        timeout_s = min(self.step_timeout_s(request), max(0.1, self._lease.episode_left_s()))
        if self._services.admission.closed:
            raise ShuttingDown()
        record = StepRecord(self.generation, expected, action, request.metadata)
        if listener is not None:
            record.listeners.append(listener)
        self._records.add(record)
        self._acting = asyncio.get_running_loop().create_future()
        self._stepping = self._services.spawn(self._run_step(record, world, request.action, timeout_s))
        return record

    async def _run_step(self, record: StepRecord, world: World, action: Any, timeout_s: float) -> None:
        on_output = record.output if record.listeners else None
        try:
            try:
                done = await run_step(self._services, world, action, timeout_s, on_output)
            finally:
                _settle(self._acting)
            if done.submitted:
                await self._grade_submission(done)
            # Closed or reset just now: what the step came to is our doing, not the policy's.
            self._require_undisturbed(record)
            truncated = self._apply(record, done)
            self._records.finish(record, encode_step(record, done, truncated=truncated))
            if done.world_over:
                await self._leave_world()
        except asyncio.CancelledError:
            record.fail(self._disturbance())
            raise
        except Problem as problem:
            record.fail(problem)
        except Exception:
            log.exception("step_defect", episode_id=self.episode_id)
            self.state, self.reason = EpisodeState.FAILED, InternalError.code
            record.fail(InternalError())

    async def _grade_submission(self, done: Done) -> None:
        self._lease.end_episode()
        grade = await asyncio.shield(self._grade_task())
        done.info["grade"] = grade.model_dump()
        if grade.reward is None:
            done.outcome, done.reward = Outcome.INFRA_ERROR, 0.0
        else:
            done.reward += grade.reward

    def _apply(self, record: StepRecord, done: Done) -> bool:
        """Move the state on; returns whether the step is truncated."""
        self.step_index = record.index
        self.steps_taken += 1
        self._charge_cpu(done.cpu_ms)
        self.reward += done.reward
        self._services.metrics.steps.labels(self.plan.environment_name, done.outcome.value).observe(done.duration_s)
        if done.ours and not done.submitted:
            self.state, self.reason = EpisodeState.FAILED, done.outcome.value
            self._lease.end_episode()
            return True
        if done.terminated:
            self._end("submitted" if done.submitted else "terminated")
            return False
        if self.state is EpisodeState.ENDED:  # its time-out passed, or its grade was asked for, while it ran
            return True
        if record.index >= self.spec.max_steps:
            self._end("max_steps")
            return True
        return False

    # Ending

    def _end(self, reason: str) -> None:
        if self.state is EpisodeState.LIVE:
            self.state, self.reason = EpisodeState.ENDED, reason
            self._lease.end_episode()
            log.info("episode_ended", episode_id=self.episode_id, generation=self.generation, reason=reason)

    async def grade(self) -> GradeResult:
        """End the episode if it lives, and grade it once; the same record ever after."""
        self._require_open()
        self._lease.use()
        if self.grade_result is not None:
            return self.grade_result
        if self.state in (EpisodeState.QUEUED, EpisodeState.STARTING):
            raise self._not_live()
        self._end("graded")
        generation = self.generation
        try:
            return await asyncio.shield(self._grade_task())
        except asyncio.CancelledError:
            if generation != self.generation or self.state is EpisodeState.CLOSED:
                raise self._disturbance() from None
            raise

    def _grade_task(self) -> asyncio.Task[GradeResult]:
        if self._grading is None:
            self._grading = self._services.spawn(self._grade())
        return self._grading

    async def _grade(self) -> GradeResult:
        if self._acting is not None:
            await asyncio.wait((self._acting,))
        if self.state is EpisodeState.FAILED:
            result = no_verdict(f"the episode failed: {self.reason}")
        else:
            result = await grade_episode(self._services, self.plan, self.generation, self._world)
        self.grade_result = result
        await self._leave_world()
        log.info("episode_graded", episode_id=self.episode_id, generation=self.generation, reward=result.reward)
        self._services.audit.record(
            "graded", tenant=self.owner, episode_id=self.episode_id, generation=self.generation, reward=result.reward
        )
        return result

    def discard(self) -> None:
        """Forget an episode that was refused before it began."""
        self.state, self.reason = EpisodeState.CLOSED, "refused"
        self._lease.stop()
        self._hold.release(refund=True)

    async def close(self, reason: str) -> None:
        """Stop whatever runs, destroy the world, give the capacity back; waiters get `episode_closed`."""
        if self._closing is None:
            self.state, self.reason = EpisodeState.CLOSED, reason
            self._lease.stop()
            self._closing = self._services.spawn(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await _cancel(self._starting, self._stepping, self._grading)
        await self._leave_world()
        if self._ticket is not None:
            self._ticket.release()
        self._hold.release()
        log.info("episode_closed", episode_id=self.episode_id, generation=self.generation, reason=self.reason)
        self._services.metrics.closed.labels(self.reason).inc()
        self._on_closed(self)

    async def _leave_world(self) -> None:
        world, self._world = self._world, None
        if world is not None:
            with contextlib.suppress(SandboxError):  # beside its steps: its reset, and what ran on in the background
                self._hold.tenant.charge_cpu(world.sandbox.usage().cpu_s - self._charged_cpu_s)
            self._charged_cpu_s = 0.0
            await self._services.destroy(world.sandbox)

    def _charge_cpu(self, step_cpu_ms: float | None) -> None:
        if step_cpu_ms is not None:
            self._charged_cpu_s += step_cpu_ms / 1000
            self._hold.tenant.charge_cpu(step_cpu_ms / 1000)

    def _expire(self, expiry: Expiry) -> None:
        if expiry is Expiry.EPISODE:
            self._end(expiry.value)
        else:
            self._services.spawn(self.close(expiry.value))

    def work(self) -> list[asyncio.Task[Any]]:
        """What is running now: a beginning, a step, a grading."""
        tasks = (self._starting, self._stepping, self._grading)
        return [task for task in tasks if task is not None and not task.done()]

    def _is_busy(self) -> bool:
        return bool(self.work())

    # Looking

    def sandbox(self) -> Sandbox:
        """For files. Raises: EpisodeClosed, EpisodeNotLive, EpisodeLost, EpisodeEnded when its sandbox is gone."""
        self._require_open()
        self._lease.use()
        if self._world is None:
            self._require_live()
            raise self._not_live()
        return self._world.sandbox

    def info(self) -> EpisodeInfo:
        open_ = self.state is not EpisodeState.CLOSED
        return EpisodeInfo(
            episode_id=self.episode_id,
            state=self.state,
            environment=self.plan.environment_name,
            task_set=self.plan.task_set,
            task=self.plan.task.task_id,
            seed=self._seed,
            generation=self.generation,
            step_index=self.step_index,
            reward=self.reward,
            created_at=self.created_at,
            expires_at=time.time() + self._lease.expires_in_s() if open_ else None,
            queue_position=self._services.admission.position(self._waiter) if self._waiter else None,
            reason=self.reason,
            grade=self.grade_result,
            usage=self._usage(),
            metadata=self.metadata,
        )

    def _usage(self) -> dict[str, Any]:
        if self._world is None:
            return {}
        try:
            usage = self._world.sandbox.usage()
        except SandboxError:
            return {}
        return {"cpu_s": usage.cpu_s, "memory_bytes": usage.memory_bytes, "oom_kills": usage.oom_kills}

    # Refusing

    def refusal(self) -> Problem | None:
        return self._closed_problem() if self.state is EpisodeState.CLOSED else None

    def _closed_problem(self) -> Problem:
        return EpisodeClosed(f"episode {self.episode_id} is closed: {self.reason}")

    def _require_open(self) -> None:
        if self.state is EpisodeState.CLOSED:
            raise self._closed_problem()

    def _require_generation(self, generation: int | None) -> None:
        if generation is not None and generation != self.generation:
            raise StaleGeneration(
                f"the episode is in generation {self.generation}, not {generation}", generation=self.generation
            )

    def _require_live(self) -> World:
        if self.state is EpisodeState.ENDED:
            raise EpisodeEnded(f"episode {self.episode_id} has ended: {self.reason}", reason=self.reason)
        if self.state is EpisodeState.FAILED:
            raise EpisodeLost(f"episode {self.episode_id} failed: {self.reason}", reason=self.reason)
        if self.state is not EpisodeState.LIVE or self._world is None:
            raise self._not_live()
        return self._world

    def _not_live(self) -> Problem:
        return EpisodeNotLive(f"episode {self.episode_id} is {self.state.value}", state=self.state.value)

    def _disturbance(self) -> Problem:
        """What waiters of an interrupted step or grading are told."""
        if self.state is EpisodeState.CLOSED:
            return self._closed_problem()
        return StaleGeneration("the episode was reset meanwhile", generation=self.generation)

    def _require_undisturbed(self, record: StepRecord) -> None:
        if self.state is EpisodeState.CLOSED or record.generation != self.generation:
            raise self._disturbance()


def _settle(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


async def _cancel(*tasks: asyncio.Task[Any] | None) -> None:
    running = [task for task in tasks if task is not None and not task.done() and task is not asyncio.current_task()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=CANCEL_S)
