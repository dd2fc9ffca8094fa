"""A sandbox on this node: driven through its guest agent, counted by the kernel, made and ended by the launcher."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from envserver.guest.connection import GuestConnection
from envserver.launcher.cgroups import UsageReader
from envserver.runtimes.base import (
    CheckpointError,
    Runtime,
    RuntimeUnavailableError,
    SandboxGoneError,
    SandboxSpec,
    Usage,
)
from envserver.runtimes.guest_sandbox import GuestSandbox


class NodeSandbox(GuestSandbox):
    """A sandbox whose kernel counters this process may read.

    While it is paused, or parted from its connection for a dump, requests wait: what stands still answers nobody, and
    silence is taken for death.
    """

    def __init__(
        self, runtime: Runtime, sandbox_id: str, spec: SandboxSpec, guest: GuestConnection, usage: UsageReader
    ) -> None:
        super().__init__(sandbox_id, spec, guest)
        self._runtime = runtime
        self._usage = usage
        self._paused = self._parted = False
        self._moving = asyncio.Event()
        self._moving.set()

    def _hold(self, *, paused: bool | None = None, parted: bool | None = None) -> None:
        self._paused = self._paused if paused is None else paused
        self._parted = self._parted if parted is None else parted
        if self._paused or self._parted:
            self._moving.clear()
        else:
            self._moving.set()

    async def _request(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        await self._moving.wait()
        return await super()._request(*arguments, **named)

    @contextlib.asynccontextmanager
    async def parted(self) -> AsyncIterator[None]:
        """Without a connection, so that it can be dumped; with one again afterwards, whatever happens.

        Raises: CheckpointError while it is paused; SandboxGoneError.
        """
        if self._paused:
            raise CheckpointError(f"sandbox {self.sandbox_id} is paused; resume it first")
        self._hold(parted=True)
        try:
            await self.quiesce()
            try:
                yield
            except RuntimeUnavailableError:
                with contextlib.suppress(SandboxGoneError):  # the launcher's failure is the better reason
                    await self.rejoin()
                raise
            except BaseException:
                await self.rejoin()
                raise
            if not self.gone:
                await self.rejoin()
        finally:
            self._hold(parted=False)

    async def detach(self) -> None:
        """Let go of the connection and the counters."""
        self._guest.close()
        self._usage.close()
        self._hold(paused=False, parted=False)

    def usage(self) -> Usage:
        try:
            read = self._usage.read()
        except (OSError, KeyError) as error:
            raise SandboxGoneError(f"the counters of sandbox {self.sandbox_id} are gone") from error
        return Usage(read.cpu_s, read.memory_bytes, read.memory_peak_bytes, read.oom_kills, read.pids_denied)

    def mark_usage(self) -> None:
        with contextlib.suppress(KeyError):
            self._usage.reset_peak()

    async def _destroy(self) -> None:
        await self.detach()
        await self._runtime.destroy(self.sandbox_id)
