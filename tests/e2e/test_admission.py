"""Who may start, who waits and is told so, and what ends an episode that nobody ends: on real sandboxes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from envserver_sdk import AsyncClient, AsyncEpisode, Timeouts
from envserver_sdk.errors import EpisodeClosed, EpisodeEnded, InvalidRequest, Overloaded
from envserver_sdk.models import EpisodeState
from tests.conftest import Node
from tests.e2e.conftest import ServerProcess
from tests.e2e.helpers import MIB, Gate, bash, eventually, python, sandboxes

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("nothing_left")]

TASK = "HumanEval/0"


def _queued(client: AsyncClient, count: int) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        return (await client.health()).queued_episodes == count

    return probe


async def test_a_full_node_queues_tells_the_position_and_refuses_past_its_bound(
    node: Node, make_server: Callable[..., ServerProcess]
) -> None:
    server = make_server(ENVSERVER_MAX_EPISODES="1", ENVSERVER_QUEUE_LENGTH="2", ENVSERVER_QUEUE_TIMEOUT_S="60")
    async with (
        AsyncClient(server.url) as client,
        httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as http,
    ):
        first = await client.create("code", task=TASK)
        waiting = []
        for count in (1, 2):
            waiting.append(asyncio.ensure_future(_create(client)))
            await eventually(_queued(client, count))
        positions = [entry.queue_position for entry in (await client.list(state=EpisodeState.QUEUED)).episodes]
        assert positions == [1, 2]

        refused = await http.post("/v1/episodes", json={"environment": "code", "task": TASK})
        problem = refused.json()
        assert (refused.status_code, problem["type"]) == (429, "urn:envserver:problem:overloaded")
        assert problem["queue_position"] == 3
        assert float(refused.headers["Retry-After"]) >= problem["retry_after_s"] > 0
        assert len(sandboxes(node)) == 1, "who waits holds nothing"

        await first.close()
        second = await asyncio.wait_for(waiting[0], 30)
        assert not waiting[1].done(), "first come, first served"
        assert (await second.step(bash("true"))).outcome == "ok"
        await second.close()
        await (await asyncio.wait_for(waiting[1], 30)).close()


async def _create(client: AsyncClient) -> AsyncEpisode:
    return await client.create("code", task=TASK)


async def test_a_create_that_waits_too_long_is_refused_and_a_patient_client_gets_its_turn(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(ENVSERVER_MAX_EPISODES="1", ENVSERVER_QUEUE_TIMEOUT_S="0.3")
    async with (
        AsyncClient(server.url, timeouts=Timeouts(create_s=0.8)) as hasty,
        AsyncClient(server.url, timeouts=Timeouts(create_s=60)) as patient,
    ):
        first = await patient.create("code", task=TASK)
        with pytest.raises(Overloaded) as refusal:
            await hasty.create("code", task=TASK)
        assert refusal.value.extra["queue_position"] == 1
        assert refusal.value.extra["retry_after_s"] > 0
        waiting = asyncio.ensure_future(_create(patient))
        await eventually(_queued(patient, 1))
        await first.close()
        await (await waiting).close()


async def test_limits_beyond_the_node_are_refused_at_once(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(ENVSERVER_CAPACITY_MEMORY_BYTES=str(1024 * MIB), ENVSERVER_MEMORY_OVERCOMMIT="1")
    async with AsyncClient(server.url) as client:
        with pytest.raises(InvalidRequest, match="exceed"):
            await client.create("code", task=TASK, limits={"memory_bytes": 2048 * MIB})


@pytest.mark.parametrize(("lease", "reason"), [({"ttl_s": 1.5}, "expired"), ({"idle_timeout_s": 1.0}, "idle")])
async def test_an_episode_that_its_trainer_forgot_is_ended_and_its_sandbox_freed(
    client: AsyncClient, node: Node, lease: dict[str, Any], reason: str
) -> None:
    episode = await client.create("code", task=TASK, **lease)
    await episode.step(bash("sleep 1000 & true"))
    assert len(sandboxes(node)) == 1

    async def freed() -> bool:
        return not sandboxes(node)

    await eventually(freed)
    status = await episode.status()
    assert (status.state, status.reason) == (EpisodeState.CLOSED, reason)
    with pytest.raises(EpisodeClosed, match=reason):
        await episode.step(bash("true"))


async def test_a_ttl_ends_an_episode_under_a_running_step(client: AsyncClient, node: Node) -> None:
    episode = await client.create("code", task=TASK, ttl_s=2.0)
    with pytest.raises(EpisodeClosed, match="expired"):
        await episode.step(Gate.action)

    async def freed() -> bool:  # whoever waits for the step is told before its world has ended
        return not sandboxes(node)

    await eventually(freed)


async def test_closing_an_abandoned_slow_step_frees_its_slot_at_once(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(ENVSERVER_MAX_EPISODES="1")
    async with AsyncClient(server.url) as client:
        abandoned = await client.create("code", task=TASK)
        gate = Gate(abandoned)
        stepping = asyncio.ensure_future(abandoned.step(gate.action, timeout_s=300))
        await gate.begun()
        stepping.cancel()
        await abandoned.close()
        async with asyncio.timeout(20), client.create("code", task=TASK) as episode:
            assert (await episode.step(bash("true"))).outcome == "ok"


async def test_the_limits_of_a_request_are_those_of_the_kernel(client: AsyncClient) -> None:
    limits = {"memory_bytes": 96 * MIB, "shm_bytes": 4 * MIB, "pids": 24, "disk_bytes": 16 * MIB, "nofile": 64}
    async with client.create("code", task=TASK, limits=limits) as episode:
        small = await episode.step(python("x = bytearray(40 << 20); len(x)"))
        assert small.outcome == "ok"
        assert 40 * MIB < (small.info.peak_memory_bytes or 0) <= 96 * MIB
        oom = await episode.step(python("x = bytearray(200 << 20)"))
        assert (oom.outcome, oom.trainable) == ("policy_oom", True)
        assert (oom.info.peak_memory_bytes or 0) <= 96 * MIB
        pids = await episode.step(bash("for i in $(seq 40); do sleep 5 & done"), timeout_s=20)
        assert pids.outcome == "policy_pids"
    async with client.create("code", task=TASK, limits=limits) as episode:
        full = await episode.step(bash("head -c 64M /dev/zero > big"))
        assert full.outcome == "disk_full"
        tmpfs = await episode.step(bash("rm big; head -c 8M /dev/zero > /dev/shm/big"))
        assert tmpfs.outcome == "disk_full"
        files = await episode.step(bash("ulimit -n; ulimit -Hn"))
        assert files.observation["stdout"] == "64\n64\n"


async def test_an_ended_episode_takes_no_steps_but_keeps_its_records(client: AsyncClient) -> None:
    async with client.create("code", task=TASK) as episode:
        await episode.step(bash("echo done"))
        await episode.grade()
        with pytest.raises(EpisodeEnded):
            await episode.step(bash("true"))
        assert (await episode.status()).state is EpisodeState.ENDED
