"""The examples run as they are, and show what they say."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import ServerProcess

pytestmark = pytest.mark.node


def test_a_group_of_rollouts_has_rewards_and_advantages(server: ServerProcess) -> None:
    command = [sys.executable, "-W", "error", "examples/rollout.py", "--url", server.url, "--group", "6"]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    group = [json.loads(line) for line in said.splitlines()]
    assert [rollout["reward"] for rollout in group] == [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    assert [rollout["advantage"] for rollout in group] == [1.0, -1.0, 1.0, 1.0, -1.0, -1.0]
    assert group[3]["outcomes"][0] == "policy_timeout"
    assert group[4]["outcomes"] == ["format_error", "ok"]
    assert len(group[5]["outcomes"]) == 6, "one that never submits is graded by what it left"


def test_an_example_needs_nothing_but_the_sdk() -> None:
    code = "import runpy, sys; runpy.run_path('examples/rollout.py'); print(sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "envserver_sdk" in said
    assert "'envserver'" not in said
    assert "'environments'" not in said
