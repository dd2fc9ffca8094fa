"""The guest agent's own tests (images/agent), in a container with a compiler: units, fuzz, hostile programs."""

from __future__ import annotations

import subprocess

import pytest

from envserver.images.build import Builder
from tests.conftest import ROOT

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]

_SUITES = 8
"""Unit tests and one program a file of images/agent/tests."""


def test_the_guest_agent_passes_its_own_tests() -> None:
    Builder(ROOT, print).build(("agent-tests",))
    # It starts agents as PID 1 of pid namespaces of their own, with a /proc in each.
    privileges = ["--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE"]
    privileges += [f"--security-opt={name}=unconfined" for name in ("seccomp", "apparmor", "systempaths")]
    command = ["docker", "run", "--rm", "--network=none", *privileges, "envserver/agent-tests"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert result.stdout.count("test result: ok.") == _SUITES, result.stdout[-4000:]
