"""What the Engine is asked to create, from one template. Of a caller's, only checked numbers and labels reach it.

The Engine's containers have no user namespace, so their root is the host's: the agent holds three capabilities and
nothing can be gained, user processes have a host uid that no other live sandbox has, and the image is read-only.

What each odd choice is for: empty read-only tmpfs cover /sys/fs/cgroup and /dev/mqueue, since runc cannot mount
version 1 control groups into a namespace of their own, and a message queue is memory that nobody counts; the
volumes are anonymous, so they go when their container is removed; `UsernsMode` is host, since on an Engine that remaps
all containers share one range, and the owners on disk would be others than those inside.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envserver.launcher import bundle, seccomp
from envserver.launcher.docker import disks

AGENT = f"{bundle.AGENT_DIRECTORY}/agent"
_COVER = "ro,nosuid,nodev,noexec,size=4k"


@dataclass(frozen=True)
class Files:
    """What is mounted from the host, as paths of the Engine's mount namespace."""

    agent: Path
    control: Path
    """Where the agent makes its socket."""
    accounts: Path
    """Has `passwd` and `group`, for the names of the sandbox's uid."""


def body(
    *,
    image: str,
    sandbox_id: str,
    device: disks.Device,
    files: Files,
    server_uid: int,
    ttl_s: float,
    limits: bundle.BundleLimits,
    labels: dict[str, str],
) -> dict[str, Any]:
    """The body of the Engine's create call, for a container whose PID 1 is the guest agent."""
    return {
        "Image": image,
        "User": "0:0",
        "WorkingDir": "/",
        "Hostname": "sandbox",
        "Env": ["PATH=/usr/bin:/bin"],
        "Entrypoint": [AGENT],
        "Cmd": _arguments(server_uid, ttl_s),
        "Healthcheck": {"Test": ["NONE"]},
        "NetworkDisabled": True,
        "Labels": labels,
        "HostConfig": {
            **_isolation(),
            **_resources(limits),
            "Mounts": [
                *(_volume(device, sandbox_id, each) for each in disks.DIRECTORIES),
                _terminals(),
                *_binds(files),
            ],
            "LogConfig": {"Type": "none"},
            "RestartPolicy": {"Name": "no"},
            "Init": False,
        },
    }


def _arguments(server_uid: int, ttl_s: float) -> list[str]:
    mounts = [word for directory in disks.DIRECTORIES for word in ("--mount", directory)]
    socket = f"{bundle.CONTROL_DIRECTORY}/{bundle.SOCKET_NAME}"
    orphan_s = str(int(ttl_s) + bundle.ORPHAN_MARGIN_S)
    return ["--socket", socket, "--peer-uid", str(server_uid), "--orphan-timeout-s", orphan_s, *mounts]


def _isolation() -> dict[str, Any]:
    return {
        "NetworkMode": "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "UsernsMode": "host",
        "Privileged": False,
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "CapAdd": bundle.CAPABILITIES,
        "SecurityOpt": ["no-new-privileges", f"seccomp={json.dumps(seccomp.profile())}"],
        "MaskedPaths": [*bundle.MASKED_PATHS, "/sys"],
        "ReadonlyPaths": bundle.READ_ONLY_PATHS,
    }


def _resources(limits: bundle.BundleLimits) -> dict[str, Any]:
    inodes = bundle.shm_inodes(limits.shm_bytes)
    return {
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "CpuPeriod": bundle.CPU_PERIOD_US,
        "CpuQuota": int(limits.cpus * bundle.CPU_PERIOD_US),
        "PidsLimit": limits.pids,
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "sigpending", "Soft": bundle.SIGNALS_PENDING, "Hard": bundle.SIGNALS_PENDING},
        ],
        "Sysctls": bundle.ipc_limits(limits),
        "Tmpfs": {
            "/dev/shm": f"exec,nosuid,nodev,size={limits.shm_bytes},nr_inodes={inodes},mode=1777",
            "/dev/mqueue": _COVER,
            "/sys/fs/cgroup": _COVER,
        },
    }


def _volume(device: disks.Device, sandbox_id: str, directory: str) -> dict[str, Any]:
    options = {"type": "btrfs", "device": device.source, "o": device.options(sandbox_id, directory)}
    driver = {"Name": "local", "Options": options}
    return {"Type": "volume", "Target": directory, "VolumeOptions": {"NoCopy": True, "DriverConfig": driver}}


def _terminals() -> dict[str, Any]:
    """The Engine's own /dev/pts has no bound but the host's, which all sandboxes share."""
    options = {"type": "devpts", "device": "devpts", "o": bundle.TERMINALS}
    driver = {"Name": "local", "Options": options}
    return {"Type": "volume", "Target": "/dev/pts", "VolumeOptions": {"NoCopy": True, "DriverConfig": driver}}


def _binds(files: Files) -> list[dict[str, Any]]:
    def bind(source: Path, target: str, *, read_only: bool = True) -> dict[str, Any]:
        private = {"Propagation": "rprivate"}
        return {
            "Type": "bind",
            "Source": str(source),
            "Target": target,
            "ReadOnly": read_only,
            "BindOptions": private,
        }

    return [
        bind(files.agent, AGENT),
        bind(files.control, bundle.CONTROL_DIRECTORY, read_only=False),
        bind(files.accounts / "passwd", "/etc/passwd"),
        bind(files.accounts / "group", "/etc/group"),
    ]
