"""What a sandbox is put together from, and its taking apart: layer, directories, bundle, mounts, container.

The three mounts are taken off the launcher's own namespace once the container has its copy: a mount table that grew
with the number of sandboxes would make each new one slower.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from envserver.launcher import btrfs, bundle, cgroups, idmap, syscalls
from envserver.launcher.crun import SandboxFailedError
from envserver.launcher.paths import Paths
from envserver.launcher.processes import kill_and_wait
from envserver.launcher.records import SandboxRequest

_KILL_TIMEOUT_S = 10.0
_USER = 1000
_MOUNT_POINTS = ("lower", "upper", "root")


class Assembly:
    """Knows nothing of order: `SandboxMaker` does. Safe to call from many threads."""

    def __init__(self, paths: Paths, server_gid: int) -> None:
        self._paths, self._server_gid = paths, server_gid
        self.namespaces = idmap.UserNamespaces()

    def new_layer(self, name: str, disk_bytes: int) -> None:
        """An empty layer with the directories that the agent's actions rely on, owned by the user."""
        subvolume = btrfs.create_subvolume(self._paths.layers, name, disk_bytes)
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
            btrfs.destroy_subvolume(self._paths.layers, name)
            raise

    def make_directories(self, sandbox_id: str, index: int, undo: contextlib.ExitStack) -> None:
        control, directory = self._paths.control(sandbox_id), self._paths.bundle(sandbox_id)
        for path, remove in ((control, self.remove_control), (directory, self.remove_bundle)):
            path.mkdir(mode=0o711)  # container root, whom the host does not know, passes through
            undo.callback(remove, sandbox_id)
        for name in _MOUNT_POINTS:
            (directory / name).mkdir()
        # The server's group may pass through; inside, that group has no name and users are "others".
        os.chown(control, idmap.range_start(index), self._server_gid)
        control.chmod(0o710)

    def write_bundle(self, sandbox_id: str, index: int, agent: str, cgroup: str, request: SandboxRequest) -> None:
        directory = self._paths.bundle(sandbox_id)
        config = bundle.configuration(
            root=directory / "root",
            dev=self._paths.dev,
            control=self._paths.control(sandbox_id),
            range_index=index,
            cgroup=cgroup,
            agent=agent,
            ttl_s=request.ttl_s,
            limits=request.limits,
        )
        bundle.write(directory, config)

    @contextlib.contextmanager
    def mounted(self, sandbox_id: str, index: int, rootfs: Path) -> Iterator[None]:
        """The sandbox's root at `<bundle>/root`, for as long as crun needs to enter it."""
        directory = self._paths.bundle(sandbox_id)
        lower, upper, root = directory / "lower", directory / "upper", directory / "root"
        layer = self._paths.layers / sandbox_id
        with contextlib.ExitStack() as stack:
            syscalls.attach_id_mapped(rootfs, lower, self.namespaces.image(index), read_only=True)
            stack.callback(syscalls.umount, lower)
            syscalls.attach_id_mapped(layer, upper, self.namespaces.writable(index), read_only=False)
            stack.callback(syscalls.umount, upper)
            options = f"lowerdir={lower},upperdir={upper}/u,workdir={upper}/w"
            syscalls.mount("overlay", root, "overlay", syscalls.MS_NODEV | syscalls.MS_NOSUID, options)
            stack.callback(syscalls.umount, root)
            yield

    def try_id_map(self) -> None:
        """Mount something with an id map. Raises: OSError where that is not to be had."""
        target = self._paths.work / "id-map"
        target.mkdir(exist_ok=True)
        syscalls.attach_id_mapped(self._paths.dev, target, self.namespaces.image(0), read_only=True)
        syscalls.umount(target)

    # --- taking apart ---------------------------------------------------------------------------

    def remove_layer(self, sandbox_id: str) -> None:
        if (self._paths.layers / sandbox_id).exists():
            btrfs.destroy_subvolume(self._paths.layers, sandbox_id)

    def remove_bundle(self, sandbox_id: str) -> None:
        """Together with what a failure, or the launcher's death, has left mounted in it."""
        directory = self._paths.bundle(sandbox_id)
        # First and without fail: CRIU mounts the host's control groups in there, where rmtree must not go.
        syscalls.umount_below(directory)
        shutil.rmtree(directory, ignore_errors=True)

    def remove_control(self, sandbox_id: str) -> None:
        shutil.rmtree(self._paths.control(sandbox_id), ignore_errors=True)

    def remove_container(self, sandbox_id: str, cgroup: str) -> None:
        """Faster than `crun delete --force` by 10 ms: the group names all processes, so no state need be asked.

        Frozen processes are killed before they are thawed: a hibernated sandbox's may not run one step further.
        """
        _kill_all(cgroup)
        with contextlib.suppress(FileNotFoundError):
            cgroups.thaw(cgroup)  # a frozen process does not die
        deadline = time.monotonic() + _KILL_TIMEOUT_S
        while pids := cgroups.processes(cgroup):
            kill_and_wait(pids[0] if len(pids) == 1 else min(pids), deadline)
            _kill_all(cgroup)
            if time.monotonic() > deadline:
                raise SandboxFailedError(f"sandbox {sandbox_id}: processes {pids[:5]} do not die")
        cgroups.remove(cgroup)
        shutil.rmtree(self._paths.crun / sandbox_id, ignore_errors=True)


def _kill_all(cgroup: str) -> None:
    for pid in cgroups.processes(cgroup):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
