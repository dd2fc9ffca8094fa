"""Whatever fails while a sandbox is made, dumped or restored: nothing of it is left."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Node

pytestmark = pytest.mark.node

PROGRAM = Path(__file__).with_name("fail_each_step.py")
MILESTONES = {
    "create": ("take", "ioctl", "attach_id_mapped", "mount", "fork_exec", "umount", "hand_over_peak"),
    "checkpoint": ("freeze", "fork_exec", "ioctl", "thaw", "write_whole", "fsync"),
    "hibernate": ("freeze", "fork_exec", "ioctl", "write_whole", "fsync"),
    "wake": ("take", "copy_subvolume", "mount", "link", "fork_exec", "umount", "hand_over_peak"),
    "restore": ("take", "copy_subvolume", "mount", "link", "fork_exec", "umount", "hand_over_peak"),
}


def _attack(node: Node, way: str, operation: str) -> dict[str, Any]:
    command = ["docker", "exec", "-i", node.container, "python", "-", way, operation]
    with PROGRAM.open() as program:
        done = subprocess.run(command, stdin=program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("operation", sorted(MILESTONES))
def test_a_failure_of_any_system_call_leaves_nothing(private_node: Node, operation: str) -> None:
    found = _attack(private_node, "fail", operation)
    for milestone in MILESTONES[operation]:
        assert any(milestone in step for step in found["steps"]), f"{milestone} was never made to fail"
    assert found["left"] == {}


@pytest.mark.parametrize("operation", sorted(MILESTONES))
def test_crun_killed_at_any_moment_leaves_nothing(private_node: Node, operation: str) -> None:
    found = _attack(private_node, "kill", operation)
    assert any("SandboxFailedError" in step for step in found["steps"]), found["steps"]
    assert found["left"] == {}
