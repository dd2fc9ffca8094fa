"""Sandboxes by crun, made by the launcher and driven through their guest agents' sockets."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from envserver.guest.connection import GuestConnection, GuestGoneError
from envserver.launcher.cgroups import UsageReader
from envserver.runtimes.base import (
    Capability,
    Runtime,
    RuntimeUnavailableError,
    Sandbox,
    SandboxError,
    SandboxGoneError,
    SandboxInfo,
    SandboxSpec,
    Usage,
)
from envserver.runtimes.crun.launcher import Launcher
from envserver.runtimes.guest_sandbox import GuestSandbox

_DIAL_TIMEOUT_S = 10.0


class CrunRuntime(Runtime):
    """`run` is the directory that holds the launcher's socket and the sandboxes'."""

    name = "crun"
    capabilities = frozenset(Capability)

    def __init__(self, run: Path) -> None:
        self._run = run
        self._launcher = Launcher(run)
        self._discarding: set[asyncio.Future[None]] = set()

    @classmethod
    async def connect(cls, run: Path, *, wait_s: float = 60.0) -> CrunRuntime:
        """A runtime whose launcher answers; it may still be starting. Raises: RuntimeUnavailableError."""
        runtime = cls(run)
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            try:
                await runtime._launcher.call("health")
            except RuntimeUnavailableError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)
            else:
                return runtime

    async def create(self, spec: SandboxSpec) -> Sandbox:
        limits = asdict(spec.limits)
        request = {"image": spec.image, "limits": limits, "labels": dict(spec.labels), "ttl_s": spec.ttl_s}
        return await self._make("create", request, spec)

    async def _make(self, op: str, request: dict[str, Any], spec: SandboxSpec) -> CrunSandbox:
        """Carried through even when the caller is cancelled, since only a whole sandbox can be destroyed."""

        async def make() -> CrunSandbox:
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
    async def _discard(making: asyncio.Future[CrunSandbox]) -> None:
        with contextlib.suppress(SandboxError):
            await (await making).destroy()

    async def _attach(self, made: dict[str, Any], spec: SandboxSpec) -> CrunSandbox:
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
        return CrunSandbox(self, sandbox_id, spec, guest, usage)

    async def checkpoint(self, sandbox: GuestSandbox) -> str:
        """Dump a live sandbox, which goes on running; returns the checkpoint's id. Raises: SandboxError."""
        await sandbox.quiesce()
        try:
            answer = await self._launcher.call("checkpoint", sandbox_id=sandbox.sandbox_id)
        finally:
            await sandbox.rejoin()
        return str(answer["checkpoint_id"])

    async def restore(self, checkpoint_id: str, spec: SandboxSpec) -> CrunSandbox:
        """A new sandbox that goes on where the checkpoint stopped. Raises: SandboxError."""
        request = {"checkpoint_id": checkpoint_id, "labels": dict(spec.labels), "ttl_s": spec.ttl_s}
        return await self._make("restore", request, spec)

    async def list(self) -> list[SandboxInfo]:
        answer = await self._launcher.call("list")
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


class CrunSandbox(GuestSandbox):
    """A sandbox whose kernel counters this process may read."""

    def __init__(
        self, runtime: CrunRuntime, sandbox_id: str, spec: SandboxSpec, guest: GuestConnection, usage: UsageReader
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
