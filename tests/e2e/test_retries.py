"""A step has a name and runs once, whatever the network and its callers do; a count kept in the sandbox proves it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from envserver_sdk import AsyncClient, AsyncEpisode, Timeouts
from tests.e2e.conftest import ServerProcess
from tests.e2e.helpers import Gate, bash, eventually, python
from tests.e2e.wire import WIRES, Answer, HttpWire, WebSocketWire, Wire
from tests.proxy import Proxy

pytestmark = pytest.mark.node

TASK = "HumanEval/0"
COUNTED = bash("echo ran >> /workspace/runs; od -An -tx8 -N16 /dev/urandom")


@pytest_asyncio.fixture
async def episode(client: AsyncClient) -> AsyncIterator[AsyncEpisode]:
    async with client.create("code", task=TASK) as made:
        yield made


@pytest.fixture
def gate(episode: AsyncEpisode) -> Gate:
    return Gate(episode)


@pytest.fixture(params=WIRES, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[Wire]:
    chosen: type[Wire] = request.param
    return chosen


@pytest.fixture
def wire(kind: type[Wire], server: ServerProcess) -> Wire:
    return kind(server.url)


async def test_a_retry_during_and_after_a_step_gets_the_same_bytes_of_one_run(
    wire: Wire, server: ServerProcess, episode: AsyncEpisode, gate: Gate
) -> None:
    name = {"action": gate.action, "step_index": 1}
    impatient = await wire.step(episode.episode_id, **name, wait_s=0.0)
    assert (impatient.status, impatient.document["status"]) == (202, "running")
    await gate.begun()
    assert (await wire.step(episode.episode_id, **name, wait_s=0.05)).status == 202
    during = asyncio.ensure_future(wire.step(episode.episode_id, **name, wait_s=30))
    await gate.open()
    answers = [await during, await wire.step(episode.episode_id, **name), await wire.record(episode.episode_id, 1)]
    for other in WIRES:
        answers += [await other(server.url).step(episode.episode_id, **name, wait_s=0)]
    assert [answer.status for answer in answers] == [200] * 5
    assert len({answer.body for answer in answers}) == 1
    assert await gate.runs() == 1


async def test_a_step_that_timed_out_is_not_run_again_by_a_retry(wire: Wire, episode: AsyncEpisode, gate: Gate) -> None:
    name = {"action": gate.action, "step_index": 1, "timeout_s": 0.5}
    first, meanwhile = await asyncio.gather(
        wire.step(episode.episode_id, **name), wire.step(episode.episode_id, **name)
    )
    again = await wire.step(episode.episode_id, **name)
    assert first.document["info"]["outcome"] == "policy_timeout"
    assert first.body == meanwhile.body == again.body
    assert await gate.runs() == 1


async def test_a_caller_that_gives_up_waiting_finds_the_step_by_its_name(
    wire: Wire, episode: AsyncEpisode, gate: Gate
) -> None:
    waiting = asyncio.ensure_future(wire.step(episode.episode_id, action=gate.action, step_index=1))
    await gate.begun()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    await gate.open()
    found = await wire.record(episode.episode_id, 1, wait_s=30)
    again = await wire.step(episode.episode_id, action=gate.action, step_index=1)
    assert found.status == again.status == 200
    assert found.body == again.body
    assert await gate.runs() == 1


async def test_the_same_name_with_another_action_is_refused_during_and_after(
    wire: Wire, episode: AsyncEpisode, gate: Gate
) -> None:
    running = asyncio.ensure_future(wire.step(episode.episode_id, action=gate.action, step_index=1))
    await gate.begun()
    during = await wire.step(episode.episode_id, action=bash("echo other >> /workspace/runs"), step_index=1)
    await gate.open()
    assert (await running).status == 200
    after = await wire.step(episode.episode_id, action=bash("echo other >> /workspace/runs"), step_index=1)
    assert [(answer.status, answer.code) for answer in (during, after)] == [(409, "idempotency_mismatch")] * 2
    assert await episode.read_file("/workspace/runs") == b"ran\n"


async def test_a_stale_generation_is_refused_and_touches_nothing(wire: Wire, episode: AsyncEpisode, gate: Gate) -> None:
    await wire.step(episode.episode_id, action=COUNTED, step_index=1, generation=1)
    await episode.reset()
    stale = await wire.step(episode.episode_id, action=COUNTED, step_index=1, generation=1)
    assert (stale.status, stale.code, stale.document["generation"]) == (409, "stale_generation", 2)
    assert await gate.runs() == 0


async def test_an_index_out_of_order_is_refused_with_the_expected_one(
    wire: Wire, episode: AsyncEpisode, gate: Gate
) -> None:
    await wire.step(episode.episode_id, action=COUNTED, step_index=1)
    answer = await wire.step(episode.episode_id, action=COUNTED, step_index=3)
    assert (answer.status, answer.code, answer.document["expected"]) == (409, "wrong_step_index", 2)
    assert await gate.runs() == 1


async def test_a_connection_cut_under_a_step_costs_nothing_but_the_asking_again(
    kind: type[Wire], server: ServerProcess, episode: AsyncEpisode, gate: Gate
) -> None:
    async with Proxy(server.url) as proxy:
        wire = kind(proxy.url)
        waiting = asyncio.ensure_future(wire.step(episode.episode_id, action=gate.action, step_index=1))
        await gate.begun()
        proxy.cut()
        with pytest.raises(ConnectionError):
            await waiting
        resent = asyncio.ensure_future(wire.step(episode.episode_id, action=gate.action, step_index=1))
        await gate.open()
        assert (await resent).document["info"]["outcome"] == "ok"
    assert await gate.runs() == 1


async def test_a_request_that_the_network_doubles_runs_once_and_is_answered_twice_alike(
    kind: type[Wire], server: ServerProcess, episode: AsyncEpisode, gate: Gate
) -> None:
    async with Proxy(server.url, mirror=True) as proxy:
        waiting = asyncio.ensure_future(
            kind(proxy.url).step(episode.episode_id, action=gate.action, step_index=1, wait_s=30)
        )
        await gate.begun()
        await gate.open()
        answer = await waiting
        assert answer.body in proxy.mirrored
    assert answer.status == 200
    assert await gate.runs() == 1


async def test_a_doubled_create_makes_one_episode(client: AsyncClient, server: ServerProcess) -> None:
    before = {entry.episode_id for entry in (await client.list()).episodes}
    async with (
        Proxy(server.url, mirror=True) as proxy,
        httpx.AsyncClient(base_url=proxy.url, timeout=60, trust_env=False) as http,
    ):
        body = {"environment": "code", "task": TASK}
        response = await http.post("/v1/episodes", json=body, headers={"Idempotency-Key": "doubled"})
        assert response.content in proxy.mirrored
    made = {entry.episode_id for entry in (await client.list()).episodes} - before
    assert made == {response.json()["episode_id"]}
    await (await client.attach(made.pop())).close()


async def test_two_clients_at_once_share_one_run(server: ServerProcess, episode: AsyncEpisode, gate: Gate) -> None:
    async def ask(wire: Wire) -> Answer:
        return await wire.step(episode.episode_id, action=gate.action, step_index=1, wait_s=30)

    asking = [asyncio.ensure_future(ask(kind(server.url))) for kind in WIRES * 4]
    await gate.begun()
    await gate.open()
    answers = await asyncio.gather(*asking)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert await gate.runs() == 1


async def test_two_clients_with_different_next_steps_have_one_winner(
    server: ServerProcess, episode: AsyncEpisode
) -> None:
    wires = (HttpWire(server.url), WebSocketWire(server.url))
    actions = [bash(f"echo {number} >> /workspace/runs") for number in range(8)]
    asking = [wires[n % 2].step(episode.episode_id, action=action, step_index=1) for n, action in enumerate(actions)]
    answers = await asyncio.gather(*asking)
    winners = [number for number, answer in enumerate(answers) if answer.status == 200]
    assert len(winners) == 1
    assert {answer.code for answer in answers if answer.status != 200} == {"idempotency_mismatch"}
    assert await episode.read_file("/workspace/runs") == f"{winners[0]}\n".encode()


async def test_the_sdk_sends_again_by_itself_and_the_world_is_the_same_one(server: ServerProcess) -> None:
    async with (
        Proxy(server.url) as proxy,
        AsyncClient(proxy.url, timeouts=Timeouts(reconnect_s=20)) as client,
        client.create("code", task=TASK) as episode,
    ):
        await episode.step(python("kept = 41"))
        gate = Gate(episode)
        stepping = asyncio.ensure_future(episode.step(gate.action))
        await gate.begun()
        for _ in range(3):
            accepted = proxy.accepted
            proxy.cut()

            async def reconnected(accepted: int = accepted) -> bool:
                return proxy.accepted > accepted

            await eventually(reconnected)
        await gate.open()
        step = await stepping
        assert (step.step_index, step.outcome) == (2, "ok")
        assert await gate.runs() == 1
        proxy.cut()
        after = await episode.step(python("kept + 1"))
        assert (after.step_index, after.generation, after.observation["result"]) == (3, 1, "42")
