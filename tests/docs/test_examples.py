"""The examples run as they are, and show what they say."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.code.humaneval import problems
from envserver_sdk import Client
from tests.chat_stub import Messages, chat_stub
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


@pytest.mark.parametrize("name", ["rollout", "grpo", "tree_search", "browser_agent", "computer_use"])
def test_an_example_needs_nothing_but_the_sdk(name: str) -> None:
    code = f"import runpy, sys; runpy.run_path('examples/{name}.py'); print(sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "envserver_sdk" in said
    assert "'envserver'" not in said
    assert "'environments'" not in said


def test_a_tree_search_finds_a_program_that_the_hidden_tests_accept(server: ServerProcess) -> None:
    command = [sys.executable, "-W", "error", "examples/tree_search.py", "--url", server.url]
    with Client(server.url) as client:
        before = client.checkpoints().checkpoints
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        assert client.checkpoints().checkpoints == before, "a search deletes its own"
    assert "<- submitted: reward 1.0" in said


def test_a_grpo_rollout_against_an_endpoint_writes_its_samples(server: ServerProcess, tmp_path: Path) -> None:
    task = problems()["HumanEval/2"]
    right = f"```python\n{task['prompt']}{task['canonical_solution']}\n```"
    wrong = f"Sure:\n```python\n{task['prompt']}    return 0.0\n```"
    first: Iterator[str | int] = iter([right, wrong, "I would rather not.", 503, "```python\nreturn\n```"])
    lock = threading.Lock()

    def answer(messages: Messages) -> str | int:
        with lock:
            return next(first, right) if len(messages) == 2 else right

    out = tmp_path / "samples.jsonl"
    with chat_stub(answer) as stub:
        command = [
            sys.executable, "-W", "error", "examples/grpo.py", "--endpoint", stub.url, "--model", "stub",
            "--out", str(out), "--url", server.url, "--task", "HumanEval/2", "--group", "5", "--temperature", "0.7",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    samples = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(sample["reward"] for sample in samples) == [0.0, 1.0, 1.0, 1.0, 1.0]
    assert all(sample["mask"] == 1 and sample["reason"] is None for sample in samples)
    assert {sample["reward"]: round(sample["advantage"], 3) for sample in samples} == {0.0: -2.0, 1.0: 0.5}
    said = {sample["messages"][2]["content"]: sample for sample in samples}
    assert said[wrong]["reward"] == 0.0
    assert "SyntaxError" in said["```python\nreturn\n```"]["messages"][3]["content"]
    assert {request["temperature"] for request in stub.requests} == {0.7}
    assert done.stderr == "HumanEval/2: 5 of 5 trainable, mean reward 0.80\n"


def said_by(example: str, server: ServerProcess) -> list[dict[str, Any]]:
    """The lines that it prints."""
    command = [sys.executable, "-W", "error", f"examples/{example}.py", "--url", server.url]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_browser_agent_is_paid_for_what_it_does_by_refs(server: ServerProcess) -> None:
    played = said_by("browser_agent", server)
    assert [each["reward"] for each in played] == [1.0, 1.0, 1.0], played
    assert [[action["type"] for action in each["actions"]] for each in played] == [
        ["fill", "fill", "click"], ["fill", "click"], ["click"]
    ]  # fmt: skip


def test_a_computer_use_agent_is_paid_for_what_it_sees(server: ServerProcess) -> None:
    lines = said_by("computer_use", server)
    assert [line["reward"] for line in lines if "seed" in line] == [1.0, 1.0, 1.0], lines
    assert [line["action"] for line in lines if "seed" not in line] == ["screenshot", "left_click"] * 3
