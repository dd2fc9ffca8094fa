"""What a node's runtimes share: the launcher makes the sandboxes, guest agents drive them, the kernel counts."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from envserver.guest.connection import GuestConnection, GuestGoneError
from envserver.launcher.cgroups import UsageReader
from envserver.runtimes.base import (
    Runtime,
    RuntimeUnavailableError,
    Sandbox,
    SandboxError,
    SandboxGoneError,
    SandboxInfo,
    SandboxSpec,
    Usage,
)
from envserver.runtimes.guest_sandbox import GuestSandbox
from envserver.runtimes.launcher import Launcher

_DIAL_TIMEOUT_S = 10.0


class NodeSandbox(GuestSandbox):
    """A sandbox whose kernel counters this process may read."""

    def __init__(
        self, runtime: Runtime, sandbox_id: str, spec: SandboxSpec, guest: GuestConnection, usage: UsageReader
    ) -> None:
        super().__init__(sandbox_id, spec, guest)
        self._runtime = runtime
        self._usage = usage

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
        self._usage.close()
        await self._runtime.destroy(self.sandbox_id)


SandboxT = TypeVar("SandboxT", bound=NodeSandbox)


class NodeRuntime(Runtime, Generic[SandboxT]):
    """`run` is the directory that holds the launcher's socket and the sandboxes'."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._launcher = Launcher(run)
        self._claims = Launcher(run, connections=4)  # their own, so that a claim waits for no create
        self._discarding: set[asyncio.Future[None]] = set()

    async def create(self, spec: SandboxSpec) -> SandboxT:
        limits = asdict(spec.limits)
        request = {"image": spec.image, "limits": limits, "labels": dict(spec.labels), "ttl_s": spec.ttl_s}
        return await self._make("create", {"runtime": self.name, **request}, spec)

    async def _make(self, op: str, request: dict[str, Any], spec: SandboxSpec) -> SandboxT:
        """Carried through even when the caller is cancelled, since only a whole sandbox can be destroyed."""

        async def make() -> SandboxT:
            return await self._attach(await self._launcher.call(op, **request), spec)

        making = asyncio.ensure_future(make())
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            discarding = asyncio.ensure_future(self._discard(making))
            self._discarding.add(discarding)
            discarding.add_done_callback(self._discarding.discard)
            raise

    @staticmethod
    async def _discard(making: asyncio.Future[SandboxT]) -> None:
        with contextlib.suppress(SandboxError):
            await (await making).destroy()

    async def _attach(self, made: dict[str, Any], spec: SandboxSpec) -> SandboxT:
        """Dial a new sandbox's agent; on any failure the sandbox is destroyed."""
        sandbox_id = str(made["sandbox_id"])
        try:
            usage = UsageReader(made["cgroup"])
            try:
                guest = await GuestConnection.dial(self._run / made["socket"], timeout_s=_DIAL_TIMEOUT_S)
            except BaseException:
                usage.close()
                raise
        except BaseException as error:
            with contextlib.suppress(Exception):
                await asyncio.shield(self.destroy(sandbox_id))
            if isinstance(error, GuestGoneError | OSError):
                raise RuntimeUnavailableError(f"sandbox {sandbox_id} did not start: {error}") from error
            raise
        return self._sandbox(made, spec, guest, usage)

    @abstractmethod
    def _sandbox(self, made: dict[str, Any], spec: SandboxSpec, guest: GuestConnection, usage: UsageReader) -> SandboxT:
        """What the launcher made, as this runtime's sandbox."""

    async def claim(self, sandbox: Sandbox, spec: SandboxSpec) -> None:
        request = {"image": spec.image, "labels": dict(spec.labels), "ttl_s": spec.ttl_s}
        await self._claims.call("claim", sandbox_id=sandbox.sandbox_id, **request)
        if sandbox.gone:
            raise SandboxGoneError(f"sandbox {sandbox.sandbox_id} has ended")
        sandbox.spec = spec

    async def list(self) -> list[SandboxInfo]:
        answer = await self._launcher.call("list", runtime=self.name)
        return [
            SandboxInfo(
                sandbox_id=entry["sandbox_id"],
                image=entry["image"],
                labels=entry["labels"],
                created_at=entry["created_at"],
                deadline=entry["deadline"],
                running=entry["running"],
            )
            for entry in answer["sandboxes"]
        ]

    async def destroy(self, sandbox_id: str) -> None:
        await self._launcher.call("destroy", sandbox_id=sandbox_id)

    async def close(self) -> None:
        await asyncio.gather(*self._discarding)
        self._launcher.close()
        self._claims.close()
