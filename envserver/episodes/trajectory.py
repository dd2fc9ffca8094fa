"""One generation's trajectory, put together from what the journal has of it.

A result is kept as the very bytes that were answered, and goes into the record as it is: an observation of a megabyte
is neither parsed nor encoded again. What a step means for the whole (may it be learnt from?) stands in the last members
of its result, which `encode_step` wrote; only the last step's is parsed. Tests hold these bytes against the wire model.

The encoded record comes in pieces, so that a long one is never copied into one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic_core import from_json, to_json

from envserver.episodes.history import ancestry, steps_of
from envserver.episodes.journal.journal import Journal
from envserver.episodes.journal.rows import CheckpointRow, EpisodeRow, GenerationRow, StepRow
from envserver.episodes.journal.store import Reads
from envserver.episodes.journal.tables import CHECKPOINTS, EPISODES
from envserver.episodes.saved import checkpoint_info
from envserver_sdk.models import MAX_INTEGER, EpisodeState, GradeResult, Lineage

OVER = frozenset({EpisodeState.ENDED, EpisodeState.CLOSED, EpisodeState.FAILED, EpisodeState.LOST})

_TRAINABLE = re.compile(
    rb'[{,]"outcome":"\w+","trainable":(true|false),"duration_ms":[^",{}]+,"cpu_ms":[^",{}]+,'
    rb'"peak_memory_bytes":[^",{}]+\}\}\Z'
)
"""How the `info` of a result ends. Two braces before the end can only close `info` and the result."""
_TAIL_BYTES = 256


@dataclass(frozen=True)
class Record:
    """All that the journal has of one generation."""

    episode: EpisodeRow
    worlds: Sequence[GenerationRow]
    """This generation's, and those that it goes on from, nearest first; never empty, the first has begun."""
    steps: Sequence[StepRow]
    """Finished ones, the ancestors' first."""
    checkpoints: Sequence[CheckpointRow]
    in_memory: bool = False
    """The journal keeps only the newest steps of an episode, and perhaps none of an earlier generation."""

    @property
    def world(self) -> GenerationRow:
        return self.worlds[0]

    @property
    def cursor(self) -> str:
        return f"{self.episode.position}.{self.world.generation}"

    @property
    def lineage(self) -> list[Lineage]:
        return [
            Lineage(
                checkpoint_id=world.checkpoint_id or "",
                episode_id=world.parent_episode,
                generation=world.parent_generation,
                step_index=world.first_index,
            )
            for world in self.worlds
            if world.parent_episode is not None and world.parent_generation is not None
        ]

    @property
    def complete(self) -> bool:
        """Whether every step from the reset on is there."""
        last = self.steps[-1].step_index if self.steps else 0
        if self._current:
            last = self.episode.step_index
        elif not self.steps and self.in_memory:
            return False
        expected = range(1, max(last, self.world.first_index) + 1)
        return [step.step_index for step in self.steps] == list(expected)

    @property
    def reward(self) -> float:
        return sum((step.reward or 0.0 for step in self.steps), 0.0)

    @cached_property
    def last_result(self) -> Mapping[str, Any]:
        """Parsed; empty before the first step."""
        result: dict[str, Any] = from_json(self.steps[-1].result or b"{}") if self.steps else {}
        return result

    @property
    def terminated(self) -> bool:
        return bool(self.last_result.get("terminated", False))

    @property
    def truncated(self) -> bool:
        return not self.terminated and (not self._current or EpisodeState(self.episode.state) in OVER)

    @cached_property
    def grade(self) -> GradeResult | None:
        grade = self.episode.grade if self._current else self.world.grade
        return GradeResult.model_validate_json(grade) if grade else None

    @property
    def reason(self) -> str | None:
        """Why this generation ended, where that is known, rather than why its episode was closed."""
        return self.world.ended or (self.episode.reason if self._current else None)

    @cached_property
    def trainable(self) -> bool:
        grade = self.grade
        return (grade is None or grade.trainable) and all(map(is_trainable, self.steps))

    @property
    def _current(self) -> bool:
        return self.world.generation == self.episode.generation


def is_trainable(step: StepRow) -> bool:
    """What a finished step's `info.trainable` says."""
    result = step.result or b""
    found = _TRAINABLE.search(result, max(0, len(result) - _TAIL_BYTES))
    if found is None:  # the environment has put members of these names into its `info`, which moves them
        return bool(from_json(result)["info"]["trainable"])
    return found[1] == b"true"


async def read_record(journal: Journal, episode: EpisodeRow, generation: int | None = None) -> Record | None:
    """The record of a generation, the current one unless told otherwise; None where that never began, or was removed.

    Steps that finish after `episode` was read are left out. Raises: JournalError.
    """
    wanted = episode.generation if generation is None else generation
    in_memory = not journal.journal_id
    return await journal.read(lambda reads: _read(reads, episode, wanted, in_memory))


def _read(reads: Reads, episode: EpisodeRow, generation: int, in_memory: bool) -> Record | None:
    worlds = ancestry(reads, episode.episode_id, generation)
    if not worlds or worlds[0].started is None:
        return None
    last = episode.step_index if generation == episode.generation else MAX_INTEGER
    steps = steps_of(reads, worlds, last)
    if reads.row(EPISODES, episode.episode_id) is None:
        return None  # a sweep is removing it: its row goes first, and its steps were perhaps no longer all there
    key = {"episode_id =": episode.episode_id, "generation =": generation}
    checkpoints = reads.select(CHECKPOINTS, key, None, None, "deleted_at IS NULL")
    return Record(episode, worlds, steps, checkpoints, in_memory)


def encode_record(record: Record) -> Iterator[bytes]:
    """A `Trajectory`, in pieces."""
    yield _object(encode_members(record))[:-1] + b',"steps":['
    for place, step in enumerate(record.steps):
        yield from _encode_step(step, b"," if place else b"")
    yield b"]}"


def encode_members(record: Record) -> dict[str, bytes]:
    """Every member of a `Trajectory` but `steps`, each encoded."""
    episode, world = record.episode, record.world
    begun = _started(world)
    first = begun if len(record.worlds) == 1 else _started(record.worlds[-1])
    plain = {
        "episode_id": episode.episode_id, "generation": world.generation, "cursor": record.cursor,
        "environment": episode.environment, "task_set": episode.task_set, "task": episode.task,
        "seed": world.seed, "limits": from_json(episode.plan)["limits"], "image": episode.image,
        "state": episode.state, "reason": record.reason, "created_at": episode.created_at,
        "begun_at": world.begun_at, "closed_at": episode.closed_at, "group_id": episode.group_id,
        "origin": world.origin, "lineage": [each.model_dump() for each in record.lineage],
        "observation": first["observation"], "info": begun["info"],
        "checkpoints": [checkpoint_info(row).model_dump(mode="json") for row in record.checkpoints],
        "complete": record.complete, "reward": record.reward, "terminated": record.terminated,
        "truncated": record.truncated, "trainable": record.trainable,
        "grade": record.grade.model_dump(mode="json") if record.grade else None,
    }  # fmt: skip
    encoded = {name: to_json(value, inf_nan_mode="null") for name, value in plain.items()}
    return {**encoded, "options": world.options, "metadata": episode.metadata}


def _started(world: GenerationRow) -> dict[str, Any]:
    started: dict[str, Any] = from_json(world.started or b"{}")
    return started


def _encode_step(step: StepRow, before: bytes) -> Iterator[bytes]:
    """A `TrajectoryStep`: the result with what led to it."""
    more = {
        "episode_id": to_json(step.episode_id), "action": step.action, "metadata": step.metadata,
        "timeout_s": to_json(step.timeout_s), "begun_at": to_json(step.begun_at),
        "finished_at": to_json(step.finished_at),
    }  # fmt: skip
    yield before + _object(more)[:-1] + b","
    yield (step.result or b"{}")[1:]


def _object(members: Mapping[str, bytes]) -> bytes:
    """A JSON object of encoded values."""
    return b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), value) for name, value in members.items())
