"""Making and ending sandboxes: the order of the steps, and their undoing.

A sandbox is a uid range, a quota'd subvolume, a control directory, three mounts, a bundle and what crun makes
of them (`assembly.py`). Each step registers its undoing before the next begins, so that a failure anywhere leaves
nothing. The record in `sandbox.json` is what a restarted launcher finds its sandboxes by.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from envserver import failpoints
from envserver.launcher import btrfs, bundle, cgroups, criu_setup, idmap
from envserver.launcher.assembly import Assembly
from envserver.launcher.crun import Crun, SandboxFailedError
from envserver.launcher.deadlines import Deadline
from envserver.launcher.docker import disks
from envserver.launcher.images import ImageStore
from envserver.launcher.locks import KeyedLocks
from envserver.launcher.paths import Paths
from envserver.launcher.processes import kill_and_wait, owners, started_ticks
from envserver.launcher.protocol import SANDBOX_DIRECTORY
from envserver.launcher.records import (
    SandboxPausedError,
    SandboxRecord,
    SandboxRequest,
    UnknownSandboxError,
    is_running,
    write_whole,
)

log = logging.getLogger("envserver.launcher")

_KILL_TIMEOUT_S = 5.0
SAVED_LAYERS = ("checkpoint-", "hibernated-")
"""What the names of layers begin with that no running sandbox writes to."""


class DiskReserveError(Exception):
    """The writable layers' file system, or the data directory's, is too full."""


class SandboxMaker:
    """Creates, finds and destroys sandboxes; safe to call from many threads."""

    def __init__(
        self, node: str, paths: Paths, images: ImageStore, *, server_uid: int, server_gid: int, reserve_bytes: int
    ) -> None:
        self.node, self.paths, self.images = node, paths, images
        self._server_uid, self._reserve_bytes = server_uid, reserve_bytes
        self.crun = Crun(paths.crun, paths.work / "errors", criu_setup.prepare(paths.work / "criu"))
        self.assembly = Assembly(paths, server_gid)
        self.busy = KeyedLocks()
        """Held by whoever changes what a sandbox is doing."""
        self._ranges = idmap.RangePool()
        self._live: dict[str, SandboxRecord] = {}
        self._lock = threading.Lock()

    # --- making ---------------------------------------------------------------------------------

    def create(self, request: SandboxRequest) -> SandboxRecord:
        """A running sandbox from an image. Raises: ImageError, DiskReserveError, SandboxFailedError, OSError."""
        image = self.images.resolve(request.image)
        request = replace(request, image=image.digest)
        return self.make(request, self.images.agent_path, self.assembly.new_layer, self.run)

    def make(
        self,
        request: SandboxRequest,
        agent: str,
        make_layer: Callable[[str, int], None],
        start: Callable[[str, int], None],
        *,
        again: SandboxRecord | None = None,
    ) -> SandboxRecord:
        """`make_layer(name, disk_bytes)` and `start(sandbox_id, range_index)` do what their names say.

        `again` is what a sandbox was that comes back under its id.
        """
        self.check_reserve(request.disk_bytes)
        sandbox_id = again.sandbox_id if again else os.urandom(8).hex()
        cgroup = cgroups.path_for(self.node, sandbox_id)
        with contextlib.ExitStack() as undo:
            index = self._ranges.take()
            undo.callback(self._ranges.give_back, index)
            failpoints.hit("launcher.create.range_taken")
            make_layer(sandbox_id, request.disk_bytes)
            undo.callback(btrfs.destroy_subvolume, self.paths.layers, sandbox_id)
            failpoints.hit("launcher.create.layer_made")
            self.assembly.make_directories(sandbox_id, index, undo)
            self.assembly.write_bundle(sandbox_id, index, agent, cgroup, request)
            undo.callback(self.assembly.remove_container, sandbox_id, cgroup)
            with self.assembly.mounted(sandbox_id, index, self.images.rootfs(request.image)):
                start(sandbox_id, index)
            failpoints.hit("launcher.create.started")
            cgroups.require_inside(int((self.paths.bundle(sandbox_id) / "pid").read_text()), cgroup)
            cgroups.hand_over_peak(cgroup, self._server_uid)
            record = self._record(sandbox_id, index, agent, cgroup, request)
            if again is not None:
                record = replace(record, created_at=again.created_at)
            self._write_record(record)
            failpoints.hit("launcher.create.recorded")
            undo.pop_all()
        with self._lock:
            self._live[sandbox_id] = record
        return record

    def check_reserve(self, disk_bytes: int) -> None:
        """Raises: DiskReserveError when a sandbox that may write so much should not be begun."""
        needed = self._reserve_bytes + min(disk_bytes, self._reserve_bytes)
        if self._free_bytes() < needed:
            btrfs.sync(self.paths.layers)
        if (free := self._free_bytes()) < needed:
            raise DiskReserveError(
                f"{free >> 20} MiB left for writable layers, {self._reserve_bytes >> 20} MiB are reserve"
            )

    def _free_bytes(self) -> int:
        stat = os.statvfs(self.paths.layers)
        return stat.f_bavail * stat.f_frsize

    def run(self, sandbox_id: str, index: int) -> None:
        """Start a new guest agent in what was put together."""
        directory = self.paths.bundle(sandbox_id)
        self.crun("run", "--detach", "--bundle", str(directory), "--pid-file", str(directory / "pid"), sandbox_id)
        self._limit_signals(int((directory / "pid").read_text()))

    @staticmethod
    def _limit_signals(pid: int) -> None:
        """Of the agent, and so of all that it will start; a dump keeps it.

        Not through the bundle: crun sets limits before it makes the user namespace, and what the maker of one may have
        queued is what all sandboxes may have queued together.
        """
        resource.prlimit(pid, resource.RLIMIT_SIGPENDING, (bundle.SIGNALS_PENDING, bundle.SIGNALS_PENDING))

    def _record(self, sandbox_id: str, index: int, agent: str, cgroup: str, request: SandboxRequest) -> SandboxRecord:
        pid = int((self.paths.bundle(sandbox_id) / "pid").read_text())
        return SandboxRecord(
            sandbox_id=sandbox_id,
            image=request.image,
            agent=agent,
            range_index=index,
            cgroup=cgroup,
            pid=pid,
            started_ticks=started_ticks(pid),
            created_at=time.time(),
            deadline=Deadline.after(request.ttl_s),
            limits=request.limits,
            disk_bytes=request.disk_bytes,
            labels=request.labels,
        )

    def _write_record(self, record: SandboxRecord) -> None:
        write_whole(self.paths.bundle(record.sandbox_id) / "sandbox.json", record.as_json())

    # --- finding --------------------------------------------------------------------------------

    def keep_ranges_ready(self, ahead: int) -> None:
        """Make user namespaces before sandboxes need them, which else wait 5 ms for each; for ever, in a thread."""
        for index in range(idmap.RANGE_COUNT):
            self._ranges.wait_for_begun(index - ahead)
            self.assembly.namespaces.image(index)
            self.assembly.namespaces.writable(index)

    def records(self) -> list[SandboxRecord]:
        with self._lock:
            return list(self._live.values())

    def get(self, sandbox_id: str) -> SandboxRecord:
        """Raises: UnknownSandboxError."""
        with self._lock:
            record = self._live.get(sandbox_id)
        if record is None or not is_running(record):
            raise UnknownSandboxError(f"no sandbox {sandbox_id!r}" if record is None else f"{sandbox_id} has ended")
        return record

    def running(self, sandbox_id: str) -> SandboxRecord:
        """Raises: UnknownSandboxError, SandboxPausedError."""
        record = self.get(sandbox_id)
        if record.paused:
            raise SandboxPausedError(f"sandbox {sandbox_id} is paused; resume it first")
        return record

    def free_layer_bytes(self) -> int:
        return max(0, self._free_bytes() - self._reserve_bytes)

    def adopt(self, hibernated: Mapping[str, SandboxRecord]) -> list[str]:
        """After a restart: take over what runs, remove what is left of the rest. Returns the adopted ids.

        What is frozen by nobody's will goes on: a checkpoint may have been under way. But the processes that a
        hibernated sandbox was dumped from have to end, as they would have.
        """
        adopted = []
        self.crun.end_strays()
        for file in sorted((self.paths.work / "bundles").glob("*/sandbox.json")):
            record = SandboxRecord.from_json(file.read_text())
            dumped = hibernated.get(record.sandbox_id)
            is_dumped = dumped is not None and (dumped.pid, dumped.started_ticks) == (record.pid, record.started_ticks)
            if is_running(record) and not is_dumped:
                self._live[record.sandbox_id] = record
                self._ranges.take_exactly(record.range_index)
                (cgroups.freeze if record.paused else cgroups.thaw)(record.cgroup)
                adopted.append(record.sandbox_id)
        self._end_escaped()
        self._remove_orphans()
        return adopted

    def _end_escaped(self) -> None:
        """Whoever has an id of ours and is in no sandbox: a killed crun may leave it outside of every group of one."""
        kept = {record.range_index for record in self._live.values()}
        for pid, uid in owners():
            index = idmap.range_of(uid)
            if index is not None and index not in kept:
                log.warning("process %d of uid range %d belongs to no sandbox; killing it", pid, index)
                kill_and_wait(pid, time.monotonic() + _KILL_TIMEOUT_S)

    def _remove_orphans(self) -> None:
        known = set(self._live)
        others = (*SAVED_LAYERS, disks.PREFIX)
        found = {entry.name for entry in self.paths.layers.iterdir() if not entry.name.startswith(others)}
        for parent in (self.paths.work / "bundles", self.paths.run / SANDBOX_DIRECTORY, self.paths.crun):
            found |= {entry.name for entry in parent.iterdir() if not entry.name.startswith(".")}
        found |= cgroups.leftovers(self.node)
        for sandbox_id in sorted(found - known):
            try:
                self._remove(sandbox_id)
            except (SandboxFailedError, OSError):
                log.exception("what is left of sandbox %s cannot be removed", sandbox_id)

    # --- changing -------------------------------------------------------------------------------

    def _change(self, sandbox_id: str, **fields: Any) -> SandboxRecord:
        """In memory and in its file. Raises: UnknownSandboxError."""
        with self._lock:
            record = self._live.get(sandbox_id)
            if record is None or not is_running(record):
                raise UnknownSandboxError(f"there is no sandbox {sandbox_id!r}, or it has ended")
            self._live[sandbox_id] = record = replace(record, **fields)
            self._write_record(record)
        return record

    def claim(self, sandbox_id: str, image: str, labels: dict[str, str], ttl_s: float) -> bool:
        """Hand a sandbox over, under other labels and a new deadline; False when there is none of that image."""
        with self._lock:
            record = self._live.get(sandbox_id)
        if record is None or record.image != image:
            return False
        with contextlib.suppress(UnknownSandboxError):
            self._change(sandbox_id, labels=labels, deadline=Deadline.after(ttl_s))
            failpoints.hit("launcher.claim.recorded")
            return True
        return False

    def take_over(self, sandbox_id: str, labels: dict[str, str], ttl_s: float) -> SandboxRecord:
        """For a server that did not make it: it runs, under these labels. Raises: UnknownSandboxError."""
        with self.busy.held(sandbox_id):
            record = self._change(sandbox_id, labels=labels, deadline=Deadline.after(ttl_s), paused=False)
            failpoints.hit("launcher.adopt.recorded")
            cgroups.thaw(record.cgroup)
        return record

    def pause(self, sandbox_id: str) -> None:
        """Idempotent. Raises: UnknownSandboxError, TimeoutError."""
        with self.busy.held(sandbox_id):
            record = self._change(sandbox_id, paused=True)
            failpoints.hit("launcher.pause.recorded")
            try:
                cgroups.freeze(record.cgroup)
            except BaseException:
                self._change(sandbox_id, paused=False)
                raise
            failpoints.hit("launcher.pause.frozen")

    def resume(self, sandbox_id: str) -> None:
        """Idempotent. Raises: UnknownSandboxError."""
        with self.busy.held(sandbox_id):
            record = self._change(sandbox_id, paused=False)
            failpoints.hit("launcher.resume.recorded")
            cgroups.thaw(record.cgroup)

    # --- ending ---------------------------------------------------------------------------------

    def destroy(self, sandbox_id: str) -> bool:
        """End a sandbox and remove all of it; False when there is none of that id."""
        with self.busy.held(sandbox_id):
            return self.end(sandbox_id)

    def end(self, sandbox_id: str) -> bool:
        """`destroy`, for whoever holds the sandbox's lock."""
        with self._lock:
            record = self._live.pop(sandbox_id, None)
        if record is None:
            return False
        try:
            self._remove(sandbox_id)
        except BaseException:
            with self._lock:
                self._live[sandbox_id] = record  # to be tried again, by its owner or at its deadline
            raise
        self._ranges.give_back(record.range_index)
        return True

    def _remove(self, sandbox_id: str) -> None:
        failpoints.hit("launcher.destroy.begun")
        self.assembly.remove_container(sandbox_id, cgroups.path_for(self.node, sandbox_id))
        failpoints.hit("launcher.destroy.container_removed")
        self.assembly.remove_bundle(sandbox_id)
        self.assembly.remove_control(sandbox_id)
        failpoints.hit("launcher.destroy.layer_left")
        self.assembly.remove_layer(sandbox_id)


def layer_copy(source: Path, layers: Path) -> Callable[[str, int], None]:
    """A `make_layer` that begins with what is in `source`."""

    def copy(name: str, disk_bytes: int) -> None:
        btrfs.snapshot_subvolume(source, layers, name, disk_bytes)

    return copy
