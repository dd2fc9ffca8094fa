"""The same denials on the docker runtime; where its answer is another one, that one is a denial, too."""

from __future__ import annotations

import asyncio

import pytest

from envserver.runtimes.docker import DockerRuntime
from tests.conftest import Node
from tests.security import expectations
from tests.security.test_probes import probe

pytestmark = pytest.mark.node

OTHERWISE: dict[str, frozenset[str]] = {
    # The Engine's /dev is a directory of root's, with a covered mount point more.
    "devices": frozenset(("fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",)),
    "writing_to_dev": frozenset(("EACCES",)),
    # The image is another mount than what the user can write to, and read-only.
    "hard_link_to_a_root_file": frozenset(("EXDEV",)),
    "replace_the_agent": frozenset(("EROFS",)),
    "write_system_files": frozenset(("EACCES EROFS", "EROFS")),
    # An empty file that the Engine puts into every container.
    "host_paths": frozenset(("/.dockerenv",)),
}
ASIDE = {"mounts_named", "agent_command_line", "set_uid_programs"}
"""Looked at below."""


@pytest.fixture(scope="module")
def outcomes(node: Node) -> dict[str, str]:
    return asyncio.run(probe(DockerRuntime(node.run)))


def test_every_probe_is_denied(outcomes: dict[str, str]) -> None:
    assert len(outcomes) > 150
    passed = {
        name: found
        for name, found in outcomes.items()
        if name not in ASIDE
        and not (found in OTHERWISE[name] if name in OTHERWISE else expectations.holds(name, found))
    }
    assert passed == {}


def test_set_uid_programs_gain_nothing(outcomes: dict[str, str]) -> None:
    uids = set(outcomes["set_uid_programs"].split())
    assert len(uids) == 1
    assert "0" not in uids


def test_mounts_are_of_the_container_alone(outcomes: dict[str, str]) -> None:
    points = {point for point in outcomes["mounts_named"].split() if not point.startswith(("/proc", "/dev", "/sys"))}
    assert points == {
        "/",
        "/workspace",
        "/home",
        "/tmp",
        "/.envserver/agent",
        "/.envserver/run",
        "/etc/passwd",
        "/etc/group",
        "/etc/hostname",
    }


def test_the_agents_command_line_says_nothing_of_the_host_but_the_servers_uid(outcomes: dict[str, str]) -> None:
    words = outcomes["agent_command_line"].split()
    assert words[:2] == ["/.envserver/agent", "--socket"]
    assert {word for word in words if word.startswith("/")} == {
        "/.envserver/agent",
        "/.envserver/run/agent.sock",
        "/workspace",
        "/home",
        "/tmp",
    }
