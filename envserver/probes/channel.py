"""The way between server and sandbox: files that lie in wait, sessions and agents that lie, output without end."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import msgpack

from envserver.guest.connection import MAX_FRAME_BYTES, GuestConnection, GuestGoneError
from envserver.guest.series import LOOSE
from envserver.probes.stage import SMALL, Stage
from envserver.runtimes.base import KIB, MIB, Command, Ending, OutputLimits, Sandbox, SandboxFileError

_BOUND_S = 10.0
_HELLO = {"version": "1", "boot_id": "b", "sessions": [], "acknowledged": 0, "running": [], "kept": []}
_ANSWERS = b'read -r n <&3; head -c "$n" <&3 >/dev/null; '


async def _shell(box: Sandbox, script: str, user: int) -> None:
    await box.run(Command(["sh", "-c", script], user=user), timeout_s=_BOUND_S)


async def _alive(box: Sandbox, outcome: str) -> str:
    """The outcome, unless the sandbox no longer serves."""
    result = await box.run(Command(["echo", "alive"]), timeout_s=_BOUND_S)
    return outcome if result.stdout.data == b"alive\n" else "the sandbox no longer serves"


# --- files ------------------------------------------------------------------------------------------------

_PLANTS = {
    "a_link": "ln -s /etc/shadow planted",
    "a_link_above": "ln -s /etc up",
    "a_link_through_proc": "ln -s /proc/self/root/etc/shadow planted",
    "a_link_to_itself": "ln -s planted planted",
    "a_pipe": "mkfifo planted",
    "a_socket": "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"planted\")'",
    "a_directory": "mkdir planted",
    "a_sparse_file": "truncate -s 50G planted",
}


def _read(plant: str) -> Callable[[Stage], Awaitable[str]]:
    async def probe(stage: Stage) -> str:
        box, _ = await stage.pair()
        await _shell(box, f"rm -rf planted up; {_PLANTS[plant]}", stage.user)
        path = "/workspace/up/shadow" if plant == "a_link_above" else "/workspace/planted"
        return await _alive(box, await _reading(box, path))

    return probe


async def _reading(box: Sandbox, path: str) -> str:
    began = time.monotonic()
    try:
        data = await box.read_file(path, max_bytes=MIB)
    except SandboxFileError as error:
        return error.code if time.monotonic() - began < _BOUND_S else "refused late"
    return f"read {len(data)} bytes"


def _read_path(path: str) -> Callable[[Stage], Awaitable[str]]:
    async def probe(stage: Stage) -> str:
        box, _ = await stage.pair()
        said = await _reading(box, path)
        return await _alive(box, said if said.startswith("read ") else "refused")

    return probe


async def _write_through_a_link(stage: Stage) -> str:
    box, _ = await stage.pair()
    await _shell(box, "rm -rf planted; echo kept > target; ln -s target planted", stage.user)
    try:
        await box.write_file("/workspace/planted", b"overwritten")
    except SandboxFileError as error:
        return error.code
    return "written"


async def _list_a_deep_tree(stage: Stage) -> str:
    box, _ = await stage.pair()
    script = "import os\nd = 'deep'\nfor _ in range(90): os.mkdir(d); d += '/' + 'd' * 30"
    await box.run(Command(["python3", "-c", script], user=stage.user), timeout_s=_BOUND_S)
    entries, _ = await box.list_files("/workspace/deep", max_depth=10)
    return "bounded" if max(entry.path.count("/") for entry in entries) <= 10 else "deeper than asked for"


async def _list_many_files(stage: Stage) -> str:
    box, _ = await stage.pair()
    script = "import os\nos.mkdir('many')\nfor n in range(5000): open(f'many/{n:0250}', 'w').close()"
    await box.run(Command(["python3", "-c", script], user=stage.user), timeout_s=_BOUND_S)
    entries, truncated = await box.list_files("/workspace/many", max_entries=1000)
    await _shell(box, "rm -rf many deep", stage.user)
    return "bounded" if (len(entries), truncated) == (1000, True) else f"{len(entries)} entries"


# --- programs and sessions ----------------------------------------------------------------------------------


async def _flood_output(stage: Stage) -> str:
    box, _ = await stage.pair()
    limits = OutputLimits(keep_bytes=4 * KIB, stop_bytes=4 * MIB)
    result = await box.run(Command(["yes"], user=stage.user), timeout_s=_BOUND_S, output=limits)
    kept = len(result.stdout.head) + len(result.stdout.tail)
    if result.ending is not Ending.OVERFLOW or kept > limits.keep_bytes:
        return f"{result.ending}, {kept} bytes kept"
    return await _alive(box, "stopped")


async def _kill_everything(stage: Stage) -> str:
    box, _ = await stage.pair()
    await box.run(Command(["sh", "-c", "kill -STOP -1; kill -9 -1"], user=stage.user), timeout_s=1, grace_s=0.2)
    return await _alive(box, "survived")


async def _outlive_a_step(stage: Stage) -> str:
    """With a process that leaves session, group and parent behind."""
    box, _ = await stage.pair()
    script = "setsid sh -c 'setsid sleep 4321 >/dev/null 2>&1 &' </dev/null >/dev/null 2>&1; exit 0"
    await _shell(box, script, stage.user)
    left = await box.run(Command(["sh", "-c", "pgrep -f 'sleep 43[2]1' | wc -l"]), timeout_s=_BOUND_S)
    return left.stdout.text.strip()


def _lie(answer: str) -> Callable[[Stage], Awaitable[str]]:
    async def probe(stage: Stage) -> str:
        box, _ = await stage.pair()
        script = _ANSWERS.decode() + answer
        session = await box.open_session("liar", Command(["sh", "-c", script], user=stage.user))
        result = await session.call(b"x", timeout_s=2, grace_s=0.2)
        await session.close()
        return await _alive(box, result.ending.value)

    return probe


async def _burn_processor(stage: Stage) -> str:
    """Four busy processes; what they got is the kernel's count."""
    seconds, cpus = 1.5, 0.2
    async with stage.sandbox(replace(SMALL, cpus=cpus)) as box:
        before = box.usage().cpu_s
        script = "for i in 1 2 3 4; do (while :; do :; done) & done; wait"
        began = time.monotonic()
        await box.run(Command(["sh", "-c", script], user=stage.user), timeout_s=seconds, grace_s=0.1)
        spent, passed = box.usage().cpu_s - before, time.monotonic() - began
    return "bounded" if spent <= cpus * (passed + 0.3) else f"{spent:.1f} s in {passed:.1f} s"


# --- an agent that lies -------------------------------------------------------------------------------------


def _frame(message: object) -> bytes:
    body: bytes = message if isinstance(message, bytes) else msgpack.packb(message)
    return struct.pack(">I", len(body)) + body


_GREETING = _frame({"hello": _HELLO})
_SENT: dict[str, tuple[bytes, bytes]] = {
    "nothing_and_hang_up": (b"", b""),
    "an_endless_frame": (struct.pack(">I", MAX_FRAME_BYTES + 1), b""),
    "an_empty_frame": (b"\0\0\0\0", b""),
    "no_message_pack": (_frame(b"\xc1"), b""),
    "a_deep_nesting": (_frame(b"\x91" * 100_000 + b"\xc0"), b""),
    "another_protocol": (b"HTTP/1.1 200 OK\r\n\r\n", b""),
    "a_greeting_of_lies": (_frame({"hello": {**_HELLO, "running": [2**63]}}), b""),
    "a_second_greeting": (_GREETING, _GREETING),
    "an_answer_to_nobody": (_GREETING, _frame({"id": -1, "ok": {}})),
    "an_answer_of_another_type": (_GREETING, _frame({"id": LOOSE, "ok": [1]})),
    "output_without_end": (
        _GREETING,
        _frame({"id": LOOSE, "event": "output", "stream": "stdout", "data": b"x" * 900_000}) * 4,
    ),
}
"""What is sent at once, and what once a request has come."""


def _send(name: str) -> Callable[[Stage], Awaitable[str]]:
    """A fake agent greets or not, says something odd, and never more."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        before, after = _SENT[name]
        with contextlib.suppress(ConnectionError):
            writer.write(before)
            if after:
                await reader.read(1)  # a request is under way
                writer.write(after)
            if before:
                await reader.read()
        writer.transport.abort()

    async def probe(_stage: Stage) -> str:
        with tempfile.TemporaryDirectory(prefix="envserver-") as directory:
            path = Path(directory) / "agent.sock"
            server = await asyncio.start_unix_server(play, path)
            try:
                async with asyncio.timeout(_BOUND_S):
                    return await _asked(path)
            finally:
                server.close()

    return probe


async def _asked(path: Path) -> str:
    try:
        connection = await GuestConnection.dial(path, timeout_s=2)
        try:
            await connection.request("run", {}, timeout_s=2, event_bytes=1000)
        finally:
            connection.close()
    except asyncio.CancelledError:  # by nobody of ours: what an agent does must not look so
        return "cancelled the server's own task"
    except GuestGoneError as error:
        return type(error).__name__.removesuffix("Error")
    return "believed"


PROBES: dict[str, Callable[[Stage], Awaitable[str]]] = {
    **{f"offer_{plant}": _read(plant) for plant in _PLANTS},
    "read_an_endless_device": _read_path("/dev/zero"),
    "read_the_agents_memory": _read_path("/proc/1/mem"),
    "read_the_password_file": _read_path("/etc/shadow"),
    "read_by_a_climbing_path": _read_path("/workspace/../etc/hostname"),
    "write_through_a_link": _write_through_a_link,
    "list_a_deep_tree": _list_a_deep_tree,
    "list_many_files": _list_many_files,
    "flood_output": _flood_output,
    "kill_everything": _kill_everything,
    "outlive_a_step": _outlive_a_step,
    "answer_without_a_length": _lie("echo x >&4; sleep 1000"),
    "answer_with_a_giant_length": _lie("echo 99999999999 >&4; sleep 1000"),
    "answer_never": _lie("sleep 1000"),
    "burn_processor": _burn_processor,
    **{f"send_{name}": _send(name) for name in _SENT},
}
