"""HumanEval on the docker runtime: a server told to use it, a sample of the tasks, and all of them in the full form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from environments.code.humaneval import SOLUTION, problems
from envserver.health import ask_server
from envserver_sdk import AsyncClient
from tests.e2e.conftest import ServerProcess

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

AT_ONCE = 4
SAMPLE = ("HumanEval/0", "HumanEval/32", "HumanEval/78", "HumanEval/163")


async def _score(client: AsyncClient, task: str, ending: str) -> float:
    async with client.create("code", task_set="humaneval", task=task) as episode:
        solution = problems()[task]["prompt"] + ending
        await episode.step({"type": "write_file", "path": SOLUTION, "content": solution})
        step = await episode.step({"type": "submit"})
        assert step.info.trainable, step.info
        return step.reward


async def _scores(client: AsyncClient, tasks: tuple[str, ...]) -> tuple[list[float], list[float]]:
    """Of the canonical solutions, and of empty bodies."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(task: str, ending: str) -> float:
        async with turns:
            return await _score(client, task, ending)

    gold = [one(task, problems()[task]["canonical_solution"]) for task in tasks]
    scores = await asyncio.gather(*gold, *(one(task, "    pass\n") for task in tasks))
    return scores[: len(tasks)], scores[len(tasks) :]


@pytest.mark.parametrize(
    "tasks", [SAMPLE, pytest.param(tuple(problems()), marks=pytest.mark.full)], ids=["some", "all"]
)
async def test_gold_scores_one_and_nothing_scores_zero(
    make_server: Callable[..., ServerProcess], tasks: tuple[str, ...]
) -> None:
    server = await asyncio.to_thread(make_server, ENVSERVER_RUNTIME="docker")
    async with AsyncClient(server.url) as client:
        gold, empty = await _scores(client, tasks)
    assert gold == [1.0] * len(tasks)
    assert empty == [0.0] * len(tasks)


async def test_a_live_python_and_a_live_bash_keep_their_state(make_server: Callable[..., ServerProcess]) -> None:
    server = await asyncio.to_thread(make_server, ENVSERVER_RUNTIME="docker")
    async with AsyncClient(server.url) as client, client.create("code", task="HumanEval/0") as episode:
        await episode.step({"type": "python", "code": "import getpass, pathlib; x = 41"})
        answer = await episode.step(
            {"type": "python", "code": "(x + 1, getpass.getuser(), pathlib.Path.home().owner())"}
        )
        assert answer.observation["result"] == "(42, 'user', 'user')"
        await episode.step({"type": "bash", "command": "cd /tmp; y=2; git init -q repository"})
        step = await episode.step({"type": "bash", "command": "pwd; echo $y; whoami; git -C repository status -s"})
        assert step.observation["stdout"] == "/tmp\n2\nuser\n"
        assert step.info.peak_memory_bytes


def test_health_says_which_runtime_and_why(make_server: Callable[..., ServerProcess]) -> None:
    told = ask_server(make_server(ENVSERVER_RUNTIME="docker").url)
    assert (told["runtime"], told["runtime_reason"]) == ("docker", "it is configured")
    chosen = ask_server(make_server(ENVSERVER_RUNTIME="auto").url)
    assert chosen["runtime"] == "crun"
    assert "crun, CRIU and mounts with an id map work here" in chosen["runtime_reason"]
