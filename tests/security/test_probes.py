"""Every denial that docs/containment.md promises is tried from inside, and is missed where it is taken away."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from pathlib import Path

import pytest

from envserver.launcher.client import LauncherClient
from envserver.runtimes.base import MIB, Command, Runtime
from envserver.runtimes.conformance import sandbox
from envserver.runtimes.crun import CrunRuntime
from tests.conftest import Node
from tests.security import expectations
from tests.security.inside.main import MODULES
from tests.security.inside.probing import PROBES

pytestmark = pytest.mark.node

HERE = Path(__file__).parent
SOURCES = {file.name: file.read_text() for file in sorted((HERE / "inside").glob("*.py"))}
assert MODULES, "importing them fills PROBES"


@pytest.fixture(scope="module")
def outcomes(node: Node) -> dict[str, str]:
    """Of every probe, in one sandbox, with a listener of the host's to be found."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0envserver-probe")
        listener.listen()
        return asyncio.run(probe(CrunRuntime(node.run)))


async def probe(runtime: Runtime) -> dict[str, str]:
    """What each probe reports from inside one sandbox of the runtime, which is closed."""
    async with sandbox(runtime, "code", shm_bytes=4 * MIB, memory_bytes=512 * MIB) as box, sandbox(runtime) as other:
        await other.write_file("/workspace/secret", b"of another episode")
        for name, source in SOURCES.items():
            await box.write_file(f"/workspace/inside/{name}", source.encode())
        result = await box.run(Command(["python3", "-m", "inside.main"]), timeout_s=60)
        assert (await other.read_file("/workspace/secret")) == b"of another episode"
        assert (await box.run(Command(["true"]), timeout_s=5)).exit_code == 0, "the agent serves on after all of it"
    await runtime.close()
    found: dict[str, str] = json.loads(result.stdout.text)
    return found


@pytest.mark.parametrize("name", [name for name in PROBES if name not in ("mounts_named", "agent_command_line")])
def test_a_probe_is_denied(outcomes: dict[str, str], name: str) -> None:
    assert expectations.holds(name, outcomes[name]), outcomes[name]


def test_mounts_are_of_the_container_alone(outcomes: dict[str, str]) -> None:
    points = {point for point in outcomes["mounts_named"].split() if not point.startswith("/proc/")}
    assert points == {"/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/.envserver/run"}


def test_the_agent_s_command_line_says_nothing_of_the_host(outcomes: dict[str, str], node: Node) -> None:
    said = outcomes["agent_command_line"]
    assert said.startswith("/.envserver/agent-")
    with LauncherClient(node.run) as client:
        health = client.call("health")
    assert health["node"] not in said


WITHOUT = {
    "seccomp": """
        call_keyctl call_ptrace call_get_mempolicy call_mincore call_memfd_secret call_statmount call_unshare_user
        call_io_uring_setup clone_new_user clone_new_user_high_bits socket_vsock_high_bits netlink_xfrm_high_bits
        system_call_of_the_i386_table personality_no_randomisation call_kcmp call_vmsplice
    """,
    "network": "connect_host_abstract_socket abstract_sockets",
    "control groups": "control_groups_named",
    "shm": "fill_shared_memory exhaust_shared_memory_inodes",
    "masks": "readable_secrets",
    "control directory": "list_the_control_directory",
}


def _run_without(node: Node, control: str, names: list[str]) -> dict[str, str]:
    command = ["docker", "exec", "-i", node.container, "python", "-", control, json.dumps(SOURCES), *names]
    with (HERE / "loosened.py").open() as program:
        done = subprocess.run(command, stdin=program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("control", sorted(WITHOUT))
def test_a_probe_notices_that_its_control_is_missing(node: Node, control: str) -> None:
    names = WITHOUT[control].split()
    outcomes = _run_without(node, control, names)
    assert [name for name in names if expectations.holds(name, outcomes[name])] == [], outcomes


def test_the_same_way_of_probing_finds_every_control_in_place(node: Node) -> None:
    names = [name for listed in WITHOUT.values() for name in listed.split()]
    outcomes = _run_without(node, "nothing", names)
    assert [name for name in names if not expectations.holds(name, outcomes[name])] == [], outcomes
