"""A step that failed may have failed for want of room: only then is the sandbox asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from environments.code.actions import WORKSPACE
from envserver.runtimes.base import Sandbox
from envserver_sdk.models import Outcome

WRITABLE = (WORKSPACE, "/tmp", "/dev/shm")


async def checked_for_room(sandbox: Sandbox, observation: Mapping[str, Any], outcome: Outcome) -> Outcome:
    """`disk_full` for what failed while a disk is full, else the outcome as it was. Raises: SandboxGoneError."""
    if outcome is Outcome.OK and _failed(observation) and not await sandbox.has_room(WRITABLE):
        return Outcome.DISK_FULL
    return outcome


def _failed(observation: Mapping[str, Any]) -> bool:
    return bool(
        observation.get("error")
        or observation.get("stderr")
        or observation.get("exit_code")
        or observation.get("signal")
    )
