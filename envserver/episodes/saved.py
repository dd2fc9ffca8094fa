"""A saved state of an episode, beside what the runtime saved of its sandbox; and what a world begins from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from environments.environment import JsonObject
from envserver.episodes.journal.rows import CheckpointRow
from envserver_sdk.models import CheckpointInfo, CheckpointKind, Lineage


@dataclass(frozen=True)
class SavedState:
    """What a fork needs to go on as the episode would have."""

    environment: str
    task_set: str
    task: str
    rules: str
    """`Plan.encode` of the episode."""
    metadata: JsonObject
    seed: int
    options: JsonObject
    snapshot: JsonObject
    """The environment's own state."""
    observation: JsonObject
    """The last one."""
    info: JsonObject
    """Of the world's beginning."""
    reward: float
    """Sum over the steps so far."""
    steps_taken: int
    episode_left_s: float | None
    """Of the episode's time-out."""
    actions: list[Any] = field(default_factory=list)
    """For a replay: [action, time limit, observation] a step, from the reset on."""

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, written: bytes) -> SavedState:
        return cls(**json.loads(written))


@dataclass(frozen=True)
class Saved:
    """A checkpoint, ready to be forked or restored."""

    row: CheckpointRow
    state: SavedState

    @classmethod
    def of(cls, row: CheckpointRow) -> Saved:
        return cls(row, SavedState.decode(row.state))

    @property
    def kind(self) -> CheckpointKind:
        return CheckpointKind(self.row.kind)

    @property
    def lineage(self) -> Lineage:
        row = self.row
        return Lineage(
            checkpoint_id=row.checkpoint_id,
            episode_id=row.episode_id,
            generation=row.generation,
            step_index=row.step_index,
        )


def checkpoint_info(row: CheckpointRow) -> CheckpointInfo:
    return CheckpointInfo(
        checkpoint_id=row.checkpoint_id,
        kind=CheckpointKind(row.kind),
        episode_id=row.episode_id,
        generation=row.generation,
        step_index=row.step_index,
        label=row.label,
        automatic=row.automatic,
        created_at=row.created_at,
        bytes=row.bytes,
        pause_ms=row.pause_ms,
    )


class How(StrEnum):
    """Why a world begins."""

    CREATE = "create"
    RESET = "reset"
    FORK = "fork"
    RESTORE = "restore"
    RECOVERY = "recovery"


@dataclass(frozen=True)
class Origin:
    """What a world begins from: a seed, or a saved state."""

    how: How
    seed: int
    options: JsonObject = field(default_factory=dict)
    saved: Saved | None = None
    call_key: str | None = None
    """Of the keyed call that asked for it."""

    @classmethod
    def of(cls, how: How, saved: Saved, call_key: str | None = None) -> Origin:
        return cls(how, saved.state.seed, saved.state.options, saved, call_key)
