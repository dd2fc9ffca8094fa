"""What is asked of a sandbox and what is known of one, in memory and in files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envserver.launcher import bundle
from envserver.launcher.deadlines import Deadline
from envserver.launcher.processes import started_ticks


class UnknownSandboxError(Exception):
    """There is no such sandbox, or it has ended."""


class SandboxPausedError(Exception):
    """It has to be resumed first."""


@dataclass(frozen=True)
class SandboxRequest:
    """What the server may choose of a sandbox; checked in `requests.py`."""

    image: str
    limits: bundle.BundleLimits
    disk_bytes: int
    labels: dict[str, str]
    ttl_s: float


@dataclass(frozen=True)
class SandboxRecord:
    """What a restarted launcher finds a sandbox by."""

    sandbox_id: str
    image: str
    agent: str
    range_index: int
    cgroup: str
    pid: int
    started_ticks: int
    """Start time of `pid` in /proc/<pid>/stat: tells it from a later process of the same number."""
    created_at: float
    deadline: Deadline
    limits: bundle.BundleLimits
    disk_bytes: int
    labels: dict[str, str]
    paused: bool = False

    def as_json(self) -> str:
        return json.dumps({**asdict(self), "deadline": str(self.deadline)})

    @classmethod
    def from_json(cls, text: str) -> SandboxRecord:
        fields: dict[str, Any] = json.loads(text)
        fields["deadline"] = Deadline.parse(str(fields["deadline"]))
        fields["limits"] = bundle.BundleLimits(**fields["limits"])
        return cls(**fields)


def is_running(record: SandboxRecord) -> bool:
    try:
        return started_ticks(record.pid) == record.started_ticks
    except (FileNotFoundError, ProcessLookupError):
        return False


def write_whole(path: Path, text: str, *, durable: bool = False) -> None:
    """All of it or nothing: a launcher that is killed meanwhile leaves no half of a record.

    A `durable` one is on disk afterwards, with its name.
    """
    partial = path.with_suffix(".partial")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    partial.rename(path)
    if durable:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """fsync(2) of a directory: of the names in it, not of what they name."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
