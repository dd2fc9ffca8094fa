"""A runtime whose sandboxes are entries of a dictionary."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from envserver.runtimes.base import (
    Capability,
    CheckpointKind,
    CheckpointNotFoundError,
    Runtime,
    RuntimeUnavailableError,
    Sandbox,
    SandboxCheckpoint,
    SandboxGoneError,
    SandboxInfo,
    SandboxSpec,
    SandboxState,
)
from tests.unit.scripted.sandbox import Guest, ScriptedSandbox


class ScriptedRuntime(Runtime):
    """Sandboxes are entries of a dictionary. `fail_creates`, `fail_claims` and so on make the next ones fail,
    `hold` makes creates wait. A server that dies leaves it as it is."""

    name = "scripted"
    capabilities = frozenset(
        (Capability.PROCESS_CHECKPOINT, Capability.FILESYSTEM_CHECKPOINT, Capability.PAUSE, Capability.HIBERNATE)
    )

    def __init__(self) -> None:
        self.sandboxes: dict[str, ScriptedSandbox] = {}
        self.counts: Counter[str] = Counter()
        self.fail_creates: list[Exception] = []
        self.fail_claims: list[Exception] = []
        self.slow_disk: asyncio.Event | None = None
        """Checkpoints are on it when it is set."""
        self.fail_checkpoints: list[Exception] = []
        self.fail_restores: list[Exception] = []
        self.fail_adopts: list[Exception] = []
        self.fail_deletes: list[Exception] = []
        self.fail_lists: list[Exception] = []
        self.stored: dict[str, tuple[SandboxCheckpoint, Guest, dict[str, bytes]]] = {}
        self.hold: asyncio.Event | None = None
        self.creating = asyncio.Event()
        self.available = True
        self.most = 0
        self.empty = asyncio.Event()
        self._ids = count(1)

    async def create(self, spec: SandboxSpec) -> ScriptedSandbox:
        self.counts["create"] += 1
        self.creating.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.fail_creates:
            raise self.fail_creates.pop(0)
        sandbox = ScriptedSandbox(self, f"sb{next(self._ids)}", spec)
        self.sandboxes[sandbox.sandbox_id] = sandbox
        self.most = max(self.most, len(self.sandboxes))
        self.empty.clear()
        return sandbox

    async def claim(self, sandbox: Sandbox, spec: SandboxSpec) -> None:
        self.counts["claim"] += 1
        if self.fail_claims:
            raise self.fail_claims.pop(0)
        if sandbox.gone:
            raise SandboxGoneError(f"{sandbox.sandbox_id} has ended")
        sandbox.spec = spec

    async def list(self) -> list[SandboxInfo]:
        if not self.available:
            raise RuntimeUnavailableError("the launcher does not answer")
        if self.fail_lists:
            raise self.fail_lists.pop(0)
        return [
            SandboxInfo(s.sandbox_id, s.spec.image, s.spec.labels, s.created_at, s.created_at + s.spec.ttl_s, s.state)
            for s in self.sandboxes.values()
        ]

    def _find(self, sandbox_id: str) -> ScriptedSandbox:
        found = self.sandboxes.get(sandbox_id)
        if found is None or found.dead:
            raise SandboxGoneError(f"{sandbox_id} has ended")
        return found

    async def adopt(self, sandbox_id: str, spec: SandboxSpec) -> ScriptedSandbox:
        self.counts["adopt"] += 1
        if self.fail_adopts:
            raise self.fail_adopts.pop(0)
        found = self._find(sandbox_id)
        adopted = ScriptedSandbox(self, sandbox_id, spec)
        adopted.files, adopted.guest, adopted.counted = found.files, found.guest, found.counted
        adopted.created_at, adopted.stopped = found.created_at, found.stopped
        self.sandboxes[sandbox_id] = adopted
        return adopted

    async def pause(self, sandbox: Sandbox) -> None:
        self.counts["pause"] += 1
        self._find(sandbox.sandbox_id).state = SandboxState.PAUSED

    async def resume(self, sandbox: Sandbox) -> None:
        self.counts["resume"] += 1
        self._find(sandbox.sandbox_id).state = SandboxState.RUNNING

    async def hibernate(self, sandbox: Sandbox) -> None:
        self.counts["hibernate"] += 1
        if self.fail_checkpoints:
            raise self.fail_checkpoints.pop(0)
        self._find(sandbox.sandbox_id).state = SandboxState.HIBERNATED

    async def checkpoint(
        self,
        sandbox: Sandbox,
        kind: CheckpointKind,
        labels: Mapping[str, str],
        moved_on: Callable[[], None] = lambda: None,
    ) -> SandboxCheckpoint:
        self.counts[f"checkpoint_{kind}"] += 1
        if self.fail_checkpoints:
            raise self.fail_checkpoints.pop(0)
        found = self._find(sandbox.sandbox_id)
        found.tell()
        guest = found.guest.copy() if kind is CheckpointKind.PROCESS else Guest()
        made = SandboxCheckpoint(
            f"sc{next(self._ids)}", kind, found.spec.image, found.spec.limits, dict(labels), time.time(), 100, 1.5
        )
        files = dict(found.files)
        moved_on()
        if self.slow_disk is not None:
            await self.slow_disk.wait()
        self.stored[made.checkpoint_id] = (made, guest, files)
        return made

    async def restore(self, checkpoint_id: str, spec: SandboxSpec) -> ScriptedSandbox:
        self.counts["restore"] += 1
        if self.fail_restores:
            raise self.fail_restores.pop(0)
        if checkpoint_id not in self.stored:
            raise CheckpointNotFoundError(checkpoint_id)
        _, guest, files = self.stored[checkpoint_id]
        sandbox = await self.create(spec)
        sandbox.guest, sandbox.files = guest.copy(), dict(files)
        return sandbox

    async def checkpoints(self) -> builtins.list[SandboxCheckpoint]:
        return [made for made, _, _ in self.stored.values()]

    async def delete_checkpoint(self, checkpoint_id: str) -> None:
        self.counts["delete_checkpoint"] += 1
        if self.fail_deletes:
            raise self.fail_deletes.pop(0)
        self.stored.pop(checkpoint_id, None)

    async def destroy(self, sandbox_id: str) -> None:
        self.counts["destroy"] += 1
        if (ended := self.sandboxes.pop(sandbox_id, None)) is not None:
            ended.guest.end()
        if not self.sandboxes:
            self.empty.set()

    async def close(self) -> None:
        self.counts["close"] += 1

    def labelled(self, purpose: str) -> Sequence[ScriptedSandbox]:
        return [s for s in self.sandboxes.values() if s.spec.labels.get("purpose") == purpose]
