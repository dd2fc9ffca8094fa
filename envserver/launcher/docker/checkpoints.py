"""Checkpoints of docker sandboxes: copies of the three directories that one may write to. Processes cannot be saved.

The container is frozen through its control group, not through the Engine, which would take 50 ms for what takes one.
A restored sandbox is a new container, whose user has another uid, beneath a quota of its own. So its directories are
filled anew, file by file, sharing the blocks (`trees.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from envserver.launcher import btrfs, cgroups
from envserver.launcher.criu import NotDumpableError
from envserver.launcher.docker import disks
from envserver.launcher.docker.records import DockerRecord
from envserver.launcher.docker.sandboxes import DockerMaker
from envserver.launcher.records import SandboxPausedError, SandboxRequest
from envserver.launcher.store import CheckpointRecord, CheckpointStore


class DockerCheckpoints:
    """Saves and restores; safe to call from many threads."""

    def __init__(self, maker: DockerMaker, kept: CheckpointStore) -> None:
        self._maker, self._store = maker, kept

    def create(
        self, sandbox_id: str, kind: str, labels: dict[str, str], moved_on: Callable[[], None]
    ) -> CheckpointRecord:
        """Save a running sandbox; `moved_on` is called when it runs again.

        Raises: UnknownSandboxError, SandboxPausedError, NotDumpableError, DiskReserveError, SandboxFailedError,
        OSError.
        """
        if kind != "filesystem":
            raise NotDumpableError("the docker runtime saves no processes; kind must be 'filesystem'")
        with self._maker.busy.held(sandbox_id):
            sandbox = self._maker.get(sandbox_id)
            if self._maker.state(sandbox_id) == "paused":
                raise SandboxPausedError(f"sandbox {sandbox_id} is paused; resume it first")
            self._maker.check_reserve(0)
            with self._store.begun("docker") as checkpoint_id:
                return self._save(checkpoint_id, sandbox, labels, moved_on)

    def _save(
        self, checkpoint_id: str, sandbox: DockerRecord, labels: dict[str, str], moved_on: Callable[[], None]
    ) -> CheckpointRecord:
        began = time.monotonic()
        try:
            cgroups.freeze(sandbox.cgroup)
            disks.snapshot(self._maker.layers, sandbox.sandbox_id, self._names(checkpoint_id))
        finally:
            cgroups.thaw(sandbox.cgroup)
        pause_ms = (time.monotonic() - began) * 1000
        moved_on()
        btrfs.recount(self._maker.layers)
        btrfs.sync(self._maker.layers)
        record = CheckpointRecord(
            checkpoint_id=checkpoint_id,
            runtime="docker",
            kind="filesystem",
            image=sandbox.image,
            agent="",
            limits=sandbox.limits,
            disk_bytes=sandbox.disk_bytes,
            labels=labels,
            created_at=time.time(),
            bytes=0,
            pause_ms=pause_ms,
            owner_uid=sandbox.uid,
        )
        self._store.add(record)
        return record

    def restore(self, checkpoint: CheckpointRecord, labels: dict[str, str], ttl_s: float) -> DockerRecord:
        """A new sandbox with the checkpoint's files.

        Raises: DiskReserveError, RangesExhaustedError, SandboxFailedError, OSError.
        """
        request = SandboxRequest(checkpoint.image, checkpoint.limits, checkpoint.disk_bytes, labels, ttl_s)
        names = self._names(checkpoint.checkpoint_id)

        def fill(sandbox_id: str, uid: int) -> None:
            uids = checkpoint.owner_uid, uid
            disks.create_from(self._maker.layers, sandbox_id, names, uids, checkpoint.disk_bytes)

        return self._maker.make(request, fill)

    def _names(self, checkpoint_id: str) -> dict[str, str]:
        return {
            directory: self._store.layer(checkpoint_id, directory.replace("/", "-")) for directory in disks.DIRECTORIES
        }
