"""The short form of `python -m benchmarks.load`: the same code, a fifth of the episodes and the rate."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.load import offer_load
from envserver_sdk import AsyncClient
from tests.conftest import Node
from tests.e2e.conftest import ServerProcess
from tests.e2e.helpers import Gate, bash, python, sandboxes

pytestmark = pytest.mark.node

EPISODES, RATE, SECONDS = 40, 80.0, 6.0


@pytest.mark.usefixtures("nothing_left")
async def test_episodes_under_an_open_load_answer_every_step_and_leave_nothing(server: ServerProcess) -> None:
    result = await offer_load(server.url, EPISODES, RATE, SECONDS)
    assert result["problems"] == {}
    assert result["answered"] == result["offered"] == RATE * SECONDS


@pytest.mark.usefixtures("nothing_left")
async def test_episodes_begun_and_closed_at_once_all_work_and_leave_nothing(client: AsyncClient, node: Node) -> None:
    async def play(number: int) -> str:
        async with client.create("code", task="HumanEval/0") as episode:
            await episode.step(python(f"mine = {number}"))
            step = await episode.step(python("mine"))
            return str(step.observation["result"])

    results = await asyncio.gather(*(play(number) for number in range(32)))
    assert results == [str(number) for number in range(32)]
    assert sandboxes(node) == []


async def test_the_server_answers_others_while_a_step_runs(client: AsyncClient) -> None:
    """A blocking call anywhere under a step would hold up every episode of the node."""
    async with client.create("code", task="HumanEval/0") as slow, client.create("code", task="HumanEval/0") as quick:
        gate = Gate(slow)
        running = asyncio.ensure_future(slow.step(gate.action))
        await gate.begun()
        for _ in range(20):
            assert (await client.health()).status == "ok"
            assert (await quick.step(bash("true"))).outcome == "ok"
        assert not running.done()
        await gate.open()
        assert (await running).outcome == "ok"
