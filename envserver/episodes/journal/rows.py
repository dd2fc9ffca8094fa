"""What the journal holds, a class a table. JSON columns hold encoded bytes, so that nothing is parsed on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

Encoded = bytes
"""The same type, for members behind one that is named `bytes`."""


@dataclass(frozen=True)
class EpisodeRow:
    """One episode. The first block never changes; `Journal.save_episode` changes members of the second."""

    episode_id: str
    owner: str
    created_at: float
    """Unix time."""
    environment: str
    task_set: str
    task: str
    plan: bytes
    """JSON: limits, lease, options, policies: all that makes the episode's plan again."""
    metadata: bytes
    """JSON, the trainer's own."""
    group_id: str | None = None
    parent_checkpoint: str | None = None
    """What it was forked from."""
    call_key: str | None = None
    """Of the keyed call that made it."""

    state: str = "starting"
    reason: str | None = None
    generation: int = 1
    step_index: int = 0
    steps_taken: int = 0
    reward: float = 0.0
    sandbox_id: str | None = None
    image: str | None = None
    """Digest."""
    series: int = 0
    """The greatest series of calls that was begun in this sandbox."""
    snapshot: bytes = b"{}"
    """JSON: the environment's own state after the last finished step."""
    clock: bytes = b"{}"
    """JSON: deadlines, see lease.py."""
    grade: bytes | None = None
    """JSON."""
    closed_at: float | None = None

    position: int = field(default=0, compare=False)
    """Where it stands in the order of creation: a cursor. The journal's own; 0 in a row that was not read from it."""


@dataclass(frozen=True)
class GenerationRow:
    """One world of an episode, written when it has begun."""

    episode_id: str
    generation: int
    origin: str
    """create, reset, fork, restore or recovery."""
    seed: int
    options: bytes
    """JSON."""
    begun_at: float
    first_index: int = 0
    """Steps up to this one were taken in the generation that the checkpoint was taken of."""
    checkpoint_id: str | None = None
    parent_episode: str | None = None
    parent_generation: int | None = None
    started: bytes | None = None
    """The encoded `EpisodeStarted`; None while it begins."""
    call_key: str | None = None
    grade: bytes | None = None
    """JSON; once the next generation has begun, or the episode is closed. Until then the episode has it."""
    ended: str | None = None
    """The episode's `reason` then."""


@dataclass(frozen=True)
class StepRow:
    """One step by name: first what is intended, then what it came to."""

    episode_id: str
    generation: int
    step_index: int
    action: bytes
    """JSON."""
    fingerprint: bytes
    metadata: bytes
    """JSON."""
    timeout_s: float
    series: int
    usage: bytes
    """JSON: the sandbox's counters before it."""
    begun_at: float
    result: bytes | None = None
    """The encoded `StepResult`; None while it runs."""
    outcome: str | None = None
    reward: float | None = None
    finished_at: float | None = None


@dataclass(frozen=True)
class CheckpointRow:
    """A saved state of an episode."""

    checkpoint_id: str
    owner: str
    episode_id: str
    generation: int
    step_index: int
    kind: str
    """process, filesystem or replay."""
    label: str | None
    automatic: bool
    runtime_id: str | None
    """The runtime's checkpoint; None for a replay."""
    created_at: float
    bytes: int
    pause_ms: float
    state: Encoded
    """JSON: everything that a fork needs beside the sandbox's."""
    call_key: str | None = None
    deleted_at: float | None = None

    position: int = field(default=0, compare=False)
    """As an episode's."""


@dataclass(frozen=True)
class GroupRow:
    """Episodes that began in the same state."""

    group_id: str
    owner: str
    created_at: float
    size: int
    settings: bytes
    """JSON: stragglers' policy."""
    started: bytes | None = None
    """The encoded `GroupStarted`; None while it begins."""
    call_key: str | None = None
    closed_at: float | None = None


class CallRow(NamedTuple):
    """A keyed call and its answer; without an answer, one that may have been under way."""

    call_key: str
    fingerprint: bytes
    status: int | None
    body: bytes | None
    created_at: float
    """Unix time."""
    boot: str = ""
    """Of which `steady_at` is a time: see clock.py."""
    steady_at: float = 0.0
