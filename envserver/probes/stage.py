"""What the probes that run outside are given: sandboxes of small limits, and what the launcher says of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envserver.launcher.client import LauncherClient
from envserver.runtimes.base import MIB, USER_UID, Limits, Runtime, Sandbox, SandboxError, SandboxSpec

_INSIDE = Path(__file__).parent / "inside"
LABELS = {"purpose": "probing"}
TTL_S = 300.0
QUIET = Limits(memory_bytes=512 * MIB, shm_bytes=4 * MIB)
SMALL = Limits(memory_bytes=128 * MIB, shm_bytes=4 * MIB, pids=48, disk_bytes=32 * MIB, nofile=256)


class NotApplicableError(Exception):
    """The probe cannot be tried here; the message says why."""


@dataclass
class Stage:
    """One run's. `close` ends the sandboxes that `pair` made."""

    runtime: Runtime
    run: Path | None
    """The launcher's run directory, where there is a launcher to speak to."""
    image: str = "code"
    user: int = USER_UID
    """Whom the programs inside run as; another than `USER_UID` only to show that a probe notices."""
    rlimits: dict[str, int] = field(default_factory=dict)
    _made: list[Sandbox] = field(default_factory=list)

    @asynccontextmanager
    async def sandbox(self, limits: Limits = SMALL, image: str | None = None) -> AsyncIterator[Sandbox]:
        """One with the probes' programs in its /workspace."""
        made = await self.runtime.create(SandboxSpec(image or self.image, limits, LABELS, TTL_S))
        try:
            await install(made)
            yield made
        finally:
            await made.destroy()

    async def pair(self) -> tuple[Sandbox, Sandbox]:
        """The same two for every probe; a probe stops what it started."""
        while len(self._made) < 2:
            made = await self.runtime.create(SandboxSpec(self.image, QUIET, LABELS, TTL_S))
            self._made.append(made)
            await install(made)
        return self._made[0], self._made[1]

    async def close(self) -> None:
        for made in self._made:
            await made.destroy()
        self._made.clear()

    async def ask_launcher(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Raises: NotApplicableError, LauncherRefusedError, OSError."""
        run = self.launcher_directory()

        def ask() -> dict[str, Any]:
            with LauncherClient(run) as client:
                return client.call(op, **arguments)

        return await asyncio.to_thread(ask)

    def launcher_directory(self) -> Path:
        if self.run is None:
            raise NotApplicableError("there is no launcher to speak to")
        return self.run

    async def host_uid(self, sandbox: Sandbox) -> int:
        """The uid on the host of the sandbox's root, or of its user where it has no user namespace."""
        listed = (await self.ask_launcher("list", runtime=self.runtime.name))["sandboxes"]
        for entry in listed:
            if entry["sandbox_id"] == sandbox.sandbox_id:
                return int(entry["host_uid"])
        raise SandboxError(f"the launcher does not list sandbox {sandbox.sandbox_id}")


async def install(box: Sandbox) -> None:
    """Put the programs that run inside into the workspace."""
    for file in sorted(_INSIDE.glob("*.py")):
        await box.write_file(f"/workspace/inside/{file.name}", file.read_bytes())
