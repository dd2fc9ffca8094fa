"""Sandboxes by crun, made by the launcher and driven through their guest agents' sockets."""

from __future__ import annotations

from typing import Any

from envserver.guest.connection import GuestConnection
from envserver.launcher.cgroups import UsageReader
from envserver.runtimes.base import Capability, SandboxSpec
from envserver.runtimes.guest_sandbox import GuestSandbox
from envserver.runtimes.node_runtime import NodeRuntime, NodeSandbox


class CrunSandbox(NodeSandbox):
    """One in a user namespace of its own."""


class CrunRuntime(NodeRuntime[CrunSandbox]):
    """Declares everything."""

    name = "crun"
    capabilities = frozenset(Capability)

    def _sandbox(
        self, made: dict[str, Any], spec: SandboxSpec, guest: GuestConnection, usage: UsageReader
    ) -> CrunSandbox:
        return CrunSandbox(self, str(made["sandbox_id"]), spec, guest, usage)

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
