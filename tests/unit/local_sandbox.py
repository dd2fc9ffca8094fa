"""A `Sandbox` without a container: plain subprocesses in a directory of their own, for trusted test inputs only.

It lets guest drivers and graders be tested in seconds and without privileges. Absolute paths below
/workspace, /tmp and /dev/shm are moved below `root` wherever they occur in arguments, environment, messages
and programs, so that scripts written for a sandbox run unchanged. It contains nothing: a time-out kills the process
group and no more.

What a guest agent remembers is in `LocalGuest`. A second LocalSandbox over the same one is what the next server has
after the first was killed: sessions live, and a series that is begun again finds its calls' results, or attaches to
the one that runs (whose output then is not streamed to the newcomer).

LOCAL_SANDBOX_PYTHON names another interpreter for what runs inside, to try the drivers on another version.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import stat
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from envserver.guest.series import Series
from envserver.runtimes.base import (
    MIB,
    USER_UID,
    CallForgottenError,
    Command,
    CommandNotStartedError,
    CommandResult,
    FileEntry,
    OutputLimits,
    OutputListener,
    Sandbox,
    SandboxError,
    SandboxFileError,
    SandboxGoneError,
    SandboxSpec,
    Session,
    Usage,
)
from tests.unit.local_programs import LiveProgram, Window, feed_stdin

_MOVED = re.compile(rb"(?<![\w.\-/])/(workspace|tmp|dev/shm)\b")

T = TypeVar("T")

for _ in range(5):  # descriptors 3 and 4 must be taken, so that subprocess's own pipes never land there
    os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


class LocalGuest:
    """What is in the sandbox and outlives servers: live sessions, and the calls of series that are not settled."""

    def __init__(self) -> None:
        self.sessions: dict[str, LiveProgram] = {}
        self.calls: dict[int, asyncio.Task[Any]] = {}
        self.acknowledged = 0

    async def once(self, call_id: int, ack: int, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The rules of docs/guest-protocol.md."""
        if ack > self.acknowledged:
            self.acknowledged = ack
            self.calls = {number: task for number, task in self.calls.items() if number > ack}
        if call_id not in self.calls:
            if call_id <= self.acknowledged:
                raise CallForgottenError(f"call {call_id} belongs to a settled series")
            self.calls[call_id] = asyncio.create_task(call())
        task: asyncio.Task[T] = self.calls[call_id]
        return await asyncio.shield(task)


class LocalSandbox(Sandbox):
    """One directory. `python` is what `python3` means inside; `guest` another LocalSandbox's, to go on with it."""

    def __init__(
        self,
        root: Path,
        spec: SandboxSpec | None = None,
        python: str | None = None,
        guest: LocalGuest | None = None,
    ) -> None:
        self.root = root
        self.guest = guest or LocalGuest()
        self.sandbox_id = root.name
        self.spec = spec or SandboxSpec(image="local")
        self.room = True
        self.destroyed = False
        self._python = (
            python or os.environ.get("LOCAL_SANDBOX_PYTHON") or str(getattr(sys, "_base_executable", sys.executable))
        )
        self._series = Series()
        self._series.learn(self.guest.acknowledged, self.guest.calls)
        for name in ("workspace", "tmp", "dev/shm", "home"):
            (root / name).mkdir(parents=True, exist_ok=True)

    def moved(self, data: bytes) -> bytes:
        return _MOVED.sub(os.fsencode(self.root) + rb"/\1", data)

    def _path(self, path: str) -> Path:
        return Path(self.moved(path.encode()).decode())

    async def _spawn(
        self, command: Command, channel: tuple[int, int] | None, *, stdin: bool = True
    ) -> asyncio.subprocess.Process:
        self._check()
        argv = [self._python if arg == "python3" and i == 0 else arg for i, arg in enumerate(command.argv)]
        env = {"PATH": f"{Path(self._python).parent}:/usr/bin:/bin", "HOME": str(self.root / "home"), "LANG": "C.UTF-8"}
        env |= {key: self.moved(value.encode()).decode() for key, value in command.env.items()}

        def attach() -> None:
            if channel:
                os.dup2(channel[0], 3)
                os.dup2(channel[1], 4)

        try:
            return await asyncio.create_subprocess_exec(
                *[arg if arg == self._python else self.moved(arg.encode()) for arg in argv],  # it may lie in /tmp
                cwd=self._path(command.cwd),
                env=env,
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                pass_fds=(3, 4) if channel else (),
                preexec_fn=attach,
            )
        except OSError as error:
            raise CommandNotStartedError(str(error)) from error

    def _check(self) -> None:
        if self.destroyed:
            raise SandboxGoneError("destroyed")

    async def once(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Every call of the contract comes through here."""
        call_id = self._series.next_id()
        if call_id is None:
            return await call()
        return await self.guest.once(call_id, self._series.acknowledgement, call)

    def reserve_series(self) -> int:
        return self._series.reserve()

    def series(self, number: int) -> AbstractContextManager[None]:
        return self._series.enter(number)

    def settle_series(self, number: int) -> None:
        self._series.settle(number)

    @property
    def settled_series(self) -> int:
        return self._series.settled

    async def run(
        self,
        command: Command,
        *,
        stdin: bytes = b"",
        timeout_s: float,
        grace_s: float = 0.5,
        output: OutputLimits = OutputLimits(),
        on_output: OutputListener | None = None,
    ) -> CommandResult:
        return await self.once(lambda: self._run(command, stdin, timeout_s, grace_s, output, on_output))

    async def _run(
        self,
        command: Command,
        stdin: bytes,
        timeout_s: float,
        grace_s: float,
        output: OutputLimits,
        on_output: OutputListener | None,
    ) -> CommandResult:
        process = await self._spawn(command, None)
        window = Window(process, output, on_output)
        feeder = asyncio.create_task(feed_stdin(process, stdin))
        ended = asyncio.create_task(process.wait())
        result = await window.finish({ended}, timeout_s, grace_s)
        feeder.cancel()
        return result

    async def open_session(self, name: str, command: Command, *, feed: bytes = b"", pty: bool = False) -> Session:
        await self.once(lambda: self._open(name, command, feed))
        return LocalSession(self, name)

    async def _open(self, name: str, command: Command, feed: bytes) -> None:
        if name in self.guest.sessions:
            raise SandboxError(f"session {name} exists")
        message_r, message_w = os.pipe()
        answer_r, answer_w = os.pipe()
        try:
            process = await self._spawn(command, (message_r, answer_w), stdin=bool(feed))
        except BaseException:
            os.close(message_w)
            os.close(answer_r)
            raise
        finally:
            os.close(message_r)
            os.close(answer_w)
        self.guest.sessions[name] = LiveProgram(process, feed, message_w, answer_r)

    def attach_session(self, name: str) -> Session:
        return LocalSession(self, name)

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644, user: int = USER_UID) -> None:
        await self.once(lambda: self._write_file(path, data, mode))

    async def _write_file(self, path: str, data: bytes, mode: int) -> None:
        target = self._path(path)
        if target.is_symlink():
            raise SandboxFileError("is_link", path)
        if target.is_dir():
            raise SandboxFileError("not_a_file", path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            target.chmod(mode)
        except OSError as error:
            raise SandboxFileError("io", path, str(error)) from error

    async def read_file(self, path: str, *, max_bytes: int = 16 * MIB, user: int = USER_UID) -> bytes:
        return await self.once(lambda: self._read_file(path, max_bytes))

    async def _read_file(self, path: str, max_bytes: int) -> bytes:
        target = self._path(path)
        if target.is_symlink():
            raise SandboxFileError("is_link", path)
        if not target.exists():
            raise SandboxFileError("not_found", path)
        if not target.is_file():
            raise SandboxFileError("not_a_file", path)
        data = target.read_bytes()
        if len(data) > max_bytes:
            raise SandboxFileError("too_large", path)
        return data

    async def list_files(
        self, path: str, *, max_entries: int = 10_000, max_depth: int = 16, user: int = USER_UID
    ) -> tuple[list[FileEntry], bool]:
        return await self.once(lambda: self._list_files(path, max_entries))

    async def _list_files(self, path: str, max_entries: int) -> tuple[list[FileEntry], bool]:
        top = self._path(path)
        entries = []
        for item in sorted(top.rglob("*")):
            info = item.lstat()
            kind = "link" if stat.S_ISLNK(info.st_mode) else "dir" if item.is_dir() else "file"
            entries.append(FileEntry(str(item.relative_to(top)), kind, info.st_size, stat.S_IMODE(info.st_mode)))
        return entries[:max_entries], len(entries) > max_entries

    async def has_room(self, paths: Sequence[str], size_bytes: int = 128 * 1024) -> bool:
        async def look() -> bool:
            return self.room

        return await self.once(look)

    async def stop_processes(self) -> int:
        return await self.once(self._stop_processes)

    async def _stop_processes(self) -> int:
        names = list(self.guest.sessions)
        for name in names:
            await self.end(name)
        return len(names)

    def usage(self) -> Usage:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        live = sum(session.cpu_s() for session in self.guest.sessions.values())
        return Usage(spent.ru_utime + spent.ru_stime + live, 0, 0, 0, 0)

    def mark_usage(self) -> None:
        """Nothing to mark: no peak is counted."""

    @property
    def gone(self) -> bool:
        return self.destroyed

    async def destroy(self) -> None:
        await self._stop_processes()
        self.destroyed = True
        shutil.rmtree(self.root, ignore_errors=True)

    async def end(self, name: str) -> None:
        """A session's end, if there is one of that name."""
        if name in self.guest.sessions:
            await self.guest.sessions.pop(name).close()

    async def call(
        self,
        name: str,
        message: bytes,
        timeout_s: float,
        grace_s: float,
        output: OutputLimits,
        on_output: OutputListener | None,
    ) -> CommandResult:
        program = self.guest.sessions.get(name)
        if program is None or program.process.returncode is not None:
            await self.end(name)
            raise SandboxError(f"session {name} is not open")
        result = await program.call(self.moved(message), timeout_s, grace_s, output, on_output)
        if not result.alive:
            await self.end(name)
        return result


class LocalSession(Session):
    """A session by name; the guest holds its state."""

    def __init__(self, sandbox: LocalSandbox, name: str) -> None:
        self.name = name
        self._sandbox = sandbox

    async def call(
        self,
        message: bytes,
        *,
        timeout_s: float,
        grace_s: float = 0.5,
        output: OutputLimits = OutputLimits(),
        on_output: OutputListener | None = None,
    ) -> CommandResult:
        sandbox = self._sandbox
        return await sandbox.once(lambda: sandbox.call(self.name, message, timeout_s, grace_s, output, on_output))

    async def close(self) -> None:
        await self._sandbox.once(lambda: self._sandbox.end(self.name))
