"""The short forms of programs that measure saving: they run, and nothing is left of what they made."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from benchmarks import churn, inventory
from tests.conftest import Node
from tests.integration.test_launcher_killed import call

pytestmark = pytest.mark.node


def test_churn_stays_as_fast_and_gives_all_space_back(private_node: Node) -> None:
    before = inventory.take(private_node.container)
    found = asyncio.run(churn.measure(private_node.run, 15))
    assert found["rounds"] > churn.INTERVALS
    free = found["free_bytes"]
    assert free["after"] >= free["before"] - churn._RETURNED_BYTES, free
    early, late = (
        sorted(part["create"]["p50_ms"] for part in found["intervals"][half] if "create" in part)
        for half in (slice(0, 5), slice(5, 10))
    )
    # Medians of medians, with room for a busy machine: what is looked for grows with each sandbox that ever was.
    assert late[len(late) // 2] < 4 * early[len(early) // 2] + 50, found["intervals"]
    assert inventory.settle(private_node.container, before) == before
    assert call(private_node, "checkpoints") == {"checkpoints": []}


def test_checkpoints_are_measured_beside_crun_and_docker(private_node: Node) -> None:
    command = [sys.executable, "-m", "benchmarks.checkpoints", "--run", str(private_node.run), "--rounds", "1"]
    done = subprocess.run([*command, "--container", private_node.container], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found) == {"small", "100 MB", "peers"}
    assert found["100 MB"]["bytes"] > 100_000_000
    assert all(each["p50_ms"] > 0 for name, each in found["small"].items() if name != "bytes")
