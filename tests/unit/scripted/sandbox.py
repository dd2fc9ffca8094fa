"""A sandbox whose files are a dictionary, and what is inside of it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from envserver.runtimes.base import (
    CallForgottenError,
    Command,
    CommandResult,
    FileEntry,
    OutputLimits,
    OutputListener,
    Sandbox,
    SandboxError,
    SandboxFileError,
    SandboxGoneError,
    SandboxSpec,
    SandboxState,
    Session,
    Usage,
)

if TYPE_CHECKING:
    from tests.unit.scripted.runtime import ScriptedRuntime


class Guest:
    """What is inside: it outlives servers, and is copied by a checkpoint of processes."""

    def __init__(self) -> None:
        self.settled = self.greatest = 0
        self.results: dict[tuple[int, int], asyncio.Future[Any]] = {}
        self.value: Any = None
        """What the policy's processes hold."""
        self.ran: Counter[tuple[int, int]] = Counter()

    async def once(self, name: tuple[int, int], work: Callable[[], Awaitable[Any]]) -> Any:
        if name[0] <= self.settled:
            raise CallForgottenError(f"call {name} is forgotten")
        self.greatest = max(self.greatest, name[0])
        if name not in self.results:
            self.ran[name] += 1
            self.results[name] = asyncio.ensure_future(work())
        return await asyncio.shield(self.results[name])

    def end(self) -> None:
        for running in self.results.values():
            running.cancel()

    def copy(self) -> Guest:
        made = Guest()
        made.settled, made.greatest, made.value = self.settled, self.greatest, copy.deepcopy(self.value)
        return made


class ScriptedSandbox(Sandbox):
    """Files are a dictionary; counters are set by the environment's actions."""

    def __init__(self, runtime: ScriptedRuntime, sandbox_id: str, spec: SandboxSpec) -> None:
        self.sandbox_id = sandbox_id
        self.spec = spec
        self.created_at = time.time()
        self.files: dict[str, bytes] = {}
        self.counted = Usage(cpu_s=0.0, memory_bytes=1000, memory_peak_bytes=2000, oom_kills=0, pids_denied=0)
        self.dead = False
        self.stopped = False
        self.state = SandboxState.RUNNING
        self._runtime = runtime
        self.guest = Guest()
        self._reserved = self._settled = 0
        self._made: ContextVar[list[int] | None] = ContextVar("made", default=None)

    def reserve_series(self) -> int:
        self._reserved = max(self._reserved, self.guest.greatest) + 1
        return self._reserved

    @contextlib.contextmanager
    def series(self, number: int) -> Iterator[None]:
        self._reserved = max(self._reserved, number)
        token = self._made.set([number, 0])
        try:
            yield
        finally:
            self._made.reset(token)

    def settle_series(self, number: int) -> None:
        self._settled = max(self._settled, number)

    def tell(self) -> None:
        """With each call the guest hears what is settled, and not before."""
        self.guest.settled = max(self.guest.settled, self._settled)

    @property
    def settled_series(self) -> int:
        return max(self._settled, self.guest.settled)

    async def once(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """A call to the guest: it runs, unless one of its name has run or runs. It outlives its caller."""
        self._check()
        made = self._made.get()
        if made is None:
            return await work()
        made[1] += 1
        return await self.guest.once((made[0], made[1]), work)

    def attach_session(self, name: str) -> Session:
        raise SandboxError("a scripted sandbox has no programs")

    def _check(self) -> None:
        if self.dead or self.sandbox_id not in self._runtime.sandboxes:
            raise SandboxGoneError(f"{self.sandbox_id} has ended")
        assert self.state is SandboxState.RUNNING, "called while it stands still"
        self.tell()

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
        raise SandboxError("a scripted sandbox has no programs")

    async def open_session(self, name: str, command: Command, *, feed: bytes = b"", pty: bool = False) -> Session:
        raise SandboxError("a scripted sandbox has no programs")

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644, user: int = 1000) -> None:
        self._check()
        self._runtime.counts["write_file"] += 1
        self.files[path] = data

    async def read_file(self, path: str, *, max_bytes: int = 1 << 24, user: int = 1000) -> bytes:
        self._check()
        if path not in self.files:
            raise SandboxFileError("not_found", path)
        if len(self.files[path]) > max_bytes:
            raise SandboxFileError("too_large", path)
        return self.files[path]

    async def list_files(
        self, path: str, *, max_entries: int = 10_000, max_depth: int = 16, user: int = 1000
    ) -> tuple[list[FileEntry], bool]:
        self._check()
        return [FileEntry(name, "file", len(data), 0o644) for name, data in sorted(self.files.items())], False

    async def has_room(self, paths: Sequence[str], size_bytes: int = 0) -> bool:
        self._check()
        return True

    async def stop_processes(self) -> int:
        self._check()
        self.stopped = True
        return 0

    def usage(self) -> Usage:
        if self.sandbox_id not in self._runtime.sandboxes:
            raise SandboxGoneError(f"{self.sandbox_id} has ended")
        return self.counted

    def mark_usage(self) -> None:
        self._check()

    @property
    def gone(self) -> bool:
        return self.dead or self.sandbox_id not in self._runtime.sandboxes

    async def destroy(self) -> None:
        await self._runtime.destroy(self.sandbox_id)
