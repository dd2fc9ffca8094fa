"""What one episode writes into the journal, and when.

An intent is written before the first call that acts on it, a result before anyone is told: so a successor knows of
everything that may have run, and nobody was told what it does not know. What has to survive power loss
(creates, checkpoints, grades, closes) is waited for on the disk.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict
from typing import Any

from pydantic_core import to_json

from envserver import clock
from envserver.episodes.durable import written, written_if_known
from envserver.episodes.journal.journal import Journal
from envserver.episodes.journal.rows import CheckpointRow, EpisodeRow, GenerationRow, StepRow
from envserver.episodes.lease import Lease
from envserver.episodes.plan import Plan
from envserver.episodes.records import StepRecord
from envserver.episodes.saved import Origin
from envserver.episodes.stepping import Attempt, Done
from envserver.episodes.world import World
from envserver_sdk.models import EpisodeState, GradeResult


def new_row(plan: Plan, created_at: float, lease: Lease) -> EpisodeRow:
    """The row of an episode that is about to begin."""
    return EpisodeRow(
        episode_id=plan.episode_id,
        owner=plan.owner,
        created_at=created_at,
        environment=plan.environment_name,
        task_set=plan.task_set,
        task=plan.task.task_id,
        plan=plan.encode(),
        metadata=to_json(plan.metadata),
        group_id=plan.group_id,
        parent_checkpoint=plan.parent_checkpoint,
        call_key=plan.call_key,
        clock=_clock(lease),
    )


def generation_row(plan: Plan, generation: int, origin: Origin, started: bytes | None = None) -> GenerationRow:
    lineage = origin.saved.lineage if origin.saved else None
    return GenerationRow(
        episode_id=plan.episode_id,
        generation=generation,
        origin=origin.how.value,
        seed=origin.seed,
        options=to_json(origin.options),
        begun_at=clock.wall(),
        first_index=lineage.step_index if lineage else 0,
        checkpoint_id=lineage.checkpoint_id if lineage else None,
        parent_episode=lineage.episode_id if lineage else None,
        parent_generation=lineage.generation if lineage else None,
        started=started,
        call_key=origin.call_key,
    )


def _clock(lease: Lease) -> bytes:
    return json.dumps(lease.write_down()).encode()


class Ledger:
    """One episode's hand in the journal. All methods raise InfraError when it cannot be written."""

    def __init__(self, journal: Journal, plan: Plan, lease: Lease, memory_bytes: int) -> None:
        """A journal in memory keeps so many bytes of the episode's steps; one on disk has bounds of its own."""
        self._journal = journal
        self._memory_bytes = memory_bytes
        self._sizes: deque[tuple[int, int, int]] = deque()
        """Of the steps that a journal in memory holds: generation, index, bytes."""
        self._plan = plan
        self._lease = lease
        self._held_bytes = 0
        self._snapshot = b""
        self._id = plan.episode_id

    def know(self, world: World) -> None:
        """A world that an earlier server has written down."""
        self._snapshot = to_json(world.snapshot)

    async def replaced(self, generation: int, origin: Origin) -> None:
        """A new world will begin in place of the old one."""
        row = generation_row(self._plan, generation, origin)
        changes = {
            "state": EpisodeState.STARTING.value, "reason": None, "generation": generation, "sandbox_id": None,
            "step_index": row.first_index, "grade": None,
        }  # fmt: skip
        await written(self._journal.begin_generation(row, changes))

    async def begun(self, generation: int, origin: Origin, world: World, started: bytes) -> None:
        self._snapshot = to_json(world.snapshot)
        changes = {
            "state": EpisodeState.LIVE.value, "reason": None, "generation": generation,
            "sandbox_id": world.sandbox_id, "image": world.sandbox.spec.image,
            "step_index": world.first_index, "reward": world.reward, "series": world.sandbox.settled_series,
            "snapshot": self._snapshot, "clock": _clock(self._lease), "grade": None,
        }  # fmt: skip
        await written(self._journal.begin_generation(generation_row(self._plan, generation, origin, started), changes))

    async def intend(self, record: StepRecord, action: Any, attempt: Attempt) -> None:
        row = StepRow(
            episode_id=self._id,
            generation=record.generation,
            step_index=record.index,
            action=to_json(action),
            fingerprint=record.action,
            metadata=to_json(record.metadata),
            timeout_s=attempt.timeout_s,
            series=attempt.series,
            usage=to_json(asdict(attempt.before)) if attempt.before else b"null",
            begun_at=clock.wall(),
        )
        await written(self._journal.intend_step(row))

    async def finish(self, record: StepRecord, done: Done, body: bytes, world: World, changes: dict[str, Any]) -> None:
        """The result, with what it changes of the episode; the environment's state where that has changed."""
        snapshot = to_json(world.snapshot)
        if snapshot != self._snapshot:
            self._snapshot = snapshot
            changes["snapshot"] = snapshot
        await self._journal.finish_step(
            (self._id, record.generation, record.index),
            result=body,
            outcome=done.outcome.value,
            reward=done.reward,
            finished_at=clock.wall(),
            changes=changes,
            durable="grade" in changes,
        )
        await self._stay_within_memory(record, len(body))

    async def _stay_within_memory(self, record: StepRecord, size_bytes: int) -> None:
        """The newest step always stays."""
        if self._journal.journal_id:
            return
        self._sizes.append((record.generation, record.index, size_bytes))
        self._held_bytes += size_bytes
        if self._held_bytes <= self._memory_bytes:
            return
        while len(self._sizes) > 1 and self._held_bytes > self._memory_bytes:
            self._held_bytes -= self._sizes.popleft()[2]
        generation, index, _ = self._sizes[0]
        await self._journal.drop_steps(self._id, generation, index)

    async def forget(self, record: StepRecord) -> None:
        """An intent that never began."""
        await written(self._journal.forget_step((self._id, record.generation, record.index)))

    async def saved(self, row: CheckpointRow) -> None:
        await written(self._journal.add_checkpoint(row))

    async def note(self, *, durable: bool = False, **changes: Any) -> None:
        """Members of the episode's row, and its clock."""
        await written(self._journal.save_episode(self._id, durable=durable, clock=_clock(self._lease), **changes))

    async def graded(self, state: EpisodeState, grade: GradeResult) -> None:
        """Its sandbox is not needed any more."""
        encoded = grade.model_dump_json().encode()
        await self.note(durable=True, state=state.value, grade=encoded, sandbox_id=None)

    async def closed(self, reason: str) -> None:
        changes: dict[str, Any] = {
            "state": EpisodeState.CLOSED.value, "reason": reason, "closed_at": clock.wall(),
        }  # fmt: skip
        row_clock = _clock(self._lease)
        # Not known where its beginning could not be written: there is none to end.
        await written_if_known(self._journal.save_episode(self._id, durable=True, clock=row_clock, **changes))

    async def step_row(self, generation: int, index: int) -> StepRow | None:
        rows = await written(self._journal.steps(self._id, generation, index, index))
        return rows[0] if rows else None
