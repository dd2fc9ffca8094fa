"""The bytes of results: written once, when they are true, and sent as they are to whoever asks again.

Built by hand because the observation is encoded already; tests hold them against the wire models.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import to_json

from envserver.episodes.plan import Plan
from envserver.episodes.records import StepRecord
from envserver.episodes.stepping import Done
from envserver.episodes.world import World
from envserver_sdk.models import CheckpointKind


def encode_started(plan: Plan, world: World) -> bytes:
    """An `EpisodeStarted`."""
    info = {**world.info, "task": plan.task.task_id, "task_set": plan.task_set, "seed": world.seed}
    return b'{"episode_id":%s,"generation":%d,"step_index":%d,"observation":%s,"info":%s}' % (
        to_json(plan.episode_id),
        world.generation,
        world.first_index,
        world.observation,
        to_json(info, inf_nan_mode="null"),
    )


def encode_all(started: Sequence[bytes]) -> bytes:
    """An `EpisodesStarted`."""
    return b'{"episodes":[%s]}' % b",".join(started)


def encode_group(group_id: str, kind: CheckpointKind | None, started: Sequence[bytes]) -> bytes:
    """A `GroupStarted`."""
    return b'{"group_id":%s,"kind":%s,"episodes":[%s]}' % (to_json(group_id), to_json(kind), b",".join(started))


def encode_step(record: StepRecord, done: Done, *, truncated: bool) -> bytes:
    """A `StepResult`; what the actor knows better overrides what the environment put into `info`."""
    info = {
        **done.info,
        "outcome": done.outcome.value,
        "trainable": done.outcome.trainable_by_default,
        "duration_ms": round(done.duration_s * 1000, 3),
        "cpu_ms": done.cpu_ms,
        "peak_memory_bytes": done.peak_memory_bytes,
    }
    return (
        b'{"step_index":%d,"generation":%d,"observation":%s,"reward":%s,"terminated":%s,"truncated":%s,"info":%s}'
        % (
            record.index,
            record.generation,
            done.observation,
            to_json(done.reward),
            to_json(done.terminated),
            to_json(truncated),
            to_json(info, inf_nan_mode="null"),
        )
    )


def encode_pending(record: StepRecord) -> bytes:
    """A `StepPending`."""
    return b'{"step_index":%d,"generation":%d,"status":"running"}' % (record.index, record.generation)
