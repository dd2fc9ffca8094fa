"""What a node holds on its host: counted before and after a program, it shows what the program left behind."""

from __future__ import annotations

import json
import subprocess
import time

_COUNT = """
import json, os, subprocess
from pathlib import Path
from envserver.launcher.node import NodeConfig
def entries(path): return sum(1 for p in Path(path).glob("*") if not p.name.startswith("."))
def orphaned(p):  # the dead are PID 1's to bury, which takes it a moment on a busy machine; they hold nothing
    state, parent = (p / "stat").read_text().rpartition(")")[2].split()[:2]
    return parent == "1" and state != "Z"
own = "envserver/" + NodeConfig().name  # other nodes of this host come and go as they like
hierarchies = [*Path("/sys/fs/cgroup").glob("*/" + own), Path("/sys/fs/cgroup") / own]
groups = sum(len(dirs) for root in hierarchies for _, dirs, _ in os.walk(root))
mounts = Path("/proc/1/mountinfo").read_text().splitlines()
print(json.dumps({
    "processes": sum(1 for p in Path("/proc").glob("[0-9]*") if "agent" in (p / "cmdline").read_text().split("\\0")[0]
                     or orphaned(p)),
    "mounts": len(mounts),
    "cgroups": groups,
    "layers": sum(1 for p in Path("/var/lib/envserver/layers").iterdir() if not p.name.startswith("checkpoint-")),
    "bundles": entries("/run/envserver-work/bundles"),
    "crun_states": entries("/run/envserver-work/crun"),
    "sockets": entries("/run/envserver/s"),
    "loop_devices": sum(" /dev/loop" in line for line in mounts),
}))
"""

OF_SANDBOXES = ("cgroups", "layers", "bundles", "crun_states", "sockets")
"""What no node without sandboxes holds any of."""


def take(container: str) -> dict[str, int]:
    """Counts inside a launcher's container. Raises: subprocess.CalledProcessError."""
    command = ["docker", "exec", container, "python3", "-c", _COUNT]
    counted: dict[str, int] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return counted


def idle(container: str, timeout_s: float = 30.0) -> dict[str, int]:
    """The counts once nothing of any sandbox is there, or as they are when time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        counted = take(container)
        if not any(counted[name] for name in OF_SANDBOXES) or time.monotonic() > deadline:
            return counted
        time.sleep(0.2)


def settle(container: str, expected: dict[str, int], timeout_s: float = 15.0) -> dict[str, int]:
    """The counts once they equal `expected`, or as they are when time is up: destroying goes on after its answer."""
    deadline = time.monotonic() + timeout_s
    while True:
        counted = take(container)
        if counted == expected or time.monotonic() > deadline:
            return counted
        time.sleep(0.2)
