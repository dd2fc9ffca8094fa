"""The configuration that every container is made from. The created container is read in tests/integration."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from envserver.launcher import bundle, cgroups, idmap

MIB = 1 << 20
LIMITS = bundle.BundleLimits(memory_bytes=64 * MIB, cpus=0.25, pids=17, shm_bytes=8 * MIB, nofile=99)


def configuration(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "root": Path("/w/root"),
        "dev": Path("/d/dev"),
        "control": Path("/run/s/0"),
        "range_index": 5,
        "cgroup": "/envserver/node/0",
        "agent": "/.envserver/agent-1",
        "ttl_s": 100.0,
        "limits": LIMITS,
    }
    return bundle.configuration(**{**arguments, **changes})


def mounts() -> dict[str, dict[str, Any]]:
    return {mount["destination"]: mount for mount in configuration()["mounts"]}


def test_it_is_json() -> None:
    assert json.loads(json.dumps(configuration())) == configuration()


def test_the_agent_gets_three_capabilities_none_of_them_inheritable() -> None:
    capabilities = configuration()["process"]["capabilities"]
    assert set(capabilities) == {"bounding", "effective", "permitted"}
    assert {frozenset(names) for names in capabilities.values()} == {
        frozenset(("CAP_SETUID", "CAP_SETGID", "CAP_KILL"))
    }


def test_no_new_privileges_no_core_no_terminal() -> None:
    process = configuration()["process"]
    assert process["noNewPrivileges"] is True
    assert process["terminal"] is False
    assert process["rlimits"] == [{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}]
    assert process["env"] == ["PATH=/usr/bin:/bin"], "nothing of the launcher's environment"


def test_every_namespace_is_new_and_none_is_joined() -> None:
    namespaces = configuration()["linux"]["namespaces"]
    assert {entry["type"] for entry in namespaces} == {"pid", "network", "ipc", "uts", "mount", "cgroup", "user"}
    assert all(set(entry) == {"type"} for entry in namespaces)


@pytest.mark.parametrize("index", [0, 5, idmap.RANGE_COUNT - 1])
def test_container_root_is_the_first_of_its_own_range(index: int) -> None:
    linux = configuration(range_index=index)["linux"]
    expected = [{"containerID": 0, "hostID": idmap.range_start(index), "size": idmap.RANGE_SIZE}]
    assert linux["uidMappings"] == linux["gidMappings"] == expected


def test_limits_are_those_asked_for_and_swap_adds_nothing() -> None:
    resources = configuration()["linux"]["resources"]
    assert (resources["memory"]["limit"], resources["memory"]["swap"]) == (64 * MIB, 64 * MIB)
    assert resources["cpu"]["quota"] / resources["cpu"]["period"] == LIMITS.cpus
    assert resources["pids"] == {"limit": 17}


@pytest.mark.parametrize(("version_2", "expected"), [(False, 8 * MIB), (True, None)])
def test_socket_buffers_are_counted_where_the_memory_limit_does_not(
    version_2: bool, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "is_v2", lambda: version_2)
    assert configuration()["linux"]["resources"]["memory"].get("kernelTCP") == expected


def test_shared_memory_is_bounded_in_bytes_inodes_and_system_v_objects() -> None:
    options = mounts()["/dev/shm"]["options"]
    assert f"size={8 * MIB}" in options
    assert "nr_inodes=2048" in options
    assert {"nosuid", "nodev"} <= set(options)
    sysctl = configuration()["linux"]["sysctl"]
    assert (sysctl["kernel.shmmax"], sysctl["kernel.shmall"]) == (str(8 * MIB), str(8 * MIB // 4096))


def test_nothing_of_the_host_is_mounted_but_devices_and_the_control_directory() -> None:
    binds = {name: mount["source"] for name, mount in mounts().items() if mount["type"] == "bind"}
    covered = {name for name, source in binds.items() if source == "/d/empty"}
    assert {name: source for name, source in binds.items() if name not in covered} == {
        "/dev": "/d/dev",
        "/.envserver/run": "/run/s/0",
    }
    assert covered <= set(bundle.MASKED_PATHS)
    assert {"ro", "nosuid", "noexec"} <= set(mounts()["/dev"]["options"])
    assert {"nosuid", "nodev", "noexec"} <= set(mounts()["/.envserver/run"]["options"])
    assert "/sys" not in mounts()


def test_kernel_files_are_masked_or_read_only() -> None:
    linux = configuration()["linux"]
    assert {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kallsyms"} <= set(linux["maskedPaths"])
    covered = {name for name, mount in mounts().items() if mount["source"] == "/d/empty" and "ro" in mount["options"]}
    assert covered | set(linux["maskedPaths"]) == set(bundle.MASKED_PATHS)
    assert {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"} == set(linux["readonlyPaths"])


def test_the_agent_ends_itself_after_the_sandbox_s_time() -> None:
    arguments = configuration(ttl_s=100.0)["process"]["args"]
    assert arguments[arguments.index("--orphan-timeout-s") + 1] == "160"


@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes are made by root")
def test_dev_holds_six_nodes_that_anyone_may_use_and_no_other(tmp_path: Path) -> None:
    for _ in range(2):  # again without harm
        dev = bundle.make_dev(tmp_path / "dev")
    nodes = {entry.name: entry.stat() for entry in dev.iterdir() if not entry.is_symlink() and not entry.is_dir()}
    assert set(nodes) == {"null", "zero", "full", "random", "urandom", "tty"}
    assert all(stat.S_ISCHR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o666 for status in nodes.values())
    assert {entry.name for entry in dev.iterdir() if entry.is_dir() and not entry.is_symlink()} == {"pts", "shm"}
