"""The columns of the Parquet export, and a trajectory as rows of them: one a step, the trajectory's own repeated.

Values that have no fixed shape (actions, observations, metadata) are JSON text. docs/trajectories.md has this table,
and a test holds the two together.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic_core import from_json, to_json

from envserver.episodes.journal.rows import StepRow
from envserver.episodes.trajectory import Record, encode_members

Value = str | bytes | int | float | bool | None


class Column(NamedTuple):
    name: str
    type: Literal["string", "int64", "double", "bool"]
    meaning: str


COLUMNS = (
    Column("episode_id", "string", "the episode"),
    Column("generation", "int64", "of the trajectory"),
    Column("cursor", "string", "where the trajectory stands in the order of an export"),
    Column("environment", "string", ""),
    Column("task_set", "string", ""),
    Column("task", "string", ""),
    Column("seed", "int64", ""),
    Column("options", "string", "JSON"),
    Column("limits", "string", "JSON"),
    Column("image", "string", "digest"),
    Column("state", "string", "the episode's"),
    Column("reason", "string", "why it ended, else why it failed, closed or was lost"),
    Column("created_at", "double", "Unix time of the episode's making"),
    Column("generation_begun_at", "double", "Unix time of the generation's beginning"),
    Column("closed_at", "double", "Unix time; null while it is open"),
    Column("group_id", "string", "null outside a group"),
    Column("origin", "string", "create, reset, fork, restore or recovery"),
    Column("lineage", "string", "JSON, nearest first"),
    Column("episode_metadata", "string", "JSON, the trainer's own of the create"),
    Column("first_observation", "string", "JSON: the one that the first step answers to"),
    Column("episode_info", "string", "JSON, of the generation's beginning"),
    Column("complete", "bool", "whether all steps since the reset are there"),
    Column("episode_reward", "double", "sum over the steps"),
    Column("episode_terminated", "bool", "the last step ended the task"),
    Column("episode_truncated", "bool", "over, and nothing ended the task"),
    Column("episode_trainable", "bool", "every step, and the grade if there is one, may be learnt from"),
    Column("grade_reward", "double", "null without a grade, or without a verdict"),
    Column("grade_components", "string", "JSON; null without a grade"),
    Column("grade_trainable", "bool", "null without a grade"),
    Column("grade_forgeable", "bool", "null without a grade"),
    Column("step_episode_id", "string", "whose world took the step: an ancestor's, before a fork"),
    Column("step_generation", "int64", "the generation that took the step"),
    Column("step_index", "int64", "from 1"),
    Column("action", "string", "JSON"),
    Column("timeout_s", "double", "the policy's own limit, in seconds"),
    Column("observation", "string", "JSON"),
    Column("reward", "double", "the step's"),
    Column("terminated", "bool", ""),
    Column("truncated", "bool", ""),
    Column("outcome", "string", "what happened in the step"),
    Column("trainable", "bool", "whether the step may be learnt from"),
    Column("duration_ms", "double", "milliseconds"),
    Column("cpu_ms", "double", "milliseconds of the container's CPUs; null where it was gone"),
    Column("peak_memory_bytes", "int64", "bytes; null where it was gone"),
    Column("info", "string", "JSON: all of the step's `info`"),
    Column("metadata", "string", "JSON, the trainer's own of the step"),
    Column("begun_at", "double", "Unix time"),
    Column("finished_at", "double", "Unix time"),
)


def rows_of(record: Record) -> list[tuple[Value, ...]]:
    """A row a step, each with the values of `COLUMNS` in their order."""
    own = _of_trajectory(record)
    rows = (own | _of_step(step) for step in record.steps)
    return [tuple(row[column.name] for column in COLUMNS) for row in rows]


def _of_trajectory(record: Record) -> dict[str, Value]:
    episode, world, grade, encoded = record.episode, record.world, record.grade, encode_members(record)
    return {
        "episode_id": episode.episode_id, "generation": world.generation, "cursor": record.cursor,
        "environment": episode.environment, "task_set": episode.task_set, "task": episode.task, "seed": world.seed,
        "options": encoded["options"], "limits": encoded["limits"], "image": episode.image, "state": episode.state,
        "reason": record.reason, "created_at": episode.created_at, "generation_begun_at": world.begun_at,
        "closed_at": episode.closed_at, "group_id": episode.group_id, "origin": world.origin,
        "lineage": encoded["lineage"], "episode_metadata": encoded["metadata"],
        "first_observation": encoded["observation"], "episode_info": encoded["info"],
        "complete": record.complete, "episode_reward": record.reward, "episode_terminated": record.terminated,
        "episode_truncated": record.truncated, "episode_trainable": record.trainable,
        "grade_reward": grade.reward if grade else None,
        "grade_components": to_json(grade.components, inf_nan_mode="null") if grade else None,
        "grade_trainable": grade.trainable if grade else None,
        "grade_forgeable": grade.forgeable if grade else None,
    }  # fmt: skip


def _of_step(step: StepRow) -> dict[str, Value]:
    result = from_json(step.result or b"{}")
    info = result["info"]
    return {
        "step_episode_id": step.episode_id, "step_generation": step.generation, "step_index": step.step_index,
        "action": step.action, "timeout_s": step.timeout_s, "observation": to_json(result["observation"]),
        "reward": result["reward"], "terminated": result["terminated"], "truncated": result["truncated"],
        "outcome": info["outcome"], "trainable": info["trainable"], "duration_ms": info["duration_ms"],
        "cpu_ms": info["cpu_ms"], "peak_memory_bytes": info["peak_memory_bytes"], "info": to_json(info),
        "metadata": step.metadata, "begun_at": step.begun_at, "finished_at": step.finished_at,
    }  # fmt: skip
