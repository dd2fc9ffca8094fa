"""Sandboxes by crun, made by the launcher and driven through their guest agents' sockets."""

from __future__ import annotations

from typing import Any

from envserver.guest.connection import GuestConnection
from envserver.launcher.cgroups import UsageReader
from envserver.runtimes.base import Capability, SandboxSpec
from envserver.runtimes.node_runtime import NodeRuntime
from envserver.runtimes.node_sandbox import NodeSandbox


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
