"""Control groups, version 1 and 2, behind one face.

crun makes a sandbox's group from `path_for`; the launcher removes it, and the server, which has no
privilege, reads usage from it. Version 2 is written from the kernel's documentation and pending a trial on a
host that boots with it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envserver.launcher import syscalls

ROOT = Path("/sys/fs/cgroup")
PARENT = "envserver"
LIMITING = ("memory", "pids", "cpu", "freezer")
"""Controllers of version 1 that hold a sandbox to its limits, and still."""


class OutsideError(OSError):
    """A sandbox is not in its control group: nothing would limit it."""


def is_v2(root: Path = ROOT) -> bool:
    return (root / "cgroup.controllers").exists()


_is_v2_for_good = functools.cache(is_v2)


def path_for(node: str, sandbox_id: str) -> str:
    """`linux.cgroupsPath` of a sandbox: the same relative path in every hierarchy."""
    return f"/{PARENT}/{node}/{sandbox_id}"


def favor_changes(root: Path = ROOT) -> None:
    """Have the kernel move processes between groups at once, where each first move else waits 10 to 20 ms for RCU.

    `favordynmods` is an option of any hierarchy, acts on all and lasts until the next boot; version 2's can be mounted
    anew with it. Where only version 1 is mounted nothing is done: a hierarchy of our own, mounted for a moment, is seen
    by every CRIU on the host, which makes groups in it. It stays then, and what is restored ends up in no group at all.
    """
    mounted = HYBRID if HYBRID.is_mount() else root if is_v2(root) else None
    if mounted is not None:
        with contextlib.suppress(OSError):
            syscalls.remount_with(mounted, "favordynmods")


def require_inside(pid: int, path: str, root: Path = ROOT, proc: Path = Path("/proc")) -> None:
    """Raises: OutsideError unless a process is in its sandbox's group of each controller that limits it."""
    found = dict(line.split(":", 2)[1:] for line in (proc / str(pid) / "cgroup").read_text().splitlines())
    version_1 = {name: group for names, group in found.items() for name in names.split(",")}
    groups = [found.get("", "")] if is_v2(root) else [version_1.get(name, "") for name in LIMITING]
    for group in groups:
        if group != path and not group.startswith(f"{path}/"):
            raise OutsideError(f"process {pid} is in the control group {group or 'of nobody'}, not in {path}")


def prepare(node: str, root: Path = ROOT) -> None:
    """Make the node's own group where its controllers must be switched on for children (version 2)."""
    if not is_v2(root):
        return
    group = root
    for part in (PARENT, node):
        (group / "cgroup.subtree_control").write_text("+cpu +memory +pids")
        group = group / part
        group.mkdir(exist_ok=True)
    (group / "cgroup.subtree_control").write_text("+cpu +memory +pids")


HYBRID = Path("/run/envserver-cgroup2")
"""Where the launcher keeps the version 2 mount of a hybrid host: CRIU puts what it restores into it, too."""


def _hierarchies(root: Path) -> Iterator[Path]:
    if is_v2(root):
        yield root
        return
    seen = set()
    for entry in [*root.iterdir(), HYBRID]:
        # cpu and cpuacct may be links to one mount; `unified` is crun's own idea where we hide that mount.
        if entry.name != "unified" and entry.is_dir() and (real := entry.resolve()) not in seen:
            seen.add(real)
            yield real


def remove(path: str, root: Path = ROOT, patience_s: float = 5.0) -> None:
    """Remove a sandbox's groups and those that CRIU left below them, killing whatever is still inside.

    A group stays busy for moments after its last process. Raises: OSError when it stays so.
    """
    deadline = time.monotonic() + patience_s
    relative = path.lstrip("/")
    if not is_v2(root) and not (root / "unified").is_mount():
        shutil.rmtree(root / "unified" / relative, ignore_errors=True)
    for hierarchy in _hierarchies(root):
        for directory, _, _ in os.walk(hierarchy / relative, topdown=False):
            _remove_group(Path(directory), deadline)


def _remove_group(group: Path, deadline: float) -> None:
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            for pid in _members(group):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)
        else:
            return


def _members(group: Path) -> list[int]:
    try:
        found = [int(line) for line in (group / "cgroup.procs").read_text().split()]
    except FileNotFoundError:
        return []
    return [pid for pid in found if pid > 0]  # 0 is a process outside our pid namespace


def release(node: str, root: Path = ROOT) -> None:
    """Remove a node's own groups, and their parent when no other node uses it."""
    for hierarchy in _hierarchies(root):
        for group in (hierarchy / PARENT / node, hierarchy / PARENT):
            with contextlib.suppress(OSError):
                group.rmdir()


def leftovers(node: str, root: Path = ROOT) -> set[str]:
    """Ids of all sandboxes that have a group in any hierarchy."""
    found: set[str] = set()
    for hierarchy in _hierarchies(root):
        parent = hierarchy / PARENT / node
        if parent.is_dir():
            found.update(entry.name for entry in parent.iterdir() if entry.is_dir())
    return found


def processes(path: str, root: Path = ROOT) -> list[int]:
    """Host pids of all processes in a sandbox's group."""
    return _members((root if is_v2(root) else root / "pids") / path.lstrip("/"))


def memory_bytes(path: str, root: Path = ROOT) -> int:
    """What a group's processes and files in memory take now."""
    relative = path.lstrip("/")
    file = root / relative / "memory.current" if is_v2(root) else root / "memory" / relative / "memory.usage_in_bytes"
    return int(file.read_text())


@dataclass(frozen=True)
class GroupUsage:
    cpu_s: float
    memory_bytes: int
    memory_peak_bytes: int
    oom_kills: int
    pids_denied: int


@functools.cache
def _hierarchy(root: Path, controller: str | None) -> int:
    """Its descriptor, kept for good: paths below it do not lead through the root of the process, which may be slow."""
    return os.open(root / controller if controller else root, os.O_PATH | os.O_CLOEXEC)


_COUNTERS_V1 = {
    "cpu": ("cpuacct", "cpuacct.usage"),
    "memory": ("memory", "memory.usage_in_bytes"),
    "peak": ("memory", "memory.max_usage_in_bytes"),
    "oom": ("memory", "memory.oom_control"),
    "pids": ("pids", "pids.events"),
}
_COUNTERS_V2 = {
    "cpu": (None, "cpu.stat"),
    "memory": (None, "memory.current"),
    "peak": (None, "memory.peak"),
    "oom": (None, "memory.events"),
    "pids": (None, "pids.events"),
}


class UsageReader:
    """Reads one group's counters through descriptors kept open: five reads, about 30 µs."""

    def __init__(self, path: str, root: Path = ROOT) -> None:
        self._v2 = _is_v2_for_good(root)
        self._fds: dict[str, int] = {}
        try:
            for name, (controller, file) in (_COUNTERS_V2 if self._v2 else _COUNTERS_V1).items():
                directory = _hierarchy(root, controller)
                self._fds[name] = self._open(directory, f"{path.lstrip('/')}/{file}", writable=name == "peak")
        except OSError:
            self.close()
            raise

    @staticmethod
    def _open(directory: int, file: str, *, writable: bool) -> int:
        if writable:
            try:
                return os.open(file, os.O_RDWR | os.O_CLOEXEC, dir_fd=directory)
            except PermissionError:
                pass
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)

    def _read(self, name: str) -> bytes:
        return os.pread(self._fds[name], 4096, 0)

    def _field(self, name: str, field: bytes) -> int:
        for line in self._read(name).splitlines():
            key, _, value = line.partition(b" ")
            if key == field:
                return int(value)
        return 0

    def read(self) -> GroupUsage:
        """Raises OSError (ENODEV) once the group is gone."""
        cpu_s = self._field("cpu", b"usage_usec") / 1e6 if self._v2 else int(self._read("cpu")) / 1e9
        return GroupUsage(
            cpu_s=cpu_s,
            memory_bytes=int(self._read("memory")),
            memory_peak_bytes=int(self._read("peak")),
            oom_kills=self._field("oom", b"oom_kill"),
            pids_denied=self._field("pids", b"max"),
        )

    def reset_peak(self) -> None:
        """Begin a new window for the peak; a no-op where the kernel does not let us (version 2 before 6.12)."""
        try:
            os.pwrite(self._fds["peak"], b"0", 0)
        except OSError:
            return

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])


def limit_sockets(path: str, limit_bytes: int, root: Path = ROOT) -> None:
    """Count the buffers of TCP and UDP sockets that are made from now on, and bound them (version 1 alone)."""
    (root / "memory" / path.lstrip("/") / "memory.kmem.tcp.limit_in_bytes").write_text(str(limit_bytes))


def hand_over_peak(path: str, uid: int, root: Path = ROOT) -> None:
    """Let the server reset the peak counter, the one thing of a group that it may write."""
    if is_v2(root):
        file = root / path.lstrip("/") / "memory.peak"
    else:
        file = root / "memory" / path.lstrip("/") / "memory.max_usage_in_bytes"
    os.chown(file, uid, -1)


def freeze(path: str, root: Path = ROOT, patience_s: float = 5.0) -> None:
    """Hold every process of a group still until `thaw`. Raises: TimeoutError, and then holds none."""
    control, freeze, _ = _freezer(path, root)
    state, done = (control.with_name("cgroup.events"), "frozen 1") if is_v2(root) else (control, "FROZEN")
    control.write_text(freeze)
    try:
        deadline = time.monotonic() + patience_s
        while done not in state.read_text():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the processes of {path} do not freeze")
            time.sleep(0.0005)
    except BaseException:
        thaw(path, root)
        raise


def thaw(path: str, root: Path = ROOT) -> None:
    """Let a group's processes go on, if they were held."""
    control, _, go_on = _freezer(path, root)
    control.write_text(go_on)


def _freezer(path: str, root: Path) -> tuple[Path, str, str]:
    """The file that holds a group still, and what to write to it for that and for going on."""
    if is_v2(root):
        return root / path.lstrip("/") / "cgroup.freeze", "1", "0"
    return root / "freezer" / path.lstrip("/") / "freezer.state", "FROZEN", "THAWED"
