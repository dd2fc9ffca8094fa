"""The container that the Engine was asked for, read from the Engine, the host's /proc and the control groups."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from envserver.launcher import cgroups
from envserver.launcher.client import LauncherClient
from envserver.runtimes.base import MIB, Command, Limits, SandboxSpec
from envserver.runtimes.docker import DockerRuntime
from tests.conftest import Node

pytestmark = pytest.mark.node

LIMITS = Limits(memory_bytes=128 * MIB, cpus=0.5, pids=40, disk_bytes=32 * MIB, shm_bytes=4 * MIB, nofile=300)
LABELS = {"purpose": "inspection", "episode": "e1"}
WRITABLE = {"/workspace", "/home", "/tmp"}
CAP_SETGID, CAP_SETUID, CAP_KILL = 1 << 6, 1 << 7, 1 << 5


def entry_of(node: Node, sandbox_id: str) -> dict[str, Any]:
    with LauncherClient(node.run) as client:
        listed: list[dict[str, Any]] = client.call("list", runtime="docker")["sandboxes"]
    (entry,) = (each for each in listed if each["sandbox_id"] == sandbox_id)
    return entry


def inspected(node: Node, sandbox_id: str) -> dict[str, Any]:
    name = node.docker("ps", "--quiet", "--filter", f"label=envserver.sandbox={sandbox_id}").strip()
    described: dict[str, Any] = json.loads(node.docker("inspect", name))[0]
    return described


@pytest.fixture(scope="module")
def seen(node: Node) -> dict[str, Any]:
    """A sandbox as the Engine, the launcher, the host and its own user see it."""

    async def look() -> dict[str, Any]:
        runtime = DockerRuntime(node.run)
        box = await runtime.create(SandboxSpec("busybox", LIMITS, LABELS, 60.0))
        try:
            described = inspected(node, box.sandbox_id)
            entry = entry_of(node, box.sandbox_id)
            inside = Command(["sh", "-c", "ulimit -n; ulimit -c; cat /proc/self/cgroup; df -k /dev/shm | tail -1"])
            return {
                "described": described,
                "entry": entry,
                "inside": (await box.run(inside, timeout_s=10)).stdout.text,
                **_agent_files(described["State"]["Pid"]),
                "groups": _group_files(entry["cgroup"]),
            }
        finally:
            await box.destroy()
            await runtime.close()

    return asyncio.run(look())


def _agent_files(pid: int) -> dict[str, str]:
    return {name: Path(f"/proc/{pid}/{name}").read_text() for name in ("status", "mountinfo")}


def _group_files(path: str) -> dict[str, str]:
    names = (
        ("memory", "memory.limit_in_bytes"),
        ("memory", "memory.memsw.limit_in_bytes"),
        ("cpu", "cpu.cfs_quota_us"),
        ("pids", "pids.max"),
        (".", "memory.max"),
        (".", "memory.swap.max"),
        (".", "cpu.max"),
    )
    files = {name: cgroups.ROOT / kind / path.lstrip("/") / name for kind, name in names}
    return {name: file.read_text().strip() for name, file in files.items() if file.exists()}


def test_the_agent_holds_three_capabilities_and_can_gain_none(seen: dict[str, Any]) -> None:
    status = dict(line.split(":\t", 1) for line in seen["status"].splitlines() if ":\t" in line)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[name], 16) == CAP_SETUID | CAP_SETGID | CAP_KILL, name
    assert (int(status["CapInh"], 16), int(status["CapAmb"], 16)) == (0, 0)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_the_engine_was_asked_for_isolation(seen: dict[str, Any]) -> None:
    host = seen["described"]["HostConfig"]
    assert (host["Privileged"], host["ReadonlyRootfs"], host["NetworkMode"]) == (False, True, "none")
    assert (host["IpcMode"], host["CgroupnsMode"], host["PidMode"], host["UTSMode"]) == ("private", "private", "", "")
    assert (host["CapDrop"], sorted(host["CapAdd"])) == (["ALL"], ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"])
    assert (host["LogConfig"]["Type"], host["RestartPolicy"]["Name"], host["Init"]) == ("none", "no", False)
    assert not host["Devices"]
    assert not host["Binds"]
    assert not host["PortBindings"]
    assert seen["described"]["Config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert set(seen["described"]["NetworkSettings"]["Networks"]) <= {"none"}
    assert {"/sys", "/proc/kcore", "/proc/keys"} <= set(host["MaskedPaths"])
    assert "/proc/sys" in host["ReadonlyPaths"]


def test_the_limits_are_the_kernels(seen: dict[str, Any]) -> None:
    groups = seen["groups"]
    if "memory.max" in groups:  # version 2
        assert (groups["memory.max"], groups["memory.swap.max"]) == (str(LIMITS.memory_bytes), "0")
        assert groups["cpu.max"] == "50000 100000"
    else:
        assert groups["memory.limit_in_bytes"] == groups["memory.memsw.limit_in_bytes"] == str(LIMITS.memory_bytes)
        assert groups["cpu.cfs_quota_us"] == "50000"
        assert groups["pids.max"] == str(LIMITS.pids)
    lines = seen["inside"].splitlines()
    assert lines[:2] == [str(LIMITS.nofile), "0"]
    assert lines[-1].split()[1] == str(LIMITS.shm_bytes // 1024)


def test_its_own_control_group_is_all_that_it_sees(seen: dict[str, Any]) -> None:
    groups = [line.rsplit(":", 1)[1] for line in seen["inside"].splitlines() if line.count(":") == 2]
    assert groups
    assert set(groups) == {"/"}


def test_only_the_three_directories_and_the_control_socket_are_writable(seen: dict[str, Any]) -> None:
    mounts = {entry["Destination"]: entry for entry in seen["described"]["Mounts"]}
    assert {target for target, entry in mounts.items() if entry["RW"]} == {*WRITABLE, "/.envserver/run", "/dev/pts"}
    assert {target for target, entry in mounts.items() if entry["Type"] == "volume"} == {*WRITABLE, "/dev/pts"}
    found = {line.split()[4]: line for line in seen["mountinfo"].splitlines()}
    assert found["/"].split()[5].split(",")[0] == "ro"
    for directory in WRITABLE:
        options = found[directory].split()[5].split(",")
        assert {"rw", "nosuid", "nodev"} <= set(options)
        assert " - btrfs " in found[directory]


def test_labels_say_whose_it_is_and_until_when(seen: dict[str, Any]) -> None:
    labels, entry = seen["described"]["Config"]["Labels"], seen["entry"]
    assert {name: labels[f"envserver.label.{name}"] for name in LABELS} == LABELS
    assert {name: text for name, text in entry["labels"].items() if name != "call"} == LABELS
    assert (
        float(labels["envserver.deadline"].split()[0]) == entry["deadline"] == pytest.approx(entry["created_at"] + 60)
    )
    assert labels["envserver.uid"] == str(entry["host_uid"])
