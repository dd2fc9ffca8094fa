"""What stands beside us in the same run: bare namespaces (the physical limit), and Docker's create, start, exec."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from envserver.launcher import syscalls

_ALL_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
"""mount, cgroup, uts, ipc, pid, network"""


def bare_namespaces(rounds: int) -> list[float] | None:
    """Seconds to make all namespaces, mount an overlay of `/`, enter it and run `true`; None without root."""
    if os.geteuid() != 0:
        return None
    samples = []
    # On memory: an overlay's upper layer may not lie on another overlay, as a container's root does.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        for name in ("upper", "work", "root"):
            (Path(scratch) / name).mkdir()
        for _ in range(rounds):
            began = time.perf_counter()
            child = os.fork()
            if child == 0:
                _enter_and_run_true(Path(scratch))
            _, status = os.waitpid(child, 0)
            if status != 0:
                raise RuntimeError(f"bare namespaces failed with status {status}")
            samples.append(time.perf_counter() - began)
    return samples


def _enter_and_run_true(scratch: Path) -> None:
    try:
        syscalls.unshare(_ALL_NAMESPACES)
        syscalls.mount("none", Path("/"), None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        options = f"lowerdir=/,upperdir={scratch}/upper,workdir={scratch}/work"
        syscalls.mount("overlay", scratch / "root", "overlay", 0, options)
        os.chroot(scratch / "root")
        os.chdir("/")
        init = os.fork()
        if init == 0:
            os.execv("/bin/true", ["true"])
        os._exit(os.waitstatus_to_exitcode(os.waitpid(init, 0)[1]))
    finally:
        os._exit(1)


def docker_create_start_exec(rounds: int, image: str = "envserver/code:latest") -> tuple[list[float], list[float]]:
    """Seconds for create + start + first exec of `true`, and for each later exec; limits and no network, as ours."""
    starts, execs = [], []
    limits = ["--network", "none", "--memory", "1g", "--pids-limit", "128", "--cap-drop", "ALL"]
    for _ in range(rounds):
        began = time.perf_counter()
        container = _docker("create", *limits, image, "sleep", "1000")
        try:
            _docker("start", container)
            _docker("exec", container, "true")
            starts.append(time.perf_counter() - began)
            for _ in range(3):
                began = time.perf_counter()
                _docker("exec", container, "true")
                execs.append(time.perf_counter() - began)
        finally:
            _docker("rm", "--force", container)
    return starts, execs


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()
