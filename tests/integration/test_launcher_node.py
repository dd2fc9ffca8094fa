"""What the launcher makes of its container, so that a sandbox starts fast on any host."""

from __future__ import annotations

import statistics

import pytest

from tests.conftest import Node

pytestmark = pytest.mark.node

_MOVES = """
import os, subprocess, time
group = "/sys/fs/cgroup/freezer/moves"
os.makedirs(group, exist_ok=True)
process = subprocess.Popen(["sleep", "60"])
try:
    for number in range(20):
        time.sleep(0.05)  # longer than the kernel remembers that groups are being changed
        target = group if number % 2 == 0 else "/sys/fs/cgroup/freezer"
        began = time.perf_counter()
        with open(target + "/cgroup.procs", "w") as file:
            file.write(str(process.pid))
        print(time.perf_counter() - began)
finally:
    process.kill()
    process.wait()
    time.sleep(0.1)
    os.rmdir(group)
"""


def test_paths_do_not_lead_through_a_file_system_in_user_space(node: Node) -> None:
    mounts = [line.split() for line in node.docker("exec", node.container, "cat", "/proc/self/mountinfo").splitlines()]
    root = [fields for fields in mounts if fields[4] == "/"][-1]
    assert not root[root.index("-") + 1].startswith("fuse")


def test_programs_of_the_image_are_where_they_were(node: Node) -> None:
    script = "for name in crun criu btrfs python; do command -v $name; done; cat /etc/hostname"
    found = node.docker("exec", node.container, "sh", "-c", script).split()
    assert found[:4] == ["/usr/bin/crun", "/usr/sbin/criu", "/usr/bin/btrfs", "/opt/envserver/bin/python"]
    assert found[4] in node.docker("inspect", node.container)


def test_a_node_makes_no_hierarchy_of_control_groups(node: Node) -> None:
    """CRIU would make groups in it: it would stay, and whatever is restored from then on be in no group at all."""
    hierarchies = node.docker("exec", node.container, "cat", "/proc/self/cgroup").splitlines()
    named = {line.split(":")[1] for line in hierarchies if line.split(":")[1].startswith("name=")}
    assert named <= {"name=systemd"}


def test_a_process_changes_its_group_without_a_grace_period(node: Node) -> None:
    if "cgroup2" not in node.docker("exec", node.container, "cat", "/proc/self/mounts"):
        pytest.skip("there is no version 2 that could be mounted anew")
    if (
        node.docker("exec", node.container, "sh", "-c", "test -d /sys/fs/cgroup/freezer && echo v1 || true").strip()
        != "v1"
    ):
        pytest.skip("written for version 1")
    times = node.docker("exec", node.container, "python", "-c", _MOVES).split()
    assert statistics.median(map(float, times)) < 0.005  # a grace period takes 10 to 20 ms
