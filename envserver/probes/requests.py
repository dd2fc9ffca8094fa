"""The launcher's socket: requests that it must refuse, frames that must not harm it, peers that it must not serve."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import platform
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from envserver.launcher import protocol
from envserver.launcher.client import LauncherRefusedError
from envserver.launcher.protocol import MAX_FRAME_BYTES, SOCKET_NAME
from envserver.probes.stage import TTL_S, NotApplicableError, Stage

_NOBODY = 65_534
_SETRESGID, _SETRESUID = {"x86_64": (119, 117), "aarch64": (149, 147)}[platform.machine()]
"""By their numbers, since libc's own functions change every thread."""
_LIMITS = {
    "memory_bytes": 64 << 20,
    "cpus": 0.5,
    "pids": 32,
    "disk_bytes": 16 << 20,
    "shm_bytes": 1 << 20,
    "nofile": 64,
}
_TIMEOUT_S = 5.0


def _create(**changes: Any) -> dict[str, Any]:
    """A request that would be granted, but for the changes."""
    return {"op": "create", "image": "busybox", "limits": _LIMITS, "labels": {}, "ttl_s": TTL_S, **changes}


def _limit(**changes: Any) -> dict[str, Any]:
    return _create(limits={**_LIMITS, **changes})


_REFUSED: dict[str, dict[str, Any]] = {
    "ask_for_an_unknown_operation": {"op": "exec", "command": "id"},
    "restore_from_a_path": {"op": "restore", "checkpoint_id": "../../../etc", "labels": {}, "ttl_s": 1},
    "destroy_a_checkpoint_by_path": {"op": "destroy_checkpoint", "checkpoint_id": "../layers"},
    "checkpoint_a_path": {"op": "checkpoint", "sandbox_id": "../..", "kind": "process", "labels": {}},
    "adopt_a_path": {"op": "adopt", "sandbox_id": "../..", "labels": {}, "ttl_s": 1},
    "pause_a_path": {"op": "pause", "sandbox_id": "../.."},
    "resume_a_path": {"op": "resume", "sandbox_id": "../.."},
    "hibernate_a_path": {"op": "hibernate", "sandbox_id": "../.."},
    "claim_a_path": {"op": "claim", "sandbox_id": "../..", "image": "busybox", "labels": {}, "ttl_s": 1},
    "create_from_a_path": _create(image="../../../etc"),
    "create_on_another_runtime": _create(runtime="/bin/sh"),
    "create_without_end": _create(ttl_s=1e12),
    "create_with_negative_memory": _limit(memory_bytes=-1),
    "create_with_no_number": _limit(cpus=float("nan")),
    "create_with_shared_memory_beyond_memory": _limit(shm_bytes=64 << 20),
    "create_with_limits_of_another_type": _create(limits=[1]),
    "create_with_labels_without_end": _create(labels={str(n): "x" for n in range(33)}),
}


def _refused(name: str) -> Callable[[Stage], Awaitable[str]]:
    async def probe(stage: Stage) -> str:
        request = dict(_REFUSED[name])
        try:
            answer = await stage.ask_launcher(request.pop("op"), **request)
        except LauncherRefusedError as error:
            return error.code
        if sandbox_id := answer.get("sandbox_id"):
            await stage.runtime.destroy(str(sandbox_id))
        return "granted"

    return probe


async def _destroy_by_path(stage: Stage) -> str:
    answer = await stage.ask_launcher("destroy", sandbox_id="../..")
    return "destroyed" if answer["destroyed"] else "nothing destroyed"


_FRAMES: dict[str, bytes] = {
    "a_giant_length": struct.pack(">I", MAX_FRAME_BYTES + 1) + b"x",
    "no_json": struct.pack(">I", 4) + b"\xff\xfe\xfd\xfc",
    "no_object": struct.pack(">I", 2) + b"[]",
    "a_deep_nesting": struct.pack(">I", 200_000) + b"[" * 200_000,
    "half_a_frame": struct.pack(">I", 1000) + b"{",
}


def _framed(name: str) -> Callable[[Stage], Awaitable[str]]:
    async def probe(stage: Stage) -> str:
        path = stage.launcher_directory() / SOCKET_NAME
        said = await asyncio.to_thread(_hear, str(path), _FRAMES[name])
        await stage.ask_launcher("health")
        return said

    return probe


def _hear(path: str, sent: bytes) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT_S)
        client.connect(path)
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            return "answered" if client.recv(1) else "hung up"
        except (BrokenPipeError, ConnectionResetError):
            return "hung up"
        except TimeoutError:
            return "no answer in time"


async def _ask_as(stage: Stage, name: str) -> str:
    """From a thread of its own, which alone becomes another uid: the kernel keeps credentials by thread."""
    path = stage.launcher_directory() / name
    if os.geteuid() != 0:
        raise NotApplicableError("only root can become another uid")
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(_hear_as_nobody(str(path))))
    thread.start()
    await asyncio.to_thread(thread.join)
    return said[0]


def _hear_as_nobody(path: str) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    for number in (_SETRESGID, _SETRESUID):
        if libc.syscall(number, _NOBODY, _NOBODY, _NOBODY) != 0:
            return errno.errorcode[ctypes.get_errno()]
    try:
        return _hear(path, protocol.encode({"op": "health"}))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))


async def _ask_as_nobody(stage: Stage) -> str:
    return await _ask_as(stage, SOCKET_NAME)


async def _dial_an_agent_as_nobody(stage: Stage) -> str:
    box, _ = await stage.pair()
    listed = (await stage.ask_launcher("list", runtime=stage.runtime.name))["sandboxes"]
    (path,) = (entry["socket"] for entry in listed if entry["sandbox_id"] == box.sandbox_id)
    return await _ask_as(stage, path)


PROBES: dict[str, Callable[[Stage], Awaitable[str]]] = {
    **{name: _refused(name) for name in _REFUSED},
    **{f"frame_{name}": _framed(name) for name in _FRAMES},
    "destroy_by_path": _destroy_by_path,
    "ask_the_launcher_as_nobody": _ask_as_nobody,
    "dial_an_agent_as_nobody": _dial_an_agent_as_nobody,
}
