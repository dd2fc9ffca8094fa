"""Checkpoints of crun sandboxes: a snapshot of the writable layer, and beside it the processes' images where wanted.

The sandbox stands still for the whole of it, so that files and memory are of one instant; what has to reach the disk
is waited for after that.
"""

from __future__ import annotations

import os
import time

from envserver import failpoints
from envserver.launcher import btrfs, cgroups, criu, store
from envserver.launcher.records import SandboxRecord, SandboxRequest
from envserver.launcher.sandboxes import DiskReserveError, SandboxMaker, layer_copy
from envserver.launcher.store import CheckpointRecord, CheckpointStore

PROCESS, FILESYSTEM = "process", "filesystem"


class Checkpoints:
    """Saves and restores; safe to call from many threads."""

    def __init__(self, maker: SandboxMaker, kept: CheckpointStore, keep_free_bytes: int) -> None:
        self._maker, self._store, self._keep_free_bytes = maker, kept, keep_free_bytes
        self._layers = maker.paths.layers

    def create(self, sandbox_id: str, kind: str, labels: dict[str, str]) -> CheckpointRecord:
        """Save a running sandbox; for its processes, nobody may be connected to its agent.

        Raises: UnknownSandboxError, SandboxPausedError, NotDumpableError, DiskReserveError, OSError.
        """
        with self._maker.busy.held(sandbox_id):
            sandbox = self._maker.running(sandbox_id)
            self.check_room(sandbox, kind)
            with self._store.begun("crun") as checkpoint_id:
                return self._save(checkpoint_id, sandbox, kind, labels)

    def _save(self, checkpoint_id: str, sandbox: SandboxRecord, kind: str, labels: dict[str, str]) -> CheckpointRecord:
        images, layer = self._store.images(checkpoint_id), self._store.layer(checkpoint_id)
        failpoints.hit("launcher.checkpoint.begun")
        began = time.monotonic()
        with cgroups.frozen(sandbox.cgroup):
            if kind == PROCESS:
                criu.dump(self._maker.crun, sandbox.sandbox_id, images)
                failpoints.hit("launcher.checkpoint.dumped")
            source = self._layers / sandbox.sandbox_id
            btrfs.snapshot_subvolume(source, self._layers, layer, sandbox.disk_bytes)
            failpoints.hit("launcher.checkpoint.snapshotted")
        pause_ms = (time.monotonic() - began) * 1000
        btrfs.sync(self._layers)
        store.sync_files(images)
        failpoints.hit("launcher.checkpoint.synced")
        record = CheckpointRecord(
            checkpoint_id=checkpoint_id,
            runtime="crun",
            kind=kind,
            image=sandbox.image,
            agent=sandbox.agent,
            limits=sandbox.limits,
            disk_bytes=sandbox.disk_bytes,
            labels=labels,
            created_at=time.time(),
            bytes=sum(file.stat().st_size for file in images.iterdir()),
            pause_ms=pause_ms,
        )
        self._store.add(record)
        failpoints.hit("launcher.checkpoint.recorded")
        return record

    def check_room(self, sandbox: SandboxRecord, kind: str) -> None:
        """Raises: DiskReserveError when memory of that size might not fit on the disk, or the layer's copy."""
        self._maker.check_reserve(0)
        if kind != PROCESS:
            return
        disk = os.statvfs(self._maker.paths.checkpoints)
        free, needed = disk.f_bavail * disk.f_frsize, cgroups.memory_bytes(sandbox.cgroup) + self._keep_free_bytes
        if free < needed:
            raise DiskReserveError(f"{free >> 20} MiB left on the disk for checkpoints, {needed >> 20} MiB are needed")

    def restore(self, checkpoint: CheckpointRecord, labels: dict[str, str], ttl_s: float) -> SandboxRecord:
        """A new sandbox that goes on where the checkpoint stopped, under a uid range of its own."""
        maker, images = self._maker, self._store.images(checkpoint.checkpoint_id)
        request = SandboxRequest(checkpoint.image, checkpoint.limits, checkpoint.disk_bytes, labels, ttl_s)
        copy = layer_copy(self._layers / self._store.layer(checkpoint.checkpoint_id), self._layers)
        if checkpoint.kind == FILESYSTEM:
            return maker.make(request, maker.images.agent_path, copy, maker.run)
        return maker.make(request, checkpoint.agent, copy, criu.starter(maker.crun, maker.paths, images))
