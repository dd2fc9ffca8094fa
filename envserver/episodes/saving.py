"""Taking a checkpoint of an episode that stands between two steps: the runtime's part, and the episode's own.

`auto` takes the strongest kind that works: what a runtime does not do, or a sandbox does not allow, is passed over.
A checkpoint exists once the journal says so; what the runtime has stored and no journal knows is an orphan.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic_core import from_json

from envserver import clock, failpoints
from envserver.episodes.durable import written
from envserver.episodes.history import steps_since_reset
from envserver.episodes.journal.rows import CheckpointRow
from envserver.episodes.lease import Lease
from envserver.episodes.ledger import Ledger
from envserver.episodes.plan import Plan
from envserver.episodes.saved import Saved, SavedState
from envserver.episodes.services import Services
from envserver.episodes.world import World
from envserver.logs import get_logger
from envserver.runtimes.base import (
    Capability,
    CapacityError,
    CheckpointError,
    NotSupportedError,
    SandboxCheckpoint,
    SandboxError,
)
from envserver.runtimes.base import CheckpointKind as SandboxKind
from envserver_sdk.errors import CheckpointFailed, EpisodeLost, InfraError, NotSupported, Overloaded
from envserver_sdk.models import CheckpointKind, Recovery

log = get_logger(__name__)

NEEDS = {
    CheckpointKind.PROCESS: Capability.PROCESS_CHECKPOINT,
    CheckpointKind.FILESYSTEM: Capability.FILESYSTEM_CHECKPOINT,
}


@dataclass(frozen=True)
class Moment:
    """Where an episode stands when it is saved."""

    world: World
    step_index: int
    steps_taken: int
    reward: float
    lease: Lease
    moved_on: Callable[[], None] = lambda: None
    """Called when its state is taken, and only the disk is still at work."""


@dataclass(frozen=True)
class Wish:
    """Which checkpoint is wanted; a `kind` of None is `auto`."""

    kind: CheckpointKind | None = None
    label: str | None = None
    automatic: bool = False
    fleeting: bool = False
    """It is gone before anybody could count it."""
    call_key: str | None = None


class Saver:
    """Belongs to one episode."""

    def __init__(self, services: Services, plan: Plan, ledger: Ledger) -> None:
        self._services = services
        self._plan = plan
        self._ledger = ledger

    async def save(self, moment: Moment, wish: Wish) -> CheckpointRow:
        """Calls `moment.moved_on` once the episode may go on.

        Raises: QuotaExceeded, NotSupported, CheckpointFailed, Overloaded, EpisodeLost, InfraError.
        """
        if not wish.fleeting:
            await self._count()
        if wish.kind is not None:
            return await self._save(moment, wish, wish.kind)
        for kind in self._kinds():
            try:
                return await self._save(moment, wish, kind)
            except CheckpointFailed as problem:
                log.info("checkpoint_passed_over", episode_id=self._plan.episode_id, kind=kind, why=problem.detail)
                if kind is CheckpointKind.REPLAY:
                    raise
        raise AssertionError("unreachable")

    async def _count(self) -> None:
        tenant = self._services.tenants.get(self._plan.owner)
        most = tenant.quotas.max_checkpoints
        if most is not None:
            kept = await written(self._services.journal.checkpoints(owner=self._plan.owner, limit=most + 1))
            tenant.save(len(kept))

    def _kinds(self) -> Sequence[CheckpointKind]:
        able, whole = self._services.runtime.capabilities, self._plan.checkpoints
        return [kind for kind in CheckpointKind if kind in whole and (kind not in NEEDS or NEEDS[kind] in able)]

    async def _save(self, moment: Moment, wish: Wish, kind: CheckpointKind) -> CheckpointRow:
        if kind in NEEDS and kind not in self._plan.checkpoints:
            message = f"a {kind} checkpoint does not hold all of an episode of {self._plan.environment_name}"
            raise NotSupported(message, capability=NEEDS[kind].value)
        checkpoint_id = "cp_" + secrets.token_hex(12)
        state = await self._state(moment, kind)
        stored = await self._store(moment, checkpoint_id, kind) if kind in NEEDS else None
        encoded = state.encode()
        row = CheckpointRow(
            checkpoint_id=checkpoint_id,
            owner=self._plan.owner,
            episode_id=self._plan.episode_id,
            generation=moment.world.generation,
            step_index=moment.step_index,
            kind=kind.value,
            label=wish.label,
            automatic=wish.automatic,
            runtime_id=stored.checkpoint_id if stored else None,
            created_at=clock.wall(),
            bytes=stored.bytes if stored else len(encoded),
            pause_ms=stored.pause_ms if stored else 0.0,
            state=encoded,
            call_key=wish.call_key,
        )
        try:
            failpoints.hit("server.checkpoint.stored")
            await self._ledger.saved(row)
        except InfraError:
            await self._services.take_back(row)
            raise
        failpoints.hit("server.checkpoint.written")
        self._services.metrics.checkpoints.labels(kind.value).observe(row.pause_ms / 1000)
        return row

    async def _store(self, moment: Moment, checkpoint_id: str, kind: CheckpointKind) -> SandboxCheckpoint:
        labels = {"journal": self._services.journal.journal_id, "checkpoint": checkpoint_id}
        try:
            async with asyncio.timeout(self._services.config.checkpoint_timeout_s):
                return await self._services.runtime.checkpoint(
                    moment.world.sandbox, SandboxKind(kind.value), labels, moment.moved_on
                )
        except NotSupportedError as error:
            raise NotSupported(str(error), capability=NEEDS[kind].value) from error
        except CheckpointError as error:
            raise CheckpointFailed(str(error)) from error
        except CapacityError as error:
            raise Overloaded(str(error), retry_after_s=self._services.admission.retry_after_s(1)) from error
        except (SandboxError, TimeoutError) as error:
            log.warning("checkpoint_failed", episode_id=self._plan.episode_id, error=repr(error)[:500])
            if moment.world.sandbox.gone:
                raise EpisodeLost(f"episode {self._plan.episode_id}: its sandbox is gone", reason="gone") from error
            raise InfraError("the checkpoint could not be taken") from error

    async def _state(self, moment: Moment, kind: CheckpointKind) -> SavedState:
        world, plan = moment.world, self._plan
        left_s = moment.lease.episode_left_s()
        return SavedState(
            environment=plan.environment_name,
            task_set=plan.task_set,
            task=plan.task.task_id,
            rules=plan.encode().decode(),
            metadata=dict(plan.metadata),
            seed=world.seed,
            options=world.options,
            snapshot=world.snapshot,
            observation=from_json(world.observation),
            info=world.info,
            reward=moment.reward,
            steps_taken=moment.steps_taken,
            episode_left_s=None if left_s == float("inf") else left_s,
            actions=await self._actions(moment) if kind is CheckpointKind.REPLAY else [],
        )

    async def _actions(self, moment: Moment) -> list[object]:
        journal, world = self._services.journal, moment.world
        steps = await written(steps_since_reset(journal, self._plan.episode_id, world.generation, moment.step_index))
        if len(steps) != moment.step_index:
            raise CheckpointFailed("the actions that led here are no longer all recorded, so they cannot be replayed")
        return [
            [from_json(step.action), step.timeout_s, from_json(step.result or b"{}").get("observation")]
            for step in steps
        ]


class AutoSaver:
    """When an episode is saved by itself, which of those checkpoints are kept, and what it comes back from."""

    def __init__(self, services: Services, plan: Plan) -> None:
        self._services = services
        self._plan = plan
        self._rule = plan.policies.checkpoints
        self._saved_index = 0
        self._saved_at = 0.0

    def begin(self, step_index: int) -> None:
        """A world has begun at this step, or is being saved there."""
        self._saved_index, self._saved_at = step_index, asyncio.get_running_loop().time()

    def due(self, step_index: int) -> Wish | None:
        """The checkpoint to take now."""
        rule = self._rule
        if rule is None:
            return None
        by_steps = rule.every_steps is not None and step_index - self._saved_index >= rule.every_steps
        passed_s = asyncio.get_running_loop().time() - self._saved_at
        by_time = rule.every_s is not None and passed_s >= rule.every_s
        return Wish(rule.kind, automatic=True) if by_steps or by_time else None

    async def prune(self, episode_id: str) -> None:
        """Delete automatic checkpoints past those that are kept. Raises: InfraError."""
        assert self._rule is not None
        rows = await written(self._services.journal.checkpoints(episode_id=episode_id))
        automatic = [row for row in rows if row.automatic]
        for row in automatic[: -self._rule.keep]:
            await delete_checkpoint(self._services, row)

    async def forget(self, episode_id: str) -> None:
        """Its end: what was saved by itself served its recovery alone. Raises: InfraError."""
        if self._rule is not None:
            for row in await written(self._services.journal.checkpoints(episode_id=episode_id)):
                if row.automatic:
                    await delete_checkpoint(self._services, row)

    async def last_saved(self, episode_id: str) -> Saved | None:
        """What a lost world is begun again from; None where that is not wanted or there is nothing."""
        if self._plan.policies.recovery is not Recovery.RESTORE:
            return None
        rows = await written(self._services.journal.checkpoints(episode_id=episode_id))
        return Saved.of(rows[-1]) if rows else None


async def delete_old_checkpoints(services: Services) -> None:
    """Those past `checkpoint_age_s`. Raises: InfraError."""
    horizon = clock.wall() - services.config.checkpoint_age_s
    for row in await written(services.journal.checkpoints()):
        if row.created_at < horizon:
            log.info("checkpoint_expired", checkpoint_id=row.checkpoint_id, episode_id=row.episode_id)
            await delete_checkpoint(services, row)


async def delete_checkpoint(services: Services, row: CheckpointRow) -> None:
    """First from the journal, then from the runtime: one that only the runtime has is an orphan, and found.

    Carried through even when the caller is cancelled: an orphan is found by the next server's start alone.
    Episodes that were forked from it do not need it. Raises: InfraError.
    """
    await asyncio.shield(services.spawn(_delete_checkpoint(services, row)))


async def _delete_checkpoint(services: Services, row: CheckpointRow) -> None:
    await written(services.journal.delete_checkpoint(row.checkpoint_id, clock.wall()))
    failpoints.hit("server.checkpoint.forgotten")
    if row.runtime_id is not None:
        await services.forget_checkpoint(row.runtime_id)
