"""The runtimes' benchmark, in its shortest form: it measures both on one node and leaves nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT, Node
from tests.integration.test_launcher_killed import call

pytestmark = pytest.mark.node


def test_both_runtimes_are_measured_and_nothing_is_left(node: Node) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.runtimes",
        "--run",
        str(node.run),
        "--image",
        "busybox",
        "--count",
        "2",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"crun", "docker"}
    for figures in found.values():
        assert set(figures) == {"create_ms", "true_ms", "destroy_ms", "sandboxes_per_s"}
        assert min(figures.values()) > 0
    for runtime in found:
        listed = call(node, "list", runtime=runtime)["sandboxes"]
        assert [entry for entry in listed if entry["labels"].get("purpose") == "benchmark"] == []
