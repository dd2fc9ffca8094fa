"""Rows for tests: every member has a value of its own, so that a member that is mixed up shows."""

from __future__ import annotations

import dataclasses
from typing import Any

from envserver.episodes.journal.rows import CallRow, CheckpointRow, EpisodeRow, GenerationRow, GroupRow, StepRow

LARGE = b"large " * 20_000
"""Past what is kept inline."""


def episode(name: str = "ep_1", **changes: Any) -> EpisodeRow:
    row = EpisodeRow(
        episode_id=name,
        owner="ann",
        created_at=1000.5,
        environment="code",
        task_set="humaneval@1",
        task="HumanEval/0",
        plan=b'{"ttl_s": 60}',
        metadata=b'{"policy": 7}',
        call_key="ann/key",
    )
    return dataclasses.replace(row, **changes)


def generation(name: str = "ep_1", number: int = 1, **changes: Any) -> GenerationRow:
    row = GenerationRow(name, number, "create", 2**62, b"{}", 1000.75, call_key="ann/key")
    return dataclasses.replace(row, **changes)


def step(name: str = "ep_1", number: int = 1, index: int = 1, **changes: Any) -> StepRow:
    row = StepRow(
        episode_id=name,
        generation=number,
        step_index=index,
        action=b'{"type": "bash"}',
        fingerprint=bytes(range(16)),
        metadata=b"{}",
        timeout_s=12.5,
        series=3,
        usage=b'{"cpu_ms": 1}',
        begun_at=1001.25,
    )
    return dataclasses.replace(row, **changes)


def checkpoint(name: str = "cp_1", episode_id: str = "ep_1", **changes: Any) -> CheckpointRow:
    row = CheckpointRow(
        checkpoint_id=name,
        owner="ann",
        episode_id=episode_id,
        generation=1,
        step_index=2,
        kind="process",
        label="before the test",
        automatic=True,
        runtime_id="rt_1",
        created_at=1002.5,
        bytes=12345,
        pause_ms=80.5,
        state=b'{"reward": 0.5}',
        call_key="ann/other",
    )
    return dataclasses.replace(row, **changes)


def group(name: str = "gr_1", **changes: Any) -> GroupRow:
    return dataclasses.replace(GroupRow(name, "ann", 1000.0, 8, b'{"stragglers": 0}', call_key="ann/key"), **changes)


def call(key: str = "ann/key", **changes: Any) -> CallRow:
    return CallRow(key, b"print", 201, b'{"n": 1}', 1000.0)._replace(**changes)
