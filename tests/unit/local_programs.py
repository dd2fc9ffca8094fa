"""The processes of a `LocalSandbox`: what one call or run of them saw, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envserver.runtimes.base import CommandResult, Ending, Output, OutputLimits, OutputListener

_MAX_MESSAGE = 900_000


class LiveProgram:
    """A session's process and its channel."""

    def __init__(self, process: asyncio.subprocess.Process, feed: bytes, message_fd: int, answer_fd: int) -> None:
        self.process = process
        self._feed = feed
        self._message_fd = message_fd
        self._answer_fd = answer_fd
        fcntl.fcntl(message_fd, 1031, 1 << 20)  # F_SETPIPE_SZ: a whole message fits, so that writing never blocks
        os.set_blocking(answer_fd, False)

    async def call(
        self, message: bytes, timeout_s: float, grace_s: float, output: OutputLimits, on_output: OutputListener | None
    ) -> CommandResult:
        answer = asyncio.create_task(_answer(self._answer_fd))
        window = Window(self.process, output, on_output)
        os.write(self._message_fd, b"%d\n%s" % (len(message), message))
        if self._feed:
            await feed_stdin(self.process, self._feed, end=False)
        ended = asyncio.create_task(self.process.wait())
        return await window.finish({answer, ended}, timeout_s, grace_s, answer)

    def cpu_s(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def close(self) -> None:
        await kill(self.process)
        os.close(self._message_fd)
        os.close(self._answer_fd)
        if self.process.stdin:
            self.process.stdin.close()


@dataclass
class Window:
    """What one call or run saw: both streams, drained from its beginning to its end."""

    process: asyncio.subprocess.Process
    limits: OutputLimits
    on_output: OutputListener | None
    data: dict[str, bytearray] = field(default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()})
    overflow: asyncio.Event = field(default_factory=asyncio.Event)
    started: float = field(default_factory=time.monotonic)
    drains: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in self.data:
            self.drains.append(asyncio.create_task(self._drain(name)))

    async def _drain(self, name: str) -> None:
        stream = getattr(self.process, name)
        while chunk := await stream.read(65536):
            self.data[name] += chunk
            if self.on_output:
                self.on_output(name, chunk)
            if sum(map(len, self.data.values())) > self.limits.stop_bytes:
                self.overflow.set()

    async def finish(
        self,
        ends: set[asyncio.Task[Any]],
        timeout_s: float,
        grace_s: float,
        answer: asyncio.Task[bytes | None] | None = None,
    ) -> CommandResult:
        overflow = asyncio.create_task(self.overflow.wait())
        waited = {*ends, overflow}
        await asyncio.wait(waited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        ended = any(task.done() for task in ends)
        ending = Ending.OVERFLOW if overflow.done() else Ending.MESSAGE if answer else Ending.EXITED
        interrupted = False
        if not ended:
            ending = Ending.OVERFLOW if overflow.done() else Ending.TIMEOUT
            _signal(self.process, signal.SIGINT)
            await asyncio.wait(ends, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
            interrupted = bool(answer and answer.done() and answer.result() is not None)
        message = await self._message(answer)
        if message is None and ending is Ending.MESSAGE:
            await asyncio.wait({asyncio.create_task(self.process.wait())}, timeout=grace_s)
            ending = Ending.EXITED if self.process.returncode is not None else Ending.BAD_MESSAGE
        alive = message is not None and self.process.returncode is None
        if not alive:
            await kill(self.process)
        await self._settle(alive)
        for task in waited:
            task.cancel()
        await asyncio.gather(*waited, return_exceptions=True)
        return self._result(ending, message, interrupted, alive)

    async def _message(self, answer: asyncio.Task[bytes | None] | None) -> bytes | None:
        return answer.result() if answer and answer.done() else None

    async def _settle(self, alive: bool) -> None:
        """All output written before the end counts; a live process's pipes are read until they are empty."""
        if not alive:
            await asyncio.wait(self.drains, timeout=0.5)
        else:
            for _ in range(3):
                seen = sum(map(len, self.data.values()))
                await asyncio.sleep(0)
                while self._pending() or sum(map(len, self.data.values())) > seen:
                    seen = sum(map(len, self.data.values()))
                    await asyncio.sleep(0)
        for task in self.drains:
            task.cancel()
        await asyncio.gather(*self.drains, return_exceptions=True)

    def _pending(self) -> bool:
        for fd in (1, 2):
            transport = self.process._transport.get_pipe_transport(fd)  # type: ignore[attr-defined]
            pipe = transport and transport.get_extra_info("pipe")
            if not pipe or pipe.closed:
                continue
            buffer = bytearray(4)
            fcntl.ioctl(pipe.fileno(), 0x541B, buffer)  # FIONREAD
            if int.from_bytes(buffer, sys.byteorder):
                return True
        return False

    def _result(self, ending: Ending, message: bytes | None, interrupted: bool, alive: bool) -> CommandResult:
        code = self.process.returncode
        return CommandResult(
            ending=ending,
            stdout=self._output("stdout"),
            stderr=self._output("stderr"),
            duration_s=time.monotonic() - self.started,
            message=message,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            interrupted=interrupted,
            alive=alive,
        )

    def _output(self, name: str) -> Output:
        data, half = bytes(self.data[name]), self.limits.keep_bytes // 2
        if len(data) <= 2 * half:
            return Output(data, b"", len(data))
        return Output(data[:half], data[-half:], len(data))


async def feed_stdin(process: asyncio.subprocess.Process, data: bytes, *, end: bool = True) -> None:
    assert process.stdin
    try:
        process.stdin.write(data)
        await process.stdin.drain()
        if end:
            process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        pass


async def _answer(fd: int) -> bytes | None:
    """The next message on `fd`; None when it breaks the framing or ends."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    data = b""
    loop.add_reader(fd, ready.set)
    try:
        while True:
            await ready.wait()
            ready.clear()
            try:
                chunk = os.read(fd, 1 << 20)
            except BlockingIOError:
                continue
            data += chunk
            head, newline, body = data.partition(b"\n")
            if not chunk or (head and not head.isdigit()) or len(head) > 6:
                return None
            if newline and (int(head) > _MAX_MESSAGE or len(body) >= int(head)):
                return body if len(body) == int(head) else None
    finally:
        loop.remove_reader(fd)


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def kill(process: asyncio.subprocess.Process) -> None:
    _signal(process, signal.SIGKILL)
    await process.wait()
