"""Sandboxes by a Docker Engine, which the launcher calls: the server has no access to the Engine.

The Engine's containers share the host's user ids, so each live sandbox has one of its own there, which the contract's
`USER_UID` stands for: it becomes that uid on the way to the guest agent.
"""

from __future__ import annotations

from typing import Any

from envserver.guest.connection import GuestConnection
from envserver.launcher.cgroups import UsageReader
from envserver.runtimes.base import USER_UID, Capability, SandboxSpec
from envserver.runtimes.node_runtime import NodeRuntime
from envserver.runtimes.node_sandbox import NodeSandbox


class DockerSandbox(NodeSandbox):
    """Root's image is read-only; /workspace, /home and /tmp share one quota."""

    def __init__(
        self,
        runtime: DockerRuntime,
        sandbox_id: str,
        spec: SandboxSpec,
        guest: GuestConnection,
        usage: UsageReader,
        host_uid: int,
    ) -> None:
        super().__init__(runtime, sandbox_id, spec, guest, usage)
        self._host_uid = host_uid

    def _uid(self, user: int) -> int:
        """Raises: ValueError for another user than root or `USER_UID`: its id might be a neighbour's on the host."""
        if user not in (0, USER_UID):
            raise ValueError(f"user is {user}; the docker runtime has root (0) and the sandbox's user ({USER_UID})")
        return self._host_uid if user == USER_UID else user


class DockerRuntime(NodeRuntime[DockerSandbox]):
    """Declares what an old Engine can."""

    name = "docker"
    capabilities = frozenset({Capability.DISK_QUOTA, Capability.FILESYSTEM_CHECKPOINT, Capability.PAUSE})

    def _sandbox(
        self, made: dict[str, Any], spec: SandboxSpec, guest: GuestConnection, usage: UsageReader
    ) -> DockerSandbox:
        return DockerSandbox(self, str(made["sandbox_id"]), spec, guest, usage, int(made["host_uid"]))
