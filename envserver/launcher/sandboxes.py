"""Making and ending sandboxes: the order of the steps, and their undoing.

A sandbox is a uid range, a quota'd subvolume, a control directory, three mounts, a bundle and what crun makes
of them. Each step registers its undoing before the next begins, so that a failure anywhere leaves nothing. The
three mounts are taken off the launcher's own namespace once the container has its copy: a mount table that grew
with the number of sandboxes would make each new one slower.

The record in `sandbox.json` is what a restarted launcher finds its sandboxes by.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from envserver.launcher import btrfs, bundle, cgroups, idmap, syscalls
from envserver.launcher.crun import Crun, SandboxFailedError
from envserver.launcher.docker import disks
from envserver.launcher.images import ImageStore
from envserver.launcher.processes import kill_and_wait, started_ticks
from envserver.launcher.protocol import SANDBOX_DIRECTORY

log = logging.getLogger("envserver.launcher")

_KILL_TIMEOUT_S = 10.0
_USER = 1000
_MOUNT_POINTS = ("lower", "upper", "root")


class DiskReserveError(Exception):
    """The writable layers' file system is too full for another sandbox."""


@dataclass(frozen=True)
class SandboxRequest:
    """What the server may choose of a sandbox; checked in `service.py`."""

    image: str
    limits: bundle.BundleLimits
    disk_bytes: int
    labels: dict[str, str]
    ttl_s: float


@dataclass(frozen=True)
class SandboxRecord:
    sandbox_id: str
    image: str
    agent: str
    range_index: int
    cgroup: str
    pid: int
    started_ticks: int
    """Start time of `pid` in /proc/<pid>/stat: tells it from a later process of the same number."""
    created_at: float
    deadline: float
    limits: bundle.BundleLimits
    disk_bytes: int
    labels: dict[str, str]


@dataclass(frozen=True)
class Paths:
    """Where a node keeps what. `run` is shared with the server; `work` is memory (crun's state, bundles)."""

    layers: Path
    run: Path
    work: Path
    checkpoints: Path
    dev: Path

    def bundle(self, sandbox_id: str) -> Path:
        return self.work / "bundles" / sandbox_id

    def control(self, sandbox_id: str) -> Path:
        return self.run / SANDBOX_DIRECTORY / sandbox_id

    @property
    def crun(self) -> Path:
        return self.work / "crun"


Undo = contextlib.ExitStack


class SandboxMaker:
    """Creates, finds and destroys sandboxes; safe to call from many threads."""

    def __init__(
        self, node: str, paths: Paths, images: ImageStore, *, server_uid: int, server_gid: int, reserve_bytes: int
    ) -> None:
        self.node, self.paths, self.images = node, paths, images
        self._server_uid, self._server_gid, self._reserve_bytes = server_uid, server_gid, reserve_bytes
        self.crun = Crun(paths.crun, paths.work / "errors")
        self._namespaces = idmap.UserNamespaces()
        self._ranges = idmap.RangePool()
        self._live: dict[str, SandboxRecord] = {}
        self._lock = threading.Lock()

    # --- making ---------------------------------------------------------------------------------

    def create(self, request: SandboxRequest) -> SandboxRecord:
        """A running sandbox from an image. Raises: ImageError, DiskReserveError, SandboxFailedError, OSError."""
        image = self.images.resolve(request.image)
        return self._make(replace(request, image=image.digest), self.images.agent_path, self._new_layer, self._run)

    def restore(
        self, request: SandboxRequest, agent: str, layer: Path, start: Callable[[str, int], None]
    ) -> SandboxRecord:
        """A running sandbox from a checkpoint; `start(sandbox_id, range_index)` brings its processes back."""

        def copy_layer(name: str, disk_bytes: int) -> None:
            btrfs.snapshot_subvolume(layer, self.paths.layers, name, disk_bytes)

        return self._make(request, agent, copy_layer, start)

    def _make(
        self,
        request: SandboxRequest,
        agent: str,
        make_layer: Callable[[str, int], None],
        start: Callable[[str, int], None],
    ) -> SandboxRecord:
        self.check_reserve(request.disk_bytes)
        sandbox_id = os.urandom(8).hex()
        cgroup = cgroups.path_for(self.node, sandbox_id)
        with contextlib.ExitStack() as undo:
            index = self._ranges.take()
            undo.callback(self._ranges.give_back, index)
            make_layer(sandbox_id, request.disk_bytes)
            undo.callback(btrfs.destroy_subvolume, self.paths.layers, sandbox_id)
            self._make_directories(sandbox_id, index, undo)
            self._write_bundle(sandbox_id, index, agent, cgroup, request)
            undo.callback(self._remove_container, sandbox_id, cgroup)
            with self._mounted(sandbox_id, index, self.images.rootfs(request.image)):
                start(sandbox_id, index)
            record = self._record(sandbox_id, index, agent, cgroup, request)
            cgroups.hand_over_peak(cgroup, self._server_uid)
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

    def _new_layer(self, name: str, disk_bytes: int) -> None:
        """An empty layer with the directories that the agent's actions rely on, owned by the user."""
        subvolume = btrfs.create_subvolume(self.paths.layers, name, disk_bytes)
        try:
            for directory, owner in (
                ("u", 0),
                ("w", None),
                ("u/workspace", _USER),
                ("u/home", 0),
                ("u/home/user", _USER),
            ):
                (subvolume / directory).mkdir(mode=0o755)
                if owner is not None:
                    os.chown(subvolume / directory, idmap.DISK_ID + owner, idmap.DISK_ID + owner)
        except BaseException:
            btrfs.destroy_subvolume(self.paths.layers, name)
            raise

    def _make_directories(self, sandbox_id: str, index: int, undo: Undo) -> None:
        control, directory = self.paths.control(sandbox_id), self.paths.bundle(sandbox_id)
        for path, remove in ((control, self._remove_control), (directory, self._remove_bundle)):
            path.mkdir(mode=0o711)  # container root, whom the host does not know, passes through
            undo.callback(remove, sandbox_id)
        for name in _MOUNT_POINTS:
            (directory / name).mkdir()
        # The server's group may pass through; inside, that group has no name and users are "others".
        os.chown(control, idmap.range_start(index), self._server_gid)
        control.chmod(0o710)

    def _write_bundle(self, sandbox_id: str, index: int, agent: str, cgroup: str, request: SandboxRequest) -> None:
        directory = self.paths.bundle(sandbox_id)
        config = bundle.configuration(
            root=directory / "root",
            dev=self.paths.dev,
            control=self.paths.control(sandbox_id),
            range_index=index,
            cgroup=cgroup,
            agent=agent,
            ttl_s=request.ttl_s,
            limits=request.limits,
        )
        bundle.write(directory, config)

    @contextlib.contextmanager
    def _mounted(self, sandbox_id: str, index: int, rootfs: Path) -> Any:
        """The sandbox's root at `<bundle>/root`, for as long as crun needs to enter it."""
        directory = self.paths.bundle(sandbox_id)
        lower, upper, root = directory / "lower", directory / "upper", directory / "root"
        layer = self.paths.layers / sandbox_id
        with contextlib.ExitStack() as stack:
            syscalls.attach_id_mapped(rootfs, lower, self._namespaces.image(index), read_only=True)
            stack.callback(syscalls.umount, lower)
            syscalls.attach_id_mapped(layer, upper, self._namespaces.writable(index), read_only=False)
            stack.callback(syscalls.umount, upper)
            options = f"lowerdir={lower},upperdir={upper}/u,workdir={upper}/w"
            syscalls.mount("overlay", root, "overlay", syscalls.MS_NODEV | syscalls.MS_NOSUID, options)
            stack.callback(syscalls.umount, root)
            yield

    def _run(self, sandbox_id: str, index: int) -> None:
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
        now = time.time()
        record = SandboxRecord(
            sandbox_id=sandbox_id,
            image=request.image,
            agent=agent,
            range_index=index,
            cgroup=cgroup,
            pid=pid,
            started_ticks=started_ticks(pid),
            created_at=now,
            deadline=now + request.ttl_s,
            limits=request.limits,
            disk_bytes=request.disk_bytes,
            labels=request.labels,
        )
        self._write_record(record)
        return record

    def _write_record(self, record: SandboxRecord) -> None:
        write_whole(self.paths.bundle(record.sandbox_id) / "sandbox.json", json.dumps(asdict(record)))

    # --- finding --------------------------------------------------------------------------------

    def try_id_map(self) -> None:
        """Mount something with an id map. Raises: OSError where that is not to be had."""
        target = self.paths.work / "id-map"
        target.mkdir(exist_ok=True)
        syscalls.attach_id_mapped(self.paths.dev, target, self._namespaces.image(0), read_only=True)
        syscalls.umount(target)

    def keep_ranges_ready(self, ahead: int) -> None:
        """Make user namespaces before sandboxes need them, which else wait 5 ms for each; for ever, in a thread."""
        for index in range(idmap.RANGE_COUNT):
            self._ranges.wait_for_begun(index - ahead)
            self._namespaces.image(index)
            self._namespaces.writable(index)

    def get(self, sandbox_id: str) -> SandboxRecord | None:
        with self._lock:
            return self._live.get(sandbox_id)

    def records(self) -> list[SandboxRecord]:
        with self._lock:
            return list(self._live.values())

    def free_layer_bytes(self) -> int:
        return max(0, self._free_bytes() - self._reserve_bytes)

    def adopt(self) -> list[str]:
        """After a restart: take over what runs, remove what is left of the rest. Returns the adopted ids."""
        adopted = []
        self.crun.end_strays()
        for file in sorted((self.paths.work / "bundles").glob("*/sandbox.json")):
            fields = json.loads(file.read_text())
            record = SandboxRecord(**{**fields, "limits": bundle.BundleLimits(**fields["limits"])})
            if is_running(record):
                self._live[record.sandbox_id] = record
                self._ranges.take_exactly(record.range_index)
                cgroups.thaw(record.cgroup)  # a checkpoint may have been under way
                adopted.append(record.sandbox_id)
        self._remove_orphans()
        return adopted

    def _remove_orphans(self) -> None:
        known = set(self._live)
        others = ("checkpoint-", disks.PREFIX)
        found = {entry.name for entry in self.paths.layers.iterdir() if not entry.name.startswith(others)}
        for parent in (self.paths.work / "bundles", self.paths.run / SANDBOX_DIRECTORY, self.paths.crun):
            found |= {entry.name for entry in parent.iterdir() if not entry.name.startswith(".")}
        found |= cgroups.leftovers(self.node)
        for sandbox_id in sorted(found - known):
            try:
                self._remove(sandbox_id)
            except (SandboxFailedError, OSError):
                log.exception("what is left of sandbox %s cannot be removed", sandbox_id)

    def claim(self, sandbox_id: str, image: str, labels: dict[str, str], ttl_s: float) -> bool:
        """Hand a sandbox over, under other labels and a new deadline; False when there is none of that image."""
        with self._lock:
            record = self._live.get(sandbox_id)
            if record is None or record.image != image:
                return False
            self._live[sandbox_id] = record = replace(record, labels=labels, deadline=time.time() + ttl_s)
            self._write_record(record)
        return True

    # --- ending ---------------------------------------------------------------------------------

    def destroy(self, sandbox_id: str) -> bool:
        """End a sandbox and remove all of it; False when there is none of that id."""
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
        self._remove_container(sandbox_id, cgroups.path_for(self.node, sandbox_id))
        self._remove_bundle(sandbox_id)
        self._remove_control(sandbox_id)
        if (self.paths.layers / sandbox_id).exists():
            btrfs.destroy_subvolume(self.paths.layers, sandbox_id)

    def _remove_bundle(self, sandbox_id: str) -> None:
        """Together with what a failure, or the launcher's death, has left mounted in it."""
        directory = self.paths.bundle(sandbox_id)
        # First and without fail: CRIU mounts the host's control groups in there, where rmtree must not go.
        syscalls.umount_below(directory)
        shutil.rmtree(directory, ignore_errors=True)

    def _remove_control(self, sandbox_id: str) -> None:
        shutil.rmtree(self.paths.control(sandbox_id), ignore_errors=True)

    def _remove_container(self, sandbox_id: str, cgroup: str) -> None:
        """Faster than `crun delete --force` by 10 ms: the group names all processes, so no state need be asked."""
        with contextlib.suppress(FileNotFoundError):
            cgroups.thaw(cgroup)  # a frozen process does not die
        deadline = time.monotonic() + _KILL_TIMEOUT_S
        while pids := cgroups.processes(cgroup):
            kill_and_wait(pids[0] if len(pids) == 1 else min(pids), deadline)
            for pid in cgroups.processes(cgroup):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise SandboxFailedError(f"sandbox {sandbox_id}: processes {pids[:5]} do not die")
        cgroups.remove(cgroup)
        shutil.rmtree(self.paths.crun / sandbox_id, ignore_errors=True)


def is_running(record: SandboxRecord) -> bool:
    try:
        return started_ticks(record.pid) == record.started_ticks
    except (FileNotFoundError, ProcessLookupError):
        return False


def write_whole(path: Path, text: str) -> None:
    """All of it or nothing: a launcher that is killed meanwhile leaves no half of a record."""
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(path)
