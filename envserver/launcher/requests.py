"""What the launcher takes from a caller: numbers within bounds, bounded texts, ids that it gave out itself.

Each function returns the value that it was given, or raises RequestError with the field's name.
"""

from __future__ import annotations

import re
from typing import Any

from envserver.launcher import bundle, protocol
from envserver.launcher.records import SandboxRequest

_IDENTIFIER = re.compile(r"[0-9a-f]{16}")


class RequestError(Exception):
    """A refused request: a code of `protocol` and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def number(value: Any, name: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RequestError(protocol.ERROR_REQUEST, f"{name} is {value!r}, must be a number from {low} to {high}")
    return value


def text(value: Any, name: str, limit: int = 512) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise RequestError(protocol.ERROR_REQUEST, f"{name} must be a string of 1 to {limit} characters")
    return value


def identifier(value: Any, name: str) -> str:
    """An id that the launcher has given out. It becomes part of paths: nothing else may pass."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise RequestError(protocol.ERROR_REQUEST, f"{name} must be 16 hexadecimal digits")
    return value


def runtime(fields: dict[str, Any]) -> str:
    """Which of the launcher's two a request is about; crun where it does not say."""
    name = fields.get("runtime", "crun")
    if name not in ("crun", "docker"):
        raise RequestError(protocol.ERROR_REQUEST, f"runtime is {name!r}, must be 'crun' or 'docker'")
    return str(name)


def kind(fields: dict[str, Any]) -> str:
    """What of a sandbox is to be saved."""
    name = fields.get("kind", "process")
    if name not in ("process", "filesystem"):
        raise RequestError(protocol.ERROR_REQUEST, f"kind is {name!r}, must be 'process' or 'filesystem'")
    return str(name)


def labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > 32:
        raise RequestError(protocol.ERROR_REQUEST, "labels must be an object of at most 32 strings")
    return {text(k, "label"): v if v == "" else text(v, f"label {k}") for k, v in value.items()}


def ttl_s(fields: dict[str, Any]) -> float:
    return number(fields.get("ttl_s"), "ttl_s", 1, 30 * 24 * 3600)


def sandbox_request(fields: dict[str, Any]) -> SandboxRequest:
    limits = fields.get("limits")
    if not isinstance(limits, dict):
        raise RequestError(protocol.ERROR_REQUEST, "limits must be an object")
    memory = int(number(limits.get("memory_bytes"), "memory_bytes", 32 << 20, 1 << 40))
    return SandboxRequest(
        image=text(fields.get("image"), "image"),
        limits=bundle.BundleLimits(
            memory_bytes=memory,
            cpus=number(limits.get("cpus"), "cpus", 0.05, 256),
            pids=int(number(limits.get("pids"), "pids", 8, 32768)),
            shm_bytes=int(number(limits.get("shm_bytes"), "shm_bytes", 64 << 10, memory * 2 // 5)),
            nofile=int(number(limits.get("nofile"), "nofile", 32, 65536)),
        ),
        disk_bytes=int(number(limits.get("disk_bytes"), "disk_bytes", 8 << 20, 1 << 40)),
        labels=labels(fields.get("labels", {})),
        ttl_s=ttl_s(fields),
    )
