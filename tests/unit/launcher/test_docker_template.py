"""What the Engine is asked for, as it is asked. The created container is read in tests/integration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from envserver.launcher import bundle, seccomp
from envserver.launcher.docker import disks, template

MIB = 1 << 20
LIMITS = bundle.BundleLimits(memory_bytes=64 * MIB, cpus=0.25, pids=17, shm_bytes=8 * MIB, nofile=99)


def body(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "image": "sha256:0",
        "sandbox_id": "0123456789abcdef",
        "device": disks.Device("/dev/loop7", "layers"),
        "files": template.Files(Path("/host/agent"), Path("/host/s/run"), Path("/host/s")),
        "server_uid": 990,
        "ttl_s": 100.0,
        "limits": LIMITS,
        "labels": {"envserver.sandbox": "0"},
    }
    return template.body(**{**arguments, **changes})


def mounts() -> dict[str, dict[str, Any]]:
    return {mount["Target"]: mount for mount in body()["HostConfig"]["Mounts"]}


def test_the_agent_serves_the_server_alone_and_knows_the_mounts() -> None:
    made = body()
    words = made["Cmd"]
    assert made["Entrypoint"] == ["/.envserver/agent"]
    assert words[words.index("--peer-uid") + 1] == "990"
    assert [words[at + 1] for at, word in enumerate(words) if word == "--mount"] == ["/workspace", "/home", "/tmp"]
    assert int(words[words.index("--orphan-timeout-s") + 1]) > 100


def test_an_image_decides_nothing() -> None:
    """Its user, entry point, command, working directory and health check are all replaced."""
    made = body()
    assert (made["User"], made["WorkingDir"], made["Healthcheck"]) == ("0:0", "/", {"Test": ["NONE"]})


def test_volumes_name_the_device_and_a_subvolume_each() -> None:
    volume = mounts()["/workspace"]["VolumeOptions"]
    assert volume["NoCopy"] is True
    assert volume["DriverConfig"]["Options"] == {
        "type": "btrfs",
        "device": "/dev/loop7",
        "o": "subvol=layers/docker-0123456789abcdef-workspace,nosuid,nodev,noatime",
    }
    volumes = {target for target, mount in mounts().items() if mount["Type"] == "volume"}
    assert volumes == {*disks.DIRECTORIES, "/dev/pts"}
    assert all("Source" not in mount for mount in mounts().values() if mount["Type"] == "volume")


def test_terminals_are_the_sandboxes_own_and_bounded() -> None:
    options = mounts()["/dev/pts"]["VolumeOptions"]["DriverConfig"]["Options"]
    assert options["type"] == "devpts"
    assert {"newinstance", "max=64"} <= set(options["o"].split(","))


def test_of_the_host_only_the_socket_directory_is_writable() -> None:
    binds = {target: mount for target, mount in mounts().items() if mount["Type"] == "bind"}
    assert {target for target, mount in binds.items() if not mount["ReadOnly"]} == {"/.envserver/run"}
    assert {mount["Source"] for mount in binds.values()} == {
        "/host/agent",
        "/host/s/run",
        "/host/s/passwd",
        "/host/s/group",
    }


def test_the_system_calls_are_those_of_the_crun_runtime() -> None:
    options = body()["HostConfig"]["SecurityOpt"]
    (given,) = (option.removeprefix("seccomp=") for option in options if option.startswith("seccomp="))
    assert json.loads(given) == seccomp.profile()
    assert "no-new-privileges" in options


def test_swap_adds_nothing_and_tmpfs_is_bounded() -> None:
    host = body()["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == LIMITS.memory_bytes
    assert host["CpuQuota"] / host["CpuPeriod"] == LIMITS.cpus
    assert host["PidsLimit"] == LIMITS.pids
    assert all("size=" in options for options in host["Tmpfs"].values())
    assert f"size={LIMITS.shm_bytes},nr_inodes=2048" in host["Tmpfs"]["/dev/shm"]
