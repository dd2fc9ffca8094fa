"""Where an episode stands: its members, what it holds, what it tells, and what it refuses.

The layers of the actor, each in a file of its own: this one; `between.py`, what is done with its world between two
steps; `ending.py`, its end, grade and close; `episode.py`, its beginnings and its steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from envserver import clock
from envserver.access.tenants import Hold
from envserver.episodes.admission import Charge, Ticket, Waiter
from envserver.episodes.entry import Entry
from envserver.episodes.lease import Expiry, Lease
from envserver.episodes.ledger import Ledger
from envserver.episodes.plan import Plan
from envserver.episodes.records import Records
from envserver.episodes.saved import Origin
from envserver.episodes.saving import AutoSaver
from envserver.episodes.services import Services
from envserver.episodes.sleeping import Sleep
from envserver.episodes.world import World
from envserver.runtimes.base import SandboxError
from envserver_sdk.errors import (
    EpisodeClosed,
    EpisodeEnded,
    EpisodeLost,
    EpisodeNotLive,
    Problem,
    ShuttingDown,
    StaleGeneration,
)
from envserver_sdk.models import EpisodeInfo, EpisodeState, GradeResult

CANCEL_S = 10.0
"""How long a cancelled task may take to notice before the world is destroyed under it."""


class Standing(Entry):
    """The state of one episode. Everything that changes it runs on one event loop."""

    def __init__(
        self,
        services: Services,
        plan: Plan,
        *,
        on_closed: Callable[[Standing], None],
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
        self.on_ended: Callable[[Standing], None] = lambda _: None
        """Called when it ends or is closed; its group listens."""
        self._services = services
        self._on_closed = on_closed
        self._hold = hold
        self._charged_cpu_s = 0.0
        self._ledger = Ledger(services.journal, plan, self.lease, services.config.record_bytes)
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
        self._users = 0
        """Of its files, now."""
        self._unused = asyncio.Event()
        self._unused.set()
        self._resting = False
        """It is being put to rest: who wants its files waits for that, and wakes it."""
        self._closing: asyncio.Task[None] | None = None
        self._closes_again = False
        """Its close could not be written down, and will be tried again."""
        self._suspended = False

    # Looking

    @property
    def shown_state(self) -> EpisodeState:
        """The state, with whether a live one stands still."""
        return (self._sleep.state or self.state) if self.state is EpisodeState.LIVE else self.state

    @property
    def starting(self) -> asyncio.Task[bytes] | None:
        """The beginning of the current world."""
        return self._starting

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

    def work(self) -> list[asyncio.Task[Any]]:
        """What is running now: a beginning, a step, a grading, a checkpoint."""
        tasks = (self._starting, self._stepping, self._grading, *self._between)
        return [task for task in tasks if task is not None and not task.done()]

    def _is_busy(self) -> bool:
        return bool(self.work())

    # Holding

    async def _admit_again(self) -> None:
        """Where it gave its capacity back in hibernation. Raises: Overloaded, ShuttingDown."""
        if self._ticket is None:
            admission = self._services.admission
            self._ticket = await admission.wait(admission.join(Charge.of(self.plan.limits)))

    def _give_capacity_back(self) -> None:
        if self._ticket is not None:
            self._ticket.release()
            self._ticket = None

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

    def disturbance(self) -> Problem:
        """What waiters of interrupted work are told."""
        if self._suspended:
            return ShuttingDown("the server is shutting down; the step goes on when the next one has started")
        if self.state is EpisodeState.CLOSED:
            return self._closed_problem()
        return StaleGeneration("the episode's world was replaced meanwhile", generation=self.generation)

    @abstractmethod
    def _expire(self, expiry: Expiry) -> None:
        """A deadline of the lease has passed."""


async def cancel(*tasks: asyncio.Task[Any] | None) -> None:
    running = [task for task in tasks if task is not None and not task.done() and task is not asyncio.current_task()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=CANCEL_S)
