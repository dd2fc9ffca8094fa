"""The created container, read from outside through /proc and the control groups: held as docs/containment.md says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from envserver.launcher.client import LauncherClient
from envserver.runtimes.base import MIB, Command, Limits, SandboxSpec
from envserver.runtimes.crun import CrunRuntime
from tests.conftest import Node

pytestmark = pytest.mark.node

LIMITS = Limits(memory_bytes=128 * MIB, cpus=0.5, pids=40, disk_bytes=32 * MIB, shm_bytes=4 * MIB, nofile=300)
CAP_SETGID, CAP_SETUID, CAP_KILL = 1 << 6, 1 << 7, 1 << 5

_READ = """
import json, os, sys
from pathlib import Path
def process(pid):
    root = Path("/proc") / str(pid)
    return {
        "status": dict(line.split(":\\t", 1) for line in (root / "status").read_text().splitlines() if ":\\t" in line),
        "uid_map": (root / "uid_map").read_text().split(),
        "gid_map": (root / "gid_map").read_text().split(),
        "limits": {line[:26].strip(): line[26:].split()[:2] for line in (root / "limits").read_text().splitlines()[1:]},
        "mounts": [line.split() for line in (root / "mountinfo").read_text().splitlines()],
        "namespaces": {entry.name: os.readlink(entry) for entry in (root / "ns").iterdir()},
        "descriptors": [os.readlink(entry) for entry in (root / "fd").iterdir() if os.path.lexists(entry)],
    }
group = sys.argv[2].split("/", 1)[1]
files = {}
for name in ("memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes", "cpu/cpu.cfs_quota_us",
             "cpu/cpu.cfs_period_us", "pids/pids.max", "memory.max", "memory.swap.max", "cpu.max", "pids.max"):
    parent, _, leaf = name.rpartition("/")
    file = Path("/sys/fs/cgroup") / parent / group / leaf
    if file.exists():
        files[name] = file.read_text().strip()
inside = int(sys.argv[1])
members = [int(line) for kind in ("pids", ".") for file in [Path("/sys/fs/cgroup") / kind / group / "cgroup.procs"]
           if file.exists() for line in file.read_text().split()]
user = [pid for pid in members if "sleep" in (Path("/proc") / str(pid) / "cmdline").read_text()]
print(json.dumps({"agent": process(inside), "user": process(user[0]), "ours": process("self"), "files": files}))
"""


@pytest.fixture(scope="module")
def seen(node: Node) -> dict[str, Any]:
    """What /proc says of a sandbox's agent and of a user's process in it."""
    return asyncio.run(_look(node))


async def _look(node: Node) -> dict[str, Any]:
    runtime = CrunRuntime(node.run)
    box = await runtime.create(SandboxSpec("busybox", LIMITS, {"purpose": "inspection"}, 60.0))
    try:
        running = asyncio.ensure_future(box.run(Command(["sleep", "1000"]), timeout_s=20))
        while (await box.run(Command(["pidof", "sleep"]), timeout_s=5)).exit_code != 0:
            pass
        return await asyncio.to_thread(_read, node, box.sandbox_id)
    finally:
        await box.stop_processes()
        await running
        await box.destroy()
        await runtime.close()


def _read(node: Node, sandbox_id: str) -> dict[str, Any]:
    with LauncherClient(node.run) as client:
        (entry,) = (each for each in client.call("list")["sandboxes"] if each["sandbox_id"] == sandbox_id)
    output = node.docker("exec", node.container, "python3", "-c", _READ, str(entry["pid"]), entry["cgroup"])
    return {**json.loads(output), "host_uid": entry["host_uid"]}


def test_the_agent_holds_three_capabilities_and_users_none(seen: dict[str, Any]) -> None:
    agent, user = seen["agent"]["status"], seen["user"]["status"]
    allowed = CAP_SETUID | CAP_SETGID | CAP_KILL
    assert {name: int(agent[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {
        "CapPrm": allowed,
        "CapEff": allowed,
        "CapBnd": allowed,
        "CapInh": 0,
        "CapAmb": 0,
    }
    assert {int(user[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}
    assert int(user["CapBnd"], 16) & ~allowed == 0


@pytest.mark.parametrize("who", ["agent", "user"])
def test_every_process_is_filtered_and_gains_no_privilege(seen: dict[str, Any], who: str) -> None:
    status = seen[who]["status"]
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert int(status["Seccomp_filters"]) >= 1


def test_its_uids_are_nobody_s_on_the_host(seen: dict[str, Any]) -> None:
    start = seen["host_uid"]
    assert start >= 1 << 21
    for who in ("agent", "user"):
        assert seen[who]["uid_map"] == seen[who]["gid_map"] == ["0", str(start), "65536"]
    assert seen["agent"]["status"]["Uid"].split() == [str(start)] * 4
    assert seen["user"]["status"]["Uid"].split() == [str(start + 1000)] * 4
    assert seen["user"]["status"]["Gid"].split() == [str(start + 1000)] * 4
    assert seen["user"]["status"]["Groups"].split() == []


def test_every_namespace_is_its_own(seen: dict[str, Any]) -> None:
    kinds = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"}
    ours, agent, user = (seen[who]["namespaces"] for who in ("ours", "agent", "user"))
    assert {kind for kind in kinds if agent[kind] != ours[kind]} == kinds
    assert {kind: user[kind] for kind in kinds} == {kind: agent[kind] for kind in kinds}


def test_limits_are_in_the_control_groups(seen: dict[str, Any]) -> None:
    files = seen["files"]
    if "memory.max" in files:  # version 2
        assert (files["memory.max"], files["pids.max"], files["cpu.max"]) == (str(128 * MIB), "40", "50000 100000")
        assert files.get("memory.swap.max", "0") == "0"
    else:
        assert files["memory/memory.limit_in_bytes"] == str(128 * MIB)
        assert files.get("memory/memory.memsw.limit_in_bytes", str(128 * MIB)) == str(128 * MIB), "no swap beyond it"
        assert int(files["cpu/cpu.cfs_quota_us"]) * 2 == int(files["cpu/cpu.cfs_period_us"])
        assert files["pids/pids.max"] == "40"


def test_user_processes_have_resource_limits(seen: dict[str, Any]) -> None:
    limits = seen["user"]["limits"]
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max msgqueue size"] == ["0", "0"]
    assert limits["Max open files"] == ["300", "300"]
    assert seen["agent"]["limits"]["Max core file size"] == ["0", "0"]


MOUNTS = {
    "/": {"nodev"},
    "/proc": {"nosuid", "nodev", "noexec"},
    "/dev": {"nosuid", "noexec", "ro"},
    "/dev/pts": {"nosuid", "noexec"},
    "/dev/shm": {"nosuid", "nodev"},
    "/.envserver/run": {"nosuid", "nodev", "noexec"},
    "/proc/sys": {"ro"},
    "/proc/sysrq-trigger": {"ro"},
    "/proc/irq": {"ro"},
    "/proc/bus": {"ro"},
    "/proc/fs": {"ro"},
}


@pytest.mark.parametrize("point", sorted(MOUNTS))
def test_mounts_carry_their_flags(seen: dict[str, Any], point: str) -> None:
    if not Path(point).exists() and point.startswith("/proc/"):
        pytest.skip(f"this kernel has no {point}")
    flags = [set(fields[5].split(",")) for fields in seen["user"]["mounts"] if fields[4] == point]
    assert flags, f"{point} is no mount"
    assert flags[-1] >= MOUNTS[point]


def test_nothing_else_is_mounted_and_no_host_path_is_named(seen: dict[str, Any]) -> None:
    points = {fields[4] for fields in seen["user"]["mounts"]}
    assert {point for point in points if not point.startswith("/proc/")} <= set(MOUNTS)
    masked = {fields[4] for fields in seen["user"]["mounts"] if fields[4].startswith("/proc/")}
    assert {"/proc/keys", "/proc/kcore", "/proc/timer_list"} & set(_existing()) <= masked


def _existing() -> list[str]:
    return [str(path) for path in (Path("/proc/keys"), Path("/proc/kcore"), Path("/proc/timer_list")) if path.exists()]


def test_memory_file_systems_are_sized_and_counted(seen: dict[str, Any]) -> None:
    (shm,) = (fields for fields in seen["user"]["mounts"] if fields[4] == "/dev/shm")
    options = dict(option.partition("=")[::2] for option in shm[-1].split(","))
    assert options["size"] == f"{LIMITS.shm_bytes // 1024}k"
    assert int(options["nr_inodes"].rstrip("k")) <= 1024
    assert "rw" in shm[5]


def test_a_user_process_inherits_no_descriptor(seen: dict[str, Any]) -> None:
    assert all(target.startswith("pipe:") for target in seen["user"]["descriptors"]), seen["user"]["descriptors"]
    assert len(seen["user"]["descriptors"]) == 3
    outside = [d for d in seen["agent"]["descriptors"] if d.startswith("/") and d != "/dev/null"]
    assert outside in ([], ["/"]), "the agent holds no file of the outside"
