"""Checkpoints of crun sandboxes: a snapshot of the writable layer, and beside it the processes' images where wanted.

The sandbox stands still for the whole of it, so that files and memory are of one instant; what has to reach the disk
is waited for after that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from envserver import failpoints
from envserver.launcher import btrfs, cgroups, criu, store
from envserver.launcher.processes import is_stopped
from envserver.launcher.records import SandboxRecord, SandboxRequest
from envserver.launcher.sandboxes import DiskReserveError, SandboxMaker, layer_copy
from envserver.launcher.store import CheckpointRecord, CheckpointStore

PROCESS, FILESYSTEM = "process", "filesystem"


def hold_still(sandbox: SandboxRecord) -> None:
    """Freeze a sandbox so that it can be saved; `cgroups.thaw` lets it go on.

    A process that was stopped by a signal, and then frozen, cannot be taken hold of: the kernel waits for it to move.
    So these are continued and stopped anew meanwhile, and come to that, and no step further, when they may move.
    """
    stopped = [pid for pid in cgroups.processes(sandbox.cgroup) if is_stopped(pid)]
    cgroups.freeze(sandbox.cgroup)
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGSTOP)


def save(maker: SandboxMaker, sandbox: SandboxRecord, layer: str, images: Path | None) -> None:
    """Snapshot a sandbox that stands still, its processes too where there is a directory for their images.

    Raises: NotDumpableError, OSError; there is no snapshot then.
    """
    layers = maker.paths.layers
    source, copy = layers / sandbox.sandbox_id, layers / layer
    try:
        if images is not None:
            criu.dump(maker.crun, sandbox.sandbox_id, images, source, copy)
            failpoints.hit("launcher.checkpoint.dumped")
        if copy.exists():
            btrfs.limit(layers, layer, sandbox.disk_bytes)
        else:
            btrfs.snapshot_subvolume(source, layers, layer, sandbox.disk_bytes)
    except BaseException:
        if copy.exists():
            btrfs.destroy_subvolume(layers, layer)
        raise
    failpoints.hit("launcher.checkpoint.snapshotted")


class Checkpoints:
    """Saves and restores; safe to call from many threads."""

    def __init__(self, maker: SandboxMaker, kept: CheckpointStore, keep_free_bytes: int) -> None:
        self._maker, self._store, self._keep_free_bytes = maker, kept, keep_free_bytes
        self._layers = maker.paths.layers

    def create(
        self, sandbox_id: str, kind: str, labels: dict[str, str], moved_on: Callable[[], None]
    ) -> CheckpointRecord:
        """Save a running sandbox; for its processes, nobody may be connected to its agent.

        `moved_on` is called when it runs again; what is left then is the disk's work.
        Raises: UnknownSandboxError, SandboxPausedError, NotDumpableError, DiskReserveError, OSError.
        """
        with self._maker.busy.held(sandbox_id):
            sandbox = self._maker.running(sandbox_id)
            self.check_room(sandbox, kind)
            with self._store.begun("crun") as checkpoint_id:
                return self._save(checkpoint_id, sandbox, kind, labels, moved_on)

    def _save(
        self,
        checkpoint_id: str,
        sandbox: SandboxRecord,
        kind: str,
        labels: dict[str, str],
        moved_on: Callable[[], None],
    ) -> CheckpointRecord:
        images, layer = self._store.images(checkpoint_id), self._store.layer(checkpoint_id)
        failpoints.hit("launcher.checkpoint.begun")
        began = time.monotonic()
        try:
            hold_still(sandbox)
            save(self._maker, sandbox, layer, images if kind == PROCESS else None)
        finally:
            cgroups.thaw(sandbox.cgroup)
        pause_ms = (time.monotonic() - began) * 1000
        moved_on()
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
