"""What a launcher needs of its container before it can serve; done once, and again without harm.

The fresh /proc replaces the masked one of the container (Compose v1 cannot ask for an unmasked one); the hybrid
version 2 mount is hidden, since crun refuses hybrids; crun, CRIU and bundles work on memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import resource
from dataclasses import dataclass
from pathlib import Path

from envserver.launcher import btrfs, bundle, cgroups, root, syscalls
from envserver.launcher.paths import Paths
from envserver.launcher.protocol import SANDBOX_DIRECTORY, SOCKET_NAME

GIB = 1 << 30
_INOTIFY_MAX = 1 << 24
"""More than a host's memory holds."""
WORK = Path("/run/envserver-work")


@dataclass(frozen=True)
class NodeConfig:
    """Set by `envserver launcher`'s options."""

    data: Path = Path("/var/lib/envserver")
    """Images, writable layers, checkpoints: on a disk, kept over restarts."""
    images: Path | None = None
    """Where images are, if not below `data`."""
    run: Path = Path("/run/envserver")
    """Sockets; shared with the server."""
    agent: Path = Path("/usr/lib/envserver/agent")
    docker_socket: Path = Path("/var/run/docker.sock")
    """Of a Docker Engine; none need be there."""
    engine_run: Path | None = None
    """`run` as the Engine sees it, whose paths are the host's; default: the same path."""
    oci_runtime: str | None = None
    """One that the Engine knows by name; default: its own choice."""
    server_uid: int = 990
    server_gid: int = 990
    layers_bytes: int = 16 * GIB
    keep_free_bytes: int = 2 * GIB
    """Of the host's disk, never taken for layers."""
    reserve_bytes: int = 512 << 20
    """Of the layers' file system, kept from new sandboxes."""
    hibernate_s: float = 20.0
    """What a node that is asked to stop may spend on saving episodes; a container's grace period must be longer."""
    concurrency: int = 8

    @property
    def name(self) -> str:
        """Tells this node's control groups from another's on the same host; the same after a restart."""
        identity = f"{self.data.resolve()}:{self.data.stat().st_ino}:{self.data.stat().st_dev}"
        return hashlib.sha256(identity.encode()).hexdigest()[:10]


def prepare(config: NodeConfig) -> Paths:
    """Make the directories and mounts. Raises: OSError, with a message fit for an operator."""
    _raise_open_files()
    root.leave_fuse()
    _unmask_proc()
    _raise_inotify()
    _hide_hybrid_cgroups()
    cgroups.favor_changes()
    cgroups.prepare(config.name)
    kept = (config.data / "checkpoints", config.data / "hibernated")
    for directory in (config.data, config.run, config.run / SANDBOX_DIRECTORY, *kept):
        directory.mkdir(parents=True, exist_ok=True)
    config.run.chmod(0o755)
    (config.run / SANDBOX_DIRECTORY).chmod(0o711)
    if not WORK.is_mount():
        WORK.mkdir(parents=True, exist_ok=True)
        syscalls.mount("tmpfs", WORK, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=0711")
    for name in ("bundles", "crun", "errors"):
        (WORK / name).mkdir(exist_ok=True)
    layers = config.data / "layers"
    if not layers.is_mount():
        layers = btrfs.prepare(config.data, config.layers_bytes, config.keep_free_bytes)
    return Paths(
        layers=layers,
        run=config.run,
        work=WORK,
        checkpoints=config.data / "checkpoints",
        dev=bundle.make_dev(config.data / "dev"),
    )


def release(config: NodeConfig) -> None:
    """Leave nothing on the host that `prepare` made there, but what is in `data`."""
    cgroups.release(config.name)
    (config.run / SOCKET_NAME).unlink(missing_ok=True)


def _raise_open_files() -> None:
    """Two descriptors a uid range and one a sandbox."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _raise_inotify() -> None:
    """Let memory alone bound inotify, on the whole host and until its next boot.

    The kernel counts the instances and watches of all user namespaces together, under the uid that made these: root.
    By its default one sandbox could take the 128 instances of all. Their memory is counted in each sandbox's limit.
    """
    for name in ("max_user_instances", "max_user_watches"):
        setting = Path("/proc/sys/fs/inotify") / name
        with contextlib.suppress(OSError):  # a probe tells where it is not to be had
            if int(setting.read_text()) < _INOTIFY_MAX:
                setting.write_text(str(_INOTIFY_MAX))


def _unmask_proc() -> None:
    points = syscalls.mount_points()
    # What a fresh /proc covers stays in the list: a launcher that is started again must not cover it once more.
    if any(point.startswith("/proc/") for point in points) and points.count("/proc") == 1:
        syscalls.mount("proc", Path("/proc"), "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)


def _hide_hybrid_cgroups() -> None:
    """Where version 2 is mounted beside version 1, see a /sys/fs/cgroup of version 1 alone.

    It is a memory file system of this container's own: crun makes groups in `unified` whether or not it is one.
    """
    unified = cgroups.ROOT / "unified"
    if not unified.is_mount():
        return
    cgroups.HYBRID.mkdir(exist_ok=True)
    syscalls.mount(str(unified), cgroups.HYBRID, None, syscalls.MS_BIND)
    private = Path("/run/envserver-cgroup")
    private.mkdir(exist_ok=True)
    syscalls.mount("tmpfs", private, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=0755")
    for entry in cgroups.ROOT.iterdir():
        if entry.name != "unified" and entry.is_dir():
            (private / entry.name).mkdir()
            syscalls.mount(str(entry), private / entry.name, None, syscalls.MS_BIND)
    syscalls.mount(str(private), cgroups.ROOT, None, syscalls.MS_BIND | syscalls.MS_REC)
