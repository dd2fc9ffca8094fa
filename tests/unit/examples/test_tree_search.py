"""The tree search: where it goes on, what it submits, and that it leaves nothing. The world is scripted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest

from environments.environment import JsonObject, StepContext, Transition
from environments.tasks import GraderSpec, Task, TaskSet
from envserver.runtimes.base import SandboxError
from envserver.server import RunningServer
from envserver_sdk import AsyncClient
from examples import tree_search
from examples.tree_search import Edit, Node, TreeSearch
from tests.unit.examples.test_grpo import CodeLike
from tests.unit.fixtures import make_config
from tests.unit.scripted import Gates, ScriptedGrader, ScriptedRuntime, ScriptedTasks

FOUND = """\
def has_close_elements(numbers, threshold):
    for i, a in enumerate(numbers):
        for b in numbers[i + 1:]:
            if abs(a - b) < threshold:
                return True
    return False
"""
ANSWER = "/workspace/answer"


class Programs(ScriptedTasks):
    name = "humaneval"

    def get(self, task_id: str) -> Task:
        return Task(task_id, "", GraderSpec("scripted", {"gold": FOUND}), (ANSWER,))


class Workbench(CodeLike):
    """Files are the sandbox's; the check runs as a program of this machine."""

    _sets: ClassVar[Mapping[str, TaskSet]] = {"humaneval": Programs()}

    async def do_write_file(self, action: JsonObject, context: StepContext) -> Transition:
        self.sandbox.files[ANSWER] = action["content"].encode()
        return Transition({})

    async def do_edit(self, action: JsonObject, context: StepContext) -> Transition:
        program = self.sandbox.files[ANSWER].decode()
        if action["new"] == "break":
            raise SandboxError("a wire came loose")
        assert program.count(action["old"]) == 1
        self.sandbox.files[ANSWER] = program.replace(action["old"], action["new"]).encode()
        return Transition({})

    async def do_run(self, action: JsonObject, context: StepContext) -> Transition:
        with TemporaryDirectory() as place:
            await asyncio.to_thread((Path(place) / "solution.py").write_bytes, self.sandbox.files[ANSWER])
            check = await asyncio.create_subprocess_exec(
                sys.executable, "-c", action["code"], env={"PYTHONPATH": place}, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            out, _ = await check.communicate()
        return Transition({"stdout": out.decode(), "exit_code": check.returncode})


@pytest.fixture
async def client(runtime: ScriptedRuntime, grader: ScriptedGrader, gates: Gates) -> AsyncIterator[AsyncClient]:
    environments: Any = {"code": Workbench}
    async with (
        RunningServer(make_config(), runtime, environments=environments, graders=grader.get) as server,
        AsyncClient(server.url) as client,
    ):
        yield client
        assert (await client.list()).episodes == []
    assert not runtime.sandboxes
    assert not runtime.stored, "a search deletes its checkpoints"


def walk(node: Node) -> list[Node]:
    return [node, *(each for child in node.children for each in walk(child))]


async def test_it_leaves_a_dead_end_and_submits_what_passes(client: AsyncClient, grader: ScriptedGrader) -> None:
    search = TreeSearch()
    root = await search.run(client, "a", budget=12)
    (submitted,) = [node for node in walk(root) if node.reward is not None]
    assert (submitted.program, submitted.score, submitted.reward) == (FOUND, 1.0, 1.0)
    assert grader.gradings == 1, "the search itself asks no grader"
    greedy = max(root.children, key=lambda node: node.score)
    assert submitted not in walk(max(greedy.children, key=lambda node: node.score)), "the best at first led nowhere"
    assert search.forks == len(walk(root)), "each but the root is a fork, and the submission is one"
    tree = list(root.lines())
    assert tree[0] == "0.50 start"
    assert [line for line in tree if "reward 1.0" in line]


async def test_a_budget_that_is_used_up_submits_the_best(client: AsyncClient) -> None:
    root = await TreeSearch().run(client, "a", budget=1)
    (submitted,) = [node for node in walk(root) if node.reward is not None]
    assert submitted.score == max(node.score for node in walk(root)) < 1.0
    assert submitted.reward == 0.0


async def test_a_fork_that_failed_is_no_program_of_score_0(client: AsyncClient) -> None:
    def propose(program: str) -> Sequence[Edit]:
        return [Edit("break", "if False:", "break"), *tree_search.propose(program)]

    search = TreeSearch(propose, width=2)
    root = await search.run(client, "a", budget=1)
    assert [node.name for node in root.children] == ["close pairs"]
    assert search.forks == 3
