"""How an episode ends: truncated, graded once, closed, or let go of for the next server."""

from __future__ import annotations

import asyncio
import contextlib

from envserver import failpoints
from envserver.episodes.between import Between
from envserver.episodes.grading import grade_episode, no_verdict
from envserver.episodes.lease import Expiry
from envserver.episodes.standing import cancel
from envserver.logs import get_logger
from envserver_sdk.errors import InfraError, Problem
from envserver_sdk.models import EpisodeState, GradeResult

log = get_logger(__name__)

CLOSE_AGAIN_S = 2.0
"""Between two attempts to write down that it is closed."""


class Ending(Between):
    """An episode and its end."""

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
        if self._submitting and self._stepping is not None:  # nobody is told before its step is written
            await asyncio.wait((self._stepping,))
            self._require_open()
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
                raise self.disturbance() from None
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
        if not self._submitting:  # else the next server may have to judge it once more, until the step is written
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

        Raises: InfraError when the journal cannot be written; nothing is held then all the same, and it is written
        once it can be.
        """
        if self._closing is None or (self._closing.done() and self._closing.exception() is not None):
            if self._closing is None:
                self.state, self.reason = EpisodeState.CLOSED, reason
                self.lease.stop()
                self._sleep.stay_awake()
            self._closing = self._services.spawn(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await cancel(self._starting, self._stepping, self._grading, *self._between)
        try:
            await self._ledger.closed(self.reason or "")
            failpoints.hit("server.close.written")
        except InfraError:
            if not self._closes_again:
                self._closes_again = True
                self._services.spawn(self._close_again())
            raise
        finally:
            await self._leave_world()
            self._give_capacity_back()
            self._hold.release()
        log.info("episode_closed", episode_id=self.episode_id, generation=self.generation, reason=self.reason)
        self._services.metrics.closed.labels(self.reason).inc()
        self._services.spawn(self._forget_saved())
        self._on_closed(self)
        self.on_ended(self)

    async def _forget_saved(self) -> None:
        with contextlib.suppress(InfraError):  # the next server's start finds them
            await self._autosaver.forget(self.episode_id)

    async def _close_again(self) -> None:
        """Nobody else may: a lease ends once, and who was told that a create failed has no id to close."""
        await asyncio.sleep(CLOSE_AGAIN_S)
        self._closes_again = False
        if not self._suspended:
            with contextlib.suppress(InfraError):
                await self.close(self.reason or "")

    async def suspend(self) -> None:
        """Let go of it as it is: its world lives on for the next server. Waiters get `shutting_down`."""
        if self.state is EpisodeState.CLOSED:  # which could not be written down yet
            with contextlib.suppress(InfraError):
                await self.close(self.reason or "")
            return
        self._suspended = True
        self.lease.stop()
        self._sleep.stay_awake()
        await cancel(self._starting, self._stepping, self._grading, *self._between)
        self.lease.hold_episode()
        with contextlib.suppress(Problem):
            await self._ledger.note()
        if self._world is not None and self._world.stage is not None:
            await self._world.stage.sandbox.detach()

    def _expire(self, expiry: Expiry) -> None:
        if expiry is Expiry.EPISODE:
            self.truncate(expiry.value)
        else:
            self._services.spawn(self.close(expiry.value))
