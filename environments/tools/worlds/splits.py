"""Splits of data that has none: decided by the task's id alone, and as they are for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

SPLITS = ("all", "train", "test")


def members(task_ids: Iterable[str], split: str) -> list[str]:
    """Those of a split, in order. Raises: KeyError for an unknown split."""
    if split not in SPLITS:
        raise KeyError(split)
    return [task_id for task_id in task_ids if split in ("all", split_of(task_id))]


def split_of(task_id: str) -> str:
    """`test` if the SHA-256 of the id begins with a byte that five divides, else `train`."""
    return "train" if hashlib.sha256(task_id.encode()).digest()[0] % 5 else "test"
