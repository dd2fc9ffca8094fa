"""The episode actor: one step at a time, in order, with a name, a clock and a lease.

It belongs to one event loop, and everything that decides (which name runs, which state follows) happens in
synchronous code between two awaits, so it needs no lock. What takes time runs in tasks of its own that no request
can cancel: beginning a world, a step, a grading, a checkpoint, falling asleep. A request only waits for them. What
touches the world between two steps holds the episode's turn, as a step does.

    queued → starting → live ⇄ paused, hibernated → ended → closed      closed: from anywhere, by call or lease
               ↑______reset, restore, recovery_______|                  failed: our fault, its world is given up

The journal knows of every change before anyone else does, so that the next server goes on where this one was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

from envserver import failpoints
from envserver.episodes.admission import Charge, Ticket
from envserver.episodes.beginning import begin
from envserver.episodes.encoding import encode_started, encode_step
from envserver.episodes.ending import Ending
from envserver.episodes.journal.errors import JournalUnavailableError
from envserver.episodes.journal.rows import EpisodeRow
from envserver.episodes.records import Records, StepRecord, fingerprint
from envserver.episodes.saved import How, Origin, Saved
from envserver.episodes.standing import cancel
from envserver.episodes.stepping import Attempt, Done, read_usage, run_step
from envserver.episodes.world import World
from envserver.logs import get_logger
from envserver.runtimes.base import OutputListener
from envserver_sdk.errors import (
    IdempotencyMismatch,
    InternalError,
    InvalidRequest,
    Problem,
    ShuttingDown,
    WrongStepIndex,
)
from envserver_sdk.models import EpisodeState, GradeResult, Outcome, StepRequest

log = get_logger(__name__)

WRITE_BACKOFF_S = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Between two attempts to write a result that cannot be answered before."""


class Episode(Ending):
    """One episode of this server."""

    # Beginning

    def admit(self, ticket: Ticket) -> None:
        """With capacity that was asked for together with others'."""
        self._ticket = ticket

    def start(self, origin: Origin, write: Callable[[], asyncio.Future[None]]) -> asyncio.Task[bytes]:
        """Queue for capacity, unless it is there, and begin the first world: the task gives an `EpisodeStarted`.

        `write` has the journal know the episode, while its world begins.
        Raises at once: Overloaded when the queue is full, InvalidRequest, ShuttingDown.
        """
        self.origin = origin
        if self._ticket is None:
            self._waiter = self._services.admission.join(Charge.of(self.plan.limits))
        self._starting = self._services.spawn(self._start(origin, write()))
        return self._starting

    async def _start(self, origin: Origin, written: asyncio.Future[None]) -> bytes:
        loop = asyncio.get_running_loop()
        queued_at = loop.time()
        if self._waiter is not None:
            self._ticket = await self._services.admission.wait(self._waiter)
        self._services.metrics.create_phase.labels(self.plan.environment_name, "queue").observe(loop.time() - queued_at)
        return await self._begin(origin, written)

    def reset(self, seed: int, options: dict[str, Any], call_key: str | None = None) -> asyncio.Task[bytes]:
        """A new world under the same id and the next generation, whatever the old one is doing."""
        return self.replace(Origin(How.RESET, seed, options, call_key=call_key))

    def replace(self, origin: Origin) -> asyncio.Task[bytes]:
        """The next generation, from wherever. Raises: EpisodeClosed, EpisodeNotLive, QuotaExceeded."""
        self._require_open()
        if self.state in (EpisodeState.QUEUED, EpisodeState.STARTING):
            raise self._not_live()
        self._hold.tenant.start()
        return self._replace(origin)

    def _replace(self, origin: Origin) -> asyncio.Task[bytes]:
        self.lease.use()
        self.state, self.origin = EpisodeState.STARTING, origin
        self.generation += 1
        self.step_index, self.reward, self.reason, self.grade_result = 0, 0.0, None, None
        self._records = Records(self._services.config.record_bytes)
        self._starting = self._services.spawn(self._restart(origin))
        return self._starting

    async def _restart(self, origin: Origin) -> bytes:
        self.lease.end_episode()
        await cancel(self._stepping, self._grading, *self._between)
        self._grading = None
        return await self._begin(origin, None)

    async def _begin(self, origin: Origin, written: asyncio.Future[None] | None) -> bytes:
        self.state = EpisodeState.STARTING
        try:
            if written is None:
                await self._ledger.replaced(self.generation, origin)
                failpoints.hit("server.replace.written")
                await self._leave_world()
            await self._admit_again()
            world = await begin(self._services, self.plan, self.generation, origin)
            failpoints.hit("server.begin.world_made")
            started = encode_started(self.plan, world)
            try:
                if written is not None:
                    await asyncio.shield(written)
                self._live_in(world, origin)
                await self._ledger.begun(self.generation, origin, world, started)
                failpoints.hit("server.begin.written")
            except BaseException:
                await self._leave_world() if self._world is world else await self._services.destroy(world.sandbox)
                raise
        except Problem as problem:
            if self.state in (EpisodeState.STARTING, EpisodeState.LIVE):
                self.state, self.reason = EpisodeState.FAILED, problem.code
                with contextlib.suppress(Problem):
                    await self._ledger.note(state=self.state.value, reason=problem.code)
            raise
        self._rest_a_while()
        log.info("episode_begun", episode_id=self.episode_id, generation=self.generation, how=origin.how.value)
        return started

    def _live_in(self, world: World, origin: Origin) -> None:
        self._world = world
        self.state = EpisodeState.LIVE
        self.step_index, self.reward = world.first_index, world.reward
        left_s = origin.saved.state.episode_left_s if origin.saved else None
        self.lease.begin_episode(self.spec.episode_timeout_s if left_s is None else left_s)
        self._autosaver.begin(self.step_index)

    # Taking over from an earlier server

    def take_over(self, row: EpisodeRow, origin: Origin) -> None:
        """The members that the journal has."""
        state = EpisodeState(row.state)
        asleep = state in (EpisodeState.PAUSED, EpisodeState.HIBERNATED)
        self.state, self.reason = EpisodeState.LIVE if asleep else state, row.reason
        self.generation, self.step_index = row.generation, row.step_index
        self.steps_taken, self.reward = row.steps_taken, row.reward
        self.grade_result = GradeResult.model_validate_json(row.grade) if row.grade else None
        self.origin = origin

    def take_world(self, world: World, ticket: Ticket | None, row: EpisodeRow) -> None:
        """Its world, found as it was; without a ticket where it is on disk."""
        self._world, self._ticket = world, ticket
        self.lease.read_back(json.loads(row.clock))  # not before: a deadline that has passed closes it at once
        self._ledger.know(world)
        if world.stage is None:
            self._sleep.found(EpisodeState.HIBERNATED)
        elif self.state is EpisodeState.LIVE:
            self.lease.continue_episode()
            self._autosaver.begin(self.step_index)
            self._rest_a_while()

    async def note_time(self) -> None:
        """That its time goes on, or stands still, which is not what the earlier server wrote."""
        with contextlib.suppress(Problem):  # then the next server is as generous once more
            await self._ledger.note()

    def begin_anew(self) -> asyncio.Task[bytes]:
        """What an earlier server had begun and not finished: the same generation once more."""
        assert self.origin is not None
        self.state = EpisodeState.STARTING
        self._starting = self._services.spawn(self._begin(self.origin, None))
        return self._starting

    def recover(self, saved: Saved) -> asyncio.Task[bytes]:
        """From its last checkpoint, as the next generation."""
        return self._replace(Origin.of(How.RECOVERY, saved))

    def take_step_again(self, record: StepRecord, action: Any, attempt: Attempt) -> None:
        """The step that was under way when the earlier server ended, by the same names."""
        self._records.add(record)
        self._acting = asyncio.get_running_loop().create_future()
        self._stepping = self._services.spawn(self._run_step(record, action, attempt.timeout_s, attempt))

    # Stepping

    def step(self, request: StepRequest, listener: OutputListener | None = None) -> StepRecord:
        """The record of the step of that name, which runs now if it has not run before.

        Raises: EpisodeClosed, StaleGeneration, IdempotencyMismatch, EpisodeEnded, EpisodeNotLive, EpisodeLost,
        WrongStepIndex, InvalidRequest, ShuttingDown.
        """
        self._require_open()
        self._require_generation(request.generation)
        self.lease.use()
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
        self.lease.use()
        return self._records.find(index, self.step_index + 1)

    @property
    def running(self) -> StepRecord | None:
        """The step that runs now."""
        record = self._records.get(self.step_index + 1)
        return record if record is not None and not record.done else None

    async def recall(self, index: int) -> None:
        """Bring a record back that memory no longer holds but the journal does. Raises: InfraError."""
        if index > self.step_index or self._records.get(index) is not None:
            return
        generation = self.generation
        row = await self._ledger.step_row(generation, index)
        if row is not None and row.result is not None and generation == self.generation:
            self._records.recall(StepRecord.of(row))

    def step_timeout_s(self, request: StepRequest) -> float:
        """Raises: InvalidRequest for more than the environment allows."""
        most = self.spec.max_step_timeout_s
        timeout_s = self.spec.step_timeout_s if request.timeout_s is None else request.timeout_s
        if timeout_s > most:
            raise InvalidRequest(f"timeout_s is {timeout_s:g}, this environment allows at most {most:g}")
        return timeout_s

    def _new_step(self, request: StepRequest, action: bytes, listener: OutputListener | None) -> StepRecord:
        self._require_live()
        expected = self.step_index + 1
        if request.step_index != expected:
            raise WrongStepIndex(f"the next step is {expected}, not {request.step_index}", expected=expected)
        timeout_s = min(self.step_timeout_s(request), max(0.1, self.lease.episode_left_s()))
        if self._services.admission.closed:
            raise ShuttingDown()
        record = StepRecord(self.generation, expected, action, request.metadata)
        if listener is not None:
            record.listeners.append(listener)
        self._records.add(record)
        self._acting = asyncio.get_running_loop().create_future()
        self._stepping = self._services.spawn(self._run_step(record, request.action, timeout_s))
        return record

    async def _run_step(
        self, record: StepRecord, action: Any, timeout_s: float, attempt: Attempt | None = None
    ) -> None:
        acting = self._acting
        try:
            async with self._turn:
                world, attempt = await self._intend(record, action, timeout_s, attempt)
                await self._carry_out(record, world, action, attempt)
        except asyncio.CancelledError:
            record.fail(self.disturbance())
            raise
        except Problem as problem:
            record.fail(problem)
        except Exception:
            log.exception("step_defect", episode_id=self.episode_id)
            self.state, self.reason = EpisodeState.FAILED, InternalError.code
            record.fail(InternalError())
        finally:
            self._submitting = False
            _settle(acting)

    async def _intend(
        self, record: StepRecord, action: Any, timeout_s: float, attempt: Attempt | None
    ) -> tuple[World, Attempt]:
        """Wake the world and write the step down, unless that was done; until then its name is not used up."""
        try:
            self._require_undisturbed(record)
            world = await self._awake()
            if attempt is None:
                listener = record.output if record.listeners else None
                attempt = Attempt(world.sandbox.reserve_series(), timeout_s, read_usage(world), listener)
                await self._ledger.intend(record, action, attempt)
                failpoints.hit("server.step.intended")
            return world, attempt
        except BaseException:
            self._records.discard(record)
            raise

    async def _carry_out(self, record: StepRecord, world: World, action: Any, attempt: Attempt) -> None:
        done = await run_step(self._services, world, action, attempt)
        failpoints.hit("server.step.ran")
        self._submitting = done.submitted
        _settle(self._acting)
        if done.submitted:
            await self._grade_submission(done)
        # Closed or reset just now: what the step came to is our doing, not the policy's.
        self._require_undisturbed(record)
        recovery = await self._recovery_of(done)
        self._require_undisturbed(record)
        if not done.world_over:
            world.observation, world.snapshot = done.observation, world.environment.snapshot()
        truncated = self._apply(record, done, recovery)
        body = encode_step(record, done, truncated=truncated)
        await self._write_down(record, done, body, world)
        world.sandbox.settle_series(attempt.series)
        failpoints.hit("server.step.written")
        self._records.finish(record, body)
        if done.world_over or done.submitted:
            await self._leave_world()
        self._after_step(recovery)

    async def _write_down(self, record: StepRecord, done: Done, body: bytes, world: World) -> None:
        """A result that the journal does not have is told to nobody; so this goes on until it has."""
        changes: dict[str, Any] = {
            "state": self.state.value, "reason": self.reason, "step_index": self.step_index,
            "steps_taken": self.steps_taken, "reward": self.reward,
        }  # fmt: skip
        if done.world_over or self.grade_result is not None:
            changes["sandbox_id"] = None
        if self.grade_result is not None:
            changes["grade"] = self.grade_result.model_dump_json().encode()
        for delay_s in chain(WRITE_BACKOFF_S, repeat(WRITE_BACKOFF_S[-1])):
            try:
                await self._ledger.finish(record, done, body, world, changes)
                break
            except JournalUnavailableError as error:
                log.error("result_not_written", episode_id=self.episode_id, error=str(error)[:300])  # noqa: TRY400
                await asyncio.sleep(delay_s)

    async def _grade_submission(self, done: Done) -> None:
        self.lease.end_episode()
        grade = await asyncio.shield(self._grade_task())
        done.info["grade"] = grade.model_dump()
        if grade.reward is None:
            done.outcome, done.reward = Outcome.INFRA_ERROR, 0.0
        else:
            done.reward += grade.reward

    def _apply(self, record: StepRecord, done: Done, recovery: Saved | None) -> bool:
        """Move the state on; returns whether the step is truncated."""
        self.step_index = record.index
        self.steps_taken += 1
        self._charge_cpu(done.cpu_ms)
        self.reward += done.reward
        self._services.metrics.steps.labels(self.plan.environment_name, done.outcome.value).observe(done.duration_s)
        if done.ours and not done.submitted:
            self.state, self.reason = EpisodeState.FAILED, done.outcome.value
            self.lease.end_episode()
            return recovery is None
        if done.terminated:
            self._end("submitted" if done.submitted else "terminated")
            return done.truncated
        if self.state is EpisodeState.ENDED:  # its time-out passed, or its grade was asked for, while it ran
            return True
        if done.truncated:
            self._end("truncated")
            return True
        if record.index >= self.spec.max_steps:
            self._end("max_steps")
            return True
        return False

    def _after_step(self, recovery: Saved | None) -> None:
        if recovery is not None:
            self._services.metrics.recoveries.labels("restored").inc()
            self.recover(recovery)
        elif self.state is EpisodeState.LIVE:
            if (wish := self._autosaver.due(self.step_index)) is not None:
                self._spawn_between(self._save_by_itself(wish))
            self._rest_a_while()

    async def _recovery_of(self, done: Done) -> Saved | None:
        """What a lost world is begun again from, where that is wanted and there is anything; `info` tells."""
        if not done.ours or done.submitted:
            return None
        saved = await self._autosaver.last_saved(self.episode_id)
        if saved is not None:
            done.info["recovery"] = {
                **saved.lineage.model_dump(),
                "generation": self.generation + 1,
                "observation": saved.state.observation,
            }
        return saved

    def _require_undisturbed(self, record: StepRecord) -> None:
        if self.state is EpisodeState.CLOSED or record.generation != self.generation:
            raise self.disturbance()


def _settle(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
