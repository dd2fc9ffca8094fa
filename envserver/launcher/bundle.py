"""The OCI bundle of a sandbox, built from one template. Nothing of a caller's reaches it but checked numbers.

What each odd choice is for: /dev is one bind mount, made beforehand, because CRIU does not know the binds that crun
makes by itself in a user namespace; there is no device rule, because restoring one fails under nested cgroup v1,
and the user namespace and the missing MKNOD deny devices anyway; the network namespace is the container's
own and holds loopback alone; tmpfs mounts are few, each costs 8 ms on restore.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envserver.launcher import cgroups, idmap, seccomp

AGENT_DIRECTORY = "/.envserver"
CONTROL_DIRECTORY = f"{AGENT_DIRECTORY}/run"
SOCKET_NAME = "agent.sock"
CAPABILITIES = ["CAP_SETUID", "CAP_SETGID", "CAP_KILL"]
CPU_PERIOD_US = 100_000
TERMINALS = "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,max=64"
"""Mount options of /dev/pts."""
SIGNALS_PENDING = 512
"""The kernel counts queued signals and timers of all user namespaces together, under whoever made these."""
ORPHAN_MARGIN_S = 60
"""An agent without a server ends itself so long after its sandbox's deadline."""
MASKED_PATHS = """
/proc/acpi /proc/asound /proc/kallsyms /proc/kcore /proc/keys /proc/key-users /proc/latency_stats /proc/modules
/proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats /proc/vmallocinfo
""".split()
READ_ONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}


@dataclass(frozen=True)
class BundleLimits:
    """The numbers of a sandbox that the kernel enforces through its bundle; sizes in bytes."""

    memory_bytes: int
    cpus: float
    pids: int
    shm_bytes: int
    nofile: int


def make_dev(directory: Path) -> Path:
    """The directory that every sandbox gets, read-only, as /dev: six nodes, links and two mount points."""
    directory.mkdir(mode=0o755, exist_ok=True)
    for name, (major, minor) in _DEVICES.items():
        node = directory / name
        if not node.exists():
            os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(major, minor))
            node.chmod(0o666)
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, target in links.items():
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(target)
    for name in ("pts", "shm"):
        (directory / name).mkdir(mode=0o755, exist_ok=True)
    _empty(directory).mkdir(mode=0o555, exist_ok=True)
    return directory


def _empty(dev: Path) -> Path:
    """What covers a masked directory: crun itself would mount a tmpfs, which CRIU packs into a tar at each dump."""
    return dev.with_name("empty")


def _masked_directories() -> list[str]:
    return [path for path in MASKED_PATHS if Path(path).is_dir()]


def shm_inodes(shm_bytes: int) -> int:
    """How many files /dev/shm may hold: each takes memory that its size does not count."""
    return max(256, min(65536, shm_bytes // 4096))


def _mounts(dev: Path, control: Path, shm_bytes: int) -> list[dict[str, Any]]:
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "bind", "source": str(dev), "options": ["bind", "ro", "nosuid", "noexec"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": TERMINALS.split(","),
        },
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": ["nosuid", "nodev", f"size={shm_bytes}", f"nr_inodes={shm_inodes(shm_bytes)}", "mode=1777"],
        },
        *(
            {
                "destination": path,
                "type": "bind",
                "source": str(_empty(dev)),
                "options": ["bind", "ro", "nosuid", "nodev", "noexec"],
            }
            for path in _masked_directories()
        ),
        {
            "destination": CONTROL_DIRECTORY,
            "type": "bind",
            "source": str(control),
            "options": ["bind", "rw", "nosuid", "nodev", "noexec"],
        },
    ]


def socket_bytes(limits: BundleLimits) -> int | None:
    """What TCP and UDP buffers may hold beside the memory limit; None where control groups count them in it.

    Version 1 counts them only where they have a limit of their own. Without one a sandbox of any size could fill the
    pages that tcp_mem and udp_mem grant to the whole host.
    """
    return None if cgroups.is_v2() else max(4 << 20, limits.memory_bytes // 8)


def _resources(limits: BundleLimits) -> dict[str, Any]:
    memory = {"limit": limits.memory_bytes, "swap": limits.memory_bytes}
    if (sockets := socket_bytes(limits)) is not None:
        memory["kernelTCP"] = sockets
    return {
        "memory": memory,
        "cpu": {"quota": int(limits.cpus * CPU_PERIOD_US), "period": CPU_PERIOD_US},
        "pids": {"limit": limits.pids},
    }


def ipc_limits(limits: BundleLimits) -> dict[str, str]:
    """System V objects outlive their makers, so a dead process's would fill the sandbox's memory for good."""
    pages = limits.shm_bytes // 4096
    return {
        "kernel.shmall": str(pages),
        "kernel.shmmax": str(limits.shm_bytes),
        "kernel.shm_rmid_forced": "1",
        "kernel.msgmni": "32",
    }


def configuration(
    *,
    root: Path,
    dev: Path,
    control: Path,
    range_index: int,
    cgroup: str,
    agent: str,
    ttl_s: float,
    limits: BundleLimits,
) -> dict[str, Any]:
    """config.json of a sandbox whose PID 1 is the guest agent."""
    start = idmap.range_start(range_index)
    id_map = [{"containerID": 0, "hostID": start, "size": idmap.RANGE_SIZE}]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": [
                agent,
                "--socket",
                f"{CONTROL_DIRECTORY}/{SOCKET_NAME}",
                "--orphan-timeout-s",
                str(int(ttl_s) + ORPHAN_MARGIN_S),
            ],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}],
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": False},
        "hostname": "sandbox",
        "mounts": _mounts(dev, control, limits.shm_bytes),
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup", "user")],
            "uidMappings": id_map,
            "gidMappings": id_map,
            "cgroupsPath": cgroup,
            "resources": _resources(limits),
            "sysctl": ipc_limits(limits),
            "seccomp": seccomp.profile(),
            "maskedPaths": [path for path in MASKED_PATHS if path not in _masked_directories()],
            "readonlyPaths": READ_ONLY_PATHS,
        },
    }


def write(directory: Path, config: dict[str, Any]) -> None:
    (directory / "config.json").write_text(json.dumps(config, separators=(",", ":")))
