"""Task sets of one's own on a real node: offered, played within their limits, graded, and judged by the gate."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envserver_sdk import Client
from envserver_sdk.errors import InvalidRequest
from tests.conftest import ROOT, Node
from tests.e2e.conftest import ServerProcess, free_port
from tests.e2e.helpers import MIB, bash, python
from tests.unit.environments.task_folders import SOUND, write_set

pytestmark = pytest.mark.node

TIGHT = SOUND["hello/task.yaml"] + (
    f"limits:\n  memory_bytes: {96 * MIB}\n  pids: 32\n  step_timeout_s: 1\n  max_steps: 4\n"
)
EXAMPLES = ROOT / "examples" / "tasks"


def envserver(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "envserver.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment or None, capture_output=True, text=True, check=False)


@pytest.fixture
def make_node_of(make_server: Callable[..., ServerProcess]) -> Callable[..., ServerProcess]:
    def make(*folders: Path) -> ServerProcess:
        return make_server(ENVSERVER_TASKS=":".join(map(str, folders)))

    return make


@pytest.fixture
def tight(tmp_path: Path, make_node_of: Callable[..., ServerProcess]) -> Iterator[Client]:
    """A client of a server with a task that has small limits, `hello`, and one that has none, `bye`."""
    folder = write_set(tmp_path, {"hello/task.yaml": TIGHT})
    with Client(make_node_of(folder).url) as client:
        yield client


@pytest.mark.usefixtures("nothing_left")
def test_every_example_passes_the_gate(make_node_of: Callable[..., ServerProcess]) -> None:
    server = make_node_of(EXAMPLES)
    said = envserver("tasks", "check", str(EXAMPLES), "--url", server.url, "--json")
    checked = json.loads(said.stdout)
    assert [entry["reason"] for entry in checked if not entry["ok"]] == []
    assert len(checked) == 12
    assert {(entry["nothing"], entry["stub"], entry["solution"]) for entry in checked} == {(0.0, 0.0, 1.0)}
    assert said.returncode == 0


def test_a_set_is_offered_with_its_splits_files_and_instruction(tight: Client) -> None:
    sets = {entry.name: entry for entry in tight.environment("code").task_sets}
    assert next(iter(sets)) == "humaneval", "the default stays what it was"
    assert (sets["greetings"].version, sets["greetings"].splits) == ("1.0", ["all", "train", "test"])
    assert [task.task_id for task in tight.tasks("code", task_set="greetings", split="train").tasks] == ["hello"]
    with tight.create("code", task_set="greetings", task="hello") as episode:
        assert episode.observation["prompt"] == SOUND["hello/instruction.md"]
        seen = episode.step(bash("cat names.txt; find / -name 'test_hello*' -o -name solution.py 2>/dev/null"))
        assert seen.observation["stdout"] == "Ada\n", "no test and no solution is in the sandbox"


def test_a_task_with_little_memory_ends_a_greedy_step_as_policy_oom(tight: Client) -> None:
    greedy = python("held = bytearray(200 << 20)\nlen(held)")
    with tight.create("code", task_set="greetings", task="bye") as episode:
        assert episode.step(greedy, timeout_s=30).observation["result"] == str(200 << 20)
    with tight.create("code", task_set="greetings", task="hello") as episode:
        assert episode.step(greedy).outcome == "policy_oom"


def test_a_tasks_times_and_steps_are_its_own(tight: Client) -> None:
    with tight.create("code", task_set="greetings", task="hello") as episode:
        assert episode.step(bash("sleep 20")).outcome == "policy_timeout"
        with pytest.raises(InvalidRequest, match="at most 1"):
            episode.step(bash("true"), timeout_s=5)
        assert not episode.step(bash("true")).truncated
        assert not episode.step(bash("true")).truncated
        assert episode.step(bash("true")).truncated, "the fourth step is the last"


def test_a_caller_may_ask_for_less_than_the_task_allows_and_not_for_more(tight: Client) -> None:
    def create(**limits: Any) -> str:
        with tight.create("code", task_set="greetings", task="hello", limits=limits) as episode:
            read = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; ulimit -n"
            return str(episode.step(bash(read)).observation["stdout"])

    with pytest.raises(InvalidRequest, match=f"memory_bytes is {128 * MIB}, this task allows at most {96 * MIB}"):
        create(memory_bytes=128 * MIB)
    assert create(memory_bytes=64 * MIB, nofile=128).splitlines()[-1] == "128"


def test_the_gate_names_what_is_wrong_with_a_task(tmp_path: Path, make_node_of: Callable[..., ServerProcess]) -> None:
    changes = {
        "hello/solution/solution.py": "def hello(name):\n    return name\n",
        "bye/tests/test_bye.py": "def test_bye(candidate):\n    candidate()\n",
        "broken/task.yaml": SOUND["bye/task.yaml"],
        "broken/instruction.md": SOUND["bye/instruction.md"],
        "broken/tests/test_bye.py": "import gone\ndef test_bye(candidate):\n    assert candidate() == 1\n",
        "broken/solution/solution.py": SOUND["bye/solution/solution.py"],
        "unsolved/task.yaml": SOUND["bye/task.yaml"],
        "unsolved/instruction.md": SOUND["bye/instruction.md"],
        "unsolved/tests/test_bye.py": SOUND["bye/tests/test_bye.py"],
    }
    server = make_node_of(write_set(tmp_path / "set", changes))
    said = envserver("tasks", "check", str(tmp_path / "set"), "--url", server.url, "--json")
    reasons = {entry["task"]: entry["reason"] for entry in json.loads(said.stdout)}
    assert said.returncode == 1
    assert "a function that does nothing scores 1.0" in reasons["bye"]
    assert "the solution scores 0.0" in reasons["hello"]
    assert "no verdict" in reasons["broken"]
    assert "no solution/" in reasons["unsolved"]


def test_the_gate_compares_what_the_node_has_with_the_folder(
    tmp_path: Path, make_node_of: Callable[..., ServerProcess]
) -> None:
    folder = write_set(tmp_path / "set")
    server = make_node_of(folder)
    write_set(
        folder, {"hello/tests/test_hello.py": "def test_new(candidate):\n    assert candidate('x') == 'Hello, x'\n"}
    )
    said = envserver("tasks", "check", str(folder), "--url", server.url, "--json")
    assert [(entry["task"], entry["ok"]) for entry in json.loads(said.stdout)] == [("bye", True), ("hello", False)]
    assert "another version" in said.stdout
    other = write_set(tmp_path / "other", {"taskset.yaml": SOUND["taskset.yaml"].replace("greetings", "unknown")})
    missing = envserver("tasks", "check", str(other), "--url", server.url)
    assert missing.returncode == 4
    assert "ENVSERVER_TASKS" in missing.stderr


def test_a_server_refuses_to_start_with_every_fault_of_its_sets(tmp_path: Path, node: Node) -> None:
    folder = write_set(tmp_path, {"hello/instruction.md": "", "bye/task.yaml": SOUND["bye/task.yaml"] + "x: 1\n"})
    settings = {"ENVSERVER_RUN": str(node.run), "ENVSERVER_PORT": str(free_port()), "ENVSERVER_TASKS": str(folder)}
    said = envserver("serve", **settings)
    assert said.returncode == 1
    assert f"{folder}/hello/instruction.md: is empty" in said.stderr
    assert f"{folder}/bye/task.yaml:4: x is not known" in said.stderr
    assert "Traceback" not in said.stderr
