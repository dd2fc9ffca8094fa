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
from collections.abc import Callable, Coroutine
from itertools import chain, repeat
from typing import Any, TypeVar

from envserver import clock, failpoints
from envserver.access.tenants import Hold
from envserver.episodes.admission import Charge, Ticket, Waiter
from envserver.episodes.beginning import begin
from envserver.episodes.encoding import encode_started, encode_step
from envserver.episodes.entry import Entry
from envserver.episodes.grading import grade_episode, no_verdict
from envserver.episodes.journal.errors import JournalUnavailableError
from envserver.episodes.journal.rows import CheckpointRow, EpisodeRow
from envserver.episodes.lease import Expiry, Lease
from envserver.episodes.ledger import Ledger
from envserver.episodes.plan import Plan
from envserver.episodes.records import Records, StepRecord, fingerprint
from envserver.episodes.saved import How, Origin, Saved
from envserver.episodes.saving import AutoSaver, Moment, Saver, Wish
from envserver.episodes.services import Services
from envserver.episodes.sleeping import Sleep
from envserver.episodes.stepping import Attempt, Done, read_usage, run_step
from envserver.episodes.world import World
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

T = TypeVar("T")

log = get_logger(__name__)

CANCEL_S = 10.0
"""How long a cancelled task may take to notice before the world is destroyed under it."""
WRITE_BACKOFF_S = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Between two attempts to write a result that cannot be answered before."""


class Episode(Entry):
    """One episode of this server."""

    def __init__(
        self,
        services: Services,
        plan: Plan,
        *,
        on_closed: Callable[[Episode], None],
        hold: Hold,
        created_at: float | None = None,
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
        self.created_at = clock.wall() if created_at is None else created_at
        self.grade_result: GradeResult | None = None
        self.origin: Origin | None = None
        """Of the current world."""
        self.lease = Lease(plan.ttl_s, plan.idle_timeout_s, self._is_busy, self._expire)
        self.on_ended: Callable[[Episode], None] = lambda _: None
        """Called when it ends or is closed; its group listens."""
        self._services = services
        self._on_closed = on_closed
        self._hold = hold
        self._charged_cpu_s = 0.0
        self._ledger = Ledger(services.journal, plan, self.lease)
        self._sleep = Sleep(services, plan, self.lease)
        self._autosaver = AutoSaver(services, plan)
        self._records = Records(services.config.record_bytes)
        self._world: World | None = None
        self._turn = asyncio.Lock()
        """Held by whatever touches the world: a step, a checkpoint, falling asleep, waking."""
        self._waiter: Waiter | None = None
        self._ticket: Ticket | None = None
        self._starting: asyncio.Task[bytes] | None = None
        self._stepping: asyncio.Task[None] | None = None
        self._acting: asyncio.Future[None] | None = None
        """Done when the running step's action is: a submitted step then waits for its grade, not the grade for it."""
        self._submitting = False
        """The running step holds the turn on its grading's behalf."""
        self._grading: asyncio.Task[GradeResult] | None = None
        self._between: set[asyncio.Task[Any]] = set()
        """Checkpoints, and falling asleep."""
        self._closing: asyncio.Task[None] | None = None
        self._suspended = False

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
        await _cancel(self._stepping, self._grading, *self._between)
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

    async def _admit_again(self) -> None:
        """Where it gave its capacity back in hibernation. Raises: Overloaded, ShuttingDown."""
        if self._ticket is None:
            admission = self._services.admission
            self._ticket = await admission.wait(admission.join(Charge.of(self.plan.limits)))

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

    def lose(self, reason: str) -> None:
        """Its world is gone, and nothing brings it back."""
        self.state, self.reason = EpisodeState.LOST, reason
        self.lease.end_episode()

    def begin_anew(self) -> asyncio.Task[bytes]:
        """What an earlier server had begun and not finished: the same generation once more."""
        assert self.origin is not None
        self.state = EpisodeState.STARTING
        self._starting = self._services.spawn(self._begin(self.origin, None))
        return self._starting

    async def last_saved(self) -> Saved | None:
        """What it would be recovered from. Raises: InfraError."""
        return await self._autosaver.last_saved(self.episode_id)

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
            record.fail(self._disturbance())
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
        if done.world_over:
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
            return False
        if self.state is EpisodeState.ENDED:  # its time-out passed, or its grade was asked for, while it ran
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

    # Between two steps

    async def checkpoint(self, wish: Wish) -> CheckpointRow:
        """Save it as it stands after the running step, if one runs.

        Raises: EpisodeClosed, EpisodeEnded, EpisodeNotLive, EpisodeLost, NotSupported, CheckpointFailed, InfraError.
        """
        return await self._do_between(self._save(wish))

    async def rest(self, state: EpisodeState) -> None:
        """Pause or hibernate it; a running step ends first. Raises: as `checkpoint`."""
        await self._do_between(self._rest(state))

    async def resume(self) -> None:
        """Wake it without a step. Raises: as `checkpoint`; Overloaded."""
        await self._do_between(self._wake_up())

    async def _do_between(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            self._require_open()
            self.lease.use()
            self._require_live()
        except BaseException:
            work.close()
            raise
        task = self._spawn_between(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise self._disturbance() from None
            raise

    def _spawn_between(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._services.spawn(work)
        self._between.add(task)
        task.add_done_callback(self._between.discard)
        return task

    async def _save(self, wish: Wish) -> CheckpointRow:
        async with self._turn:
            self._require_live()
            world = await self._awake()
            moment = Moment(world, self.step_index, self.steps_taken, self.reward, self.lease)
            row = await Saver(self._services, self.plan, self._ledger).save(moment, wish)
            self._autosaver.saved(row)
        self._rest_a_while()
        return row

    async def _save_by_itself(self, wish: Wish) -> None:
        try:
            await self._save(wish)
            await self._autosaver.prune(self.episode_id)
        except Problem as problem:
            log.warning("checkpoint_missed", episode_id=self.episode_id, problem=str(problem)[:300])

    async def _rest(self, state: EpisodeState) -> None:
        async with self._turn:
            world = self._require_live()
            if state is EpisodeState.PAUSED:
                await self._sleep.pause(world)
            else:
                self._sleep.stay_awake()
                self._charge_rest(world)
                await self._sleep.hibernate(world)
                self._charged_cpu_s = 0.0
                self._give_capacity_back()
            failpoints.hit("server.rest.asleep")
            await self._ledger.note(state=self.shown_state.value)

    async def _wake_up(self) -> None:
        async with self._turn:
            self._require_live()
            await self._awake()
        self._rest_a_while()

    def _rest_a_while(self) -> None:
        if self.state is EpisodeState.LIVE and self._world is not None:
            self._sleep.doze(self._fall_asleep)

    def _fall_asleep(self, state: EpisodeState) -> None:
        async def rest() -> None:
            with contextlib.suppress(Problem):
                await self._rest(state)

        if not self._turn.locked() and self.state is EpisodeState.LIVE:
            self._spawn_between(rest())

    async def _awake(self) -> World:
        """The world, running. The turn is held. Raises: Overloaded, EpisodeLost, InfraError."""
        world = self._require_world()
        self._sleep.stay_awake()
        if self._sleep.state is EpisodeState.PAUSED:
            await self._sleep.resume(world)
        elif self._sleep.state is EpisodeState.HIBERNATED:
            await self._admit_again()
            try:
                await self._sleep.wake(world)
            except EpisodeLost:
                await self._world_is_gone()
                raise
            except BaseException:
                self._give_capacity_back()
                raise
        else:
            return world
        await self._ledger.note(state=self.state.value)
        return world

    async def _world_is_gone(self) -> None:
        """While it was on disk. Raises: StaleGeneration where it begins again from a checkpoint."""
        saved = await self.last_saved() if self.state is EpisodeState.LIVE else None
        if saved is not None:
            self._services.metrics.recoveries.labels("restored").inc()
            self.recover(saved)
            raise self._disturbance()
        await self._leave_world()
        self._give_capacity_back()
        self.lose("sandbox_gone")
        await self._ledger.note(state=self.state.value, reason=self.reason, sandbox_id=None)

    def _give_capacity_back(self) -> None:
        if self._ticket is not None:
            self._ticket.release()
            self._ticket = None

    # Ending

    def _end(self, reason: str) -> None:
        if self.state is EpisodeState.LIVE:
            self.state, self.reason = EpisodeState.ENDED, reason
            self.lease.end_episode()
            self._sleep.stay_awake()
            log.info("episode_ended", episode_id=self.episode_id, generation=self.generation, reason=reason)
            self.on_ended(self)

    def truncate(self, reason: str) -> None:
        """End it where it stands; a step that runs is its last."""
        if self.state is EpisodeState.LIVE:
            self._end(reason)
            self._services.spawn(self._note_end(reason))

    async def _note_end(self, reason: str) -> None:
        with contextlib.suppress(Problem):
            await self._ledger.note(state=EpisodeState.ENDED.value, reason=reason)

    async def grade(self) -> GradeResult:
        """End the episode if it lives, and grade it once; the same record ever after."""
        self._require_open()
        self.lease.use()
        if self.grade_result is not None:
            return self.grade_result
        if self.state in (EpisodeState.QUEUED, EpisodeState.STARTING):
            raise self._not_live()
        self.truncate("graded")
        generation = self.generation
        try:
            return await asyncio.shield(self._grade_task())
        except asyncio.CancelledError:
            if generation != self.generation or self.state is EpisodeState.CLOSED or self._suspended:
                raise self._disturbance() from None
            raise

    def _grade_task(self) -> asyncio.Task[GradeResult]:
        if self._grading is None or (self._grading.done() and self.grade_result is None):
            self._grading = self._services.spawn(self._grade())
        return self._grading

    async def _grade(self) -> GradeResult:
        if self._acting is not None:
            await asyncio.wait((self._acting,))
        if self._submitting:
            return await self._grade_now()
        async with self._turn:
            return await self._grade_now()

    async def _grade_now(self) -> GradeResult:
        if self.grade_result is not None:
            return self.grade_result
        if self.state in (EpisodeState.FAILED, EpisodeState.LOST):
            result = no_verdict(f"the episode failed: {self.reason}")
        else:
            world = await self._awake() if self._world is not None else None
            result = await grade_episode(self._services, self.plan, self.generation, world)
            failpoints.hit("server.grade.judged")
        if not self._submitting:  # else it is written with its step
            await self._ledger.graded(self.state, result)
            failpoints.hit("server.grade.written")
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
        self.lease.stop()
        if self._ticket is not None:
            self._ticket.release()
        self._hold.release(refund=True)

    async def close(self, reason: str) -> None:
        """Stop whatever runs, destroy the world, give the capacity back; waiters get `episode_closed`.

        Raises: InfraError when the journal cannot be written; nothing is held then all the same.
        """
        if self._closing is None or (self._closing.done() and self._closing.exception() is not None):
            if self._closing is None:
                self.state, self.reason = EpisodeState.CLOSED, reason
                self.lease.stop()
                self._sleep.stay_awake()
            self._closing = self._services.spawn(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await _cancel(self._starting, self._stepping, self._grading, *self._between)
        try:
            await self._ledger.closed(self.reason or "")
            failpoints.hit("server.close.written")
        finally:
            await self._leave_world()
            self._give_capacity_back()
            self._hold.release()
        log.info("episode_closed", episode_id=self.episode_id, generation=self.generation, reason=self.reason)
        self._services.metrics.closed.labels(self.reason).inc()
        self._on_closed(self)
        self.on_ended(self)

    async def suspend(self) -> None:
        """Let go of it as it is: its world lives on for the next server. Waiters get `shutting_down`."""
        self._suspended = True
        self.lease.stop()
        self._sleep.stay_awake()
        await _cancel(self._starting, self._stepping, self._grading, *self._between)
        self.lease.hold_episode()
        with contextlib.suppress(Problem):
            await self._ledger.note()
        if self._world is not None and self._world.stage is not None:
            await self._world.stage.sandbox.detach()

    async def _leave_world(self) -> None:
        world, self._world = self._world, None
        if world is not None:
            self._charge_rest(world)
            self._charged_cpu_s = 0.0
            self._sleep.state = None
            if world.stage is None:
                await self._services.destroy_by_id(world.sandbox_id)
            else:
                await self._services.destroy(world.stage.sandbox)

    def _charge_rest(self, world: World) -> None:
        """Beside its steps: its reset, and what ran on in the background."""
        with contextlib.suppress(SandboxError):
            self._hold.tenant.charge_cpu(world.sandbox.usage().cpu_s - self._charged_cpu_s)

    def _charge_cpu(self, step_cpu_ms: float | None) -> None:
        if step_cpu_ms is not None:
            self._charged_cpu_s += step_cpu_ms / 1000
            self._hold.tenant.charge_cpu(step_cpu_ms / 1000)

    def _expire(self, expiry: Expiry) -> None:
        if expiry is Expiry.EPISODE:
            self.truncate(expiry.value)
        else:
            self._services.spawn(self.close(expiry.value))

    def work(self) -> list[asyncio.Task[Any]]:
        """What is running now: a beginning, a step, a grading, a checkpoint."""
        tasks = (self._starting, self._stepping, self._grading, *self._between)
        return [task for task in tasks if task is not None and not task.done()]

    def _is_busy(self) -> bool:
        return bool(self.work())

    # Looking

    @property
    def shown_state(self) -> EpisodeState:
        """The state, with whether a live one stands still."""
        return (self._sleep.state or self.state) if self.state is EpisodeState.LIVE else self.state

    @property
    def starting(self) -> asyncio.Task[bytes] | None:
        """The beginning of the current world."""
        return self._starting

    async def sandbox(self) -> Sandbox:
        """For files; it wakes for them.

        Raises: EpisodeClosed, EpisodeNotLive, EpisodeLost, Overloaded; EpisodeEnded when its sandbox is gone.
        """
        self._require_open()
        self.lease.use()
        world = self._require_world()
        if self._sleep.state is not None:
            async with self._turn:
                world = await self._awake()
            self._rest_a_while()
        return world.sandbox

    def info(self) -> EpisodeInfo:
        open_ = self.state is not EpisodeState.CLOSED
        origin = self.origin
        return EpisodeInfo(
            episode_id=self.episode_id,
            state=self.shown_state,
            environment=self.plan.environment_name,
            task_set=self.plan.task_set,
            task=self.plan.task.task_id,
            seed=origin.seed if origin and self.state is not EpisodeState.QUEUED else None,
            generation=self.generation,
            step_index=self.step_index,
            reward=self.reward,
            created_at=self.created_at,
            expires_at=clock.wall() + self.lease.expires_in_s() if open_ else None,
            queue_position=self._services.admission.position(self._waiter) if self._waiter else None,
            reason=self.reason,
            grade=self.grade_result,
            usage=self._usage(),
            group_id=self.plan.group_id,
            lineage=origin.saved.lineage if origin and origin.saved else None,
            metadata=dict(self.plan.metadata),
        )

    def observed(self) -> EpisodeInfo:
        info = self.info()
        if self._world is not None and self.state is not EpisodeState.STARTING:
            info.observation = json.loads(self._world.observation)
        return info

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
        if self.state in (EpisodeState.FAILED, EpisodeState.LOST):
            raise EpisodeLost(f"episode {self.episode_id} is {self.state.value}: {self.reason}", reason=self.reason)
        if self.state is not EpisodeState.LIVE or self._world is None:
            raise self._not_live()
        return self._world

    def _require_world(self) -> World:
        """Of a live episode, or of an ended one that is not graded."""
        if self._world is None:
            self._require_open()
            self._require_live()
            raise self._not_live()
        return self._world

    def _not_live(self) -> Problem:
        return EpisodeNotLive(f"episode {self.episode_id} is {self.state.value}", state=self.state.value)

    def _disturbance(self) -> Problem:
        """What waiters of interrupted work are told."""
        if self._suspended:
            return ShuttingDown("the server is shutting down; the step goes on when the next one has started")
        if self.state is EpisodeState.CLOSED:
            return self._closed_problem()
        return StaleGeneration("the episode's world was replaced meanwhile", generation=self.generation)

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
