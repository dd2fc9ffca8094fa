"""Episodes outlive their server: with real processes, real sandboxes and the SDK, killed in the middle of things."""

from __future__ import annotations

import asyncio
import signal

import pytest

from envserver_sdk import AsyncClient
from tests.e2e.conftest import ServerProcess
from tests.e2e.helpers import Gate, bash, python, sandbox_processes

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

TASK = "HumanEval/0"
FORKS = 16


@pytest.mark.usefixtures("nothing_left")
async def test_a_killed_server_costs_an_episode_nothing(lasting_server: ServerProcess) -> None:
    server = lasting_server
    async with AsyncClient(server.url) as client, client.create("code", task=TASK) as episode:
        await episode.step(python("kept = [1, 2, 3]; handle = open('/workspace/log', 'w')"))
        await episode.step(bash("cd /tmp; X=41; f() { echo f $X $PWD; }; sleep 1000 & echo $!"))
        alive = sandbox_processes(server.node)
        assert await asyncio.to_thread(server.kill) == -signal.SIGKILL
        await asyncio.to_thread(server.start)
        assert sandbox_processes(server.node) == alive
        assert (await episode.step(python("kept.append(4); handle.write('x'); handle.flush(); kept"))).observation[
            "result"
        ] == "[1, 2, 3, 4]"
        assert (await episode.step(bash("f; kill -0 %1 && echo running"))).observation["stdout"] == (
            "f 41 /tmp\nrunning\n"
        )
        assert (await episode.status()).step_index == 4


@pytest.mark.usefixtures("nothing_left")
async def test_a_step_under_way_survives_its_server_and_runs_once(lasting_server: ServerProcess) -> None:
    server = lasting_server
    async with AsyncClient(server.url) as client, client.create("code", task=TASK) as episode:
        gate = Gate(episode)
        stepping = asyncio.ensure_future(episode.step(gate.action, timeout_s=60))
        await gate.begun()
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await gate.open()
        assert (await stepping).outcome == "ok"
        assert await gate.runs() == 1
        assert len((await stepping).observation["stdout"].split()) == 2


@pytest.mark.usefixtures("nothing_left")
async def test_a_server_asked_to_stop_leaves_its_episodes_to_the_next(lasting_server: ServerProcess) -> None:
    server = lasting_server
    async with AsyncClient(server.url) as client, client.create("code", task=TASK) as episode:
        await episode.step(python("kept = 5"))
        assert await asyncio.to_thread(server.kill, signal.SIGTERM) == 0
        await asyncio.to_thread(server.start)
        assert (await episode.step(python("kept"))).observation["result"] == "5"


LIVE = """
import mmap
numbers = bytearray(100 << 20); numbers[0] = 7
log = open('/workspace/log', 'w'); log.write('begun\\n'); log.flush()
"""


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
async def test_forks_go_on_independently_with_all_that_was_live(lasting_server: ServerProcess, restarted: bool) -> None:
    server = lasting_server
    async with AsyncClient(server.url) as client, client.create("code", task=TASK) as episode:
        await episode.step(python(LIVE))
        await episode.step(
            bash("X=41; f() { echo f $X; }; (while sleep 0.05; do echo tick >> /tmp/ticks; done) & true")
        )
        saved = await episode.checkpoint()
        assert saved.kind == "process"
        if restarted:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        forks = await saved.fork(FORKS)
        try:
            for number, fork in enumerate(forks):
                assert fork.step_index == 2
                await fork.step(python(f"numbers[0] += {number}; log.write('{number}\\n'); log.flush()"))
                await fork.step(bash(f"X={number}"))
            for number, fork in enumerate(forks):
                assert (await fork.step(python("numbers[0], len(numbers) >> 20"))).observation["result"] == str(
                    (7 + number, 100)
                )
                assert (await fork.step(bash("f"))).observation["stdout"] == f"f {number}\n"
                assert await fork.read_file("/workspace/log") == b"begun\n%d\n" % number
                count = bash("a=$(wc -l < /tmp/ticks); sleep 0.3; b=$(wc -l < /tmp/ticks); echo $((b > a))")
                assert (await fork.step(count)).observation["stdout"] == "1\n"
            assert (await episode.step(python("numbers[0]"))).observation["result"] == "7"
        finally:
            await asyncio.gather(*(fork.close() for fork in forks))
            await saved.delete()


@pytest.mark.usefixtures("nothing_left")
async def test_a_rollback_in_place_brings_back_what_was_live(lasting_server: ServerProcess) -> None:
    server = lasting_server
    async with AsyncClient(server.url) as client, client.create("code", task=TASK) as episode:
        await episode.step(python(LIVE))
        await episode.step(bash("X=41; f() { echo f $X; }; sleep 1000 & true"))
        saved = await episode.checkpoint()
        await episode.step(python("numbers[0] = 9; log.write('spoilt\n'); log.flush(); del numbers"))
        await episode.step(bash("X=0; kill %1; rm -r /workspace/*"))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        started = await episode.restore(saved)
        assert (started.generation, started.step_index) == (2, 2)
        assert (await episode.step(python("numbers[0], len(numbers) >> 20"))).observation["result"] == "(7, 100)"
        lives = await episode.step(bash("f; kill -0 %1 && echo running"))
        assert lives.observation["stdout"] == "f 41\nrunning\n"
        assert await episode.read_file("/workspace/log") == b"begun\n"
        await saved.delete()


@pytest.mark.usefixtures("nothing_left")
async def test_a_group_begins_alike_and_goes_on_apart(lasting_server: ServerProcess) -> None:
    server = lasting_server
    async with AsyncClient(server.url) as client, client.group("code", task=TASK, n=8) as group:
        assert group.kind == "process"
        steps = [each.step(python(f"mine = {number}; mine")) for number, each in enumerate(group)]
        assert [step.observation["result"] for step in await asyncio.gather(*steps)] == [str(n) for n in range(8)]
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        again = await asyncio.gather(*(each.step(python("mine")) for each in group))
        assert [step.observation["result"] for step in again] == [str(n) for n in range(8)]
