"""What is done with an episode's world between two steps: saving it, putting it to rest, waking it.

Whatever touches the world holds the episode's turn, as a step does, so none of this happens under a step.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from environments.environment import Environment
from envserver import failpoints
from envserver.episodes.journal.rows import CheckpointRow
from envserver.episodes.saved import Saved
from envserver.episodes.saving import Moment, Saver, Wish
from envserver.episodes.standing import Standing
from envserver.episodes.world import World
from envserver.logs import get_logger
from envserver.runtimes.base import Sandbox
from envserver_sdk.errors import (
    EpisodeLost,
    Problem,
)
from envserver_sdk.models import EpisodeState

T = TypeVar("T")

log = get_logger(__name__)


class Between(Standing):
    """An episode between two steps."""

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

    async def sandbox(self) -> Sandbox:
        """For files; it wakes for them.

        Raises: EpisodeClosed, EpisodeNotLive, EpisodeLost, Overloaded; EpisodeEnded when its sandbox is gone.
        """
        self._require_open()
        self.lease.use()
        world = self._require_world()
        if self._sleep.state is not None or self._resting:
            async with self._turn:
                world = await self._awake()
            self._rest_a_while()
        return world.sandbox

    async def in_sandbox(self, use: Callable[[Sandbox], Awaitable[T]]) -> T:
        """What `use` does with its files: it is put to rest before that, or after it, and never under it.

        Raises: as `sandbox`, and what `use` does.
        """
        sandbox = await self.sandbox()
        self._users += 1
        self._unused.clear()
        try:
            return await use(sandbox)
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()
            self._rest_a_while()

    async def environment(self) -> Environment:
        """To ask it what can be done now; it wakes for that. Raises: as `sandbox`."""
        await self.sandbox()
        return self._require_world().environment

    @property
    def standing_environment(self) -> Environment | None:
        """The same without waking it; None where there is none to ask."""
        world = self._world
        return world.stage.environment if world is not None and world.stage is not None else None

    async def last_saved(self) -> Saved | None:
        """What it would be recovered from. Raises: InfraError."""
        return await self._autosaver.last_saved(self.episode_id)

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
                raise self.disturbance() from None
            raise

    def _spawn_between(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._services.spawn(work)
        self._between.add(task)
        task.add_done_callback(self._between.discard)
        return task

    async def _save(self, wish: Wish) -> CheckpointRow:
        """The turn is held until the state is taken; the disk's work stalls nobody."""
        async with contextlib.AsyncExitStack() as turn:
            await turn.enter_async_context(self._turn)
            held = True

            def let_go() -> None:
                nonlocal held
                held = False

            turn.callback(let_go)
            self._require_live()
            world = await self._awake()
            self._autosaver.begin(self.step_index)

            def move_on() -> None:
                if held:  # else whoever waited for this was cancelled, and the turn is another's
                    let_go()
                    turn.pop_all()
                    self._turn.release()
                    self._rest_a_while()

            moment = Moment(world, self.step_index, self.steps_taken, self.reward, self.lease, move_on)
            row = await Saver(self._services, self.plan, self._ledger).save(moment, wish)
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
            self._resting = True
            try:
                await self._unused.wait()
                await self._put_to_rest(self._require_live(), state)
            finally:
                self._resting = False

    async def _put_to_rest(self, world: World, state: EpisodeState) -> None:
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

        if not self._turn.locked() and not self._users and self.state is EpisodeState.LIVE:
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
            raise self.disturbance()
        await self._leave_world()
        self._give_capacity_back()
        self.lose("sandbox_gone")
        await self._ledger.note(state=self.state.value, reason=self.reason, sandbox_id=None)

    def lose(self, reason: str) -> None:
        """Its world is gone, and nothing brings it back."""
        self.state, self.reason = EpisodeState.LOST, reason
        self.lease.end_episode()

    @abstractmethod
    def recover(self, saved: Saved) -> asyncio.Task[bytes]:
        """Begin again from its last checkpoint, as the next generation."""
