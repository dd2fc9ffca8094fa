"""Ending in bounded time: nothing new begins, what runs is finished and answered, nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from envserver.episodes.journal.errors import JournalUnavailableError
from envserver.server import RunningServer
from envserver_sdk import AsyncClient, Timeouts
from envserver_sdk.errors import ConnectionFailed, Problem, ShuttingDown
from tests.unit.episodes.helpers import until
from tests.unit.fixtures import ENVIRONMENTS, make_config
from tests.unit.scripted import Gates, ScriptedGrader, ScriptedRuntime

ROOT = Path(__file__).parents[3]

PROGRAM = """
import asyncio
from envserver.server import run
from tests.unit.fixtures import ENVIRONMENTS, make_config
from tests.unit.scripted import ScriptedGrader, ScriptedRuntime
runtime = ScriptedRuntime()
async def make_runtime():
    return runtime
run(make_config(port={port}), make_runtime, environments=ENVIRONMENTS, graders=ScriptedGrader().get)
print("left", len(runtime.sandboxes), "closed", runtime.counts["close"])
"""


async def test_stopping_finishes_running_steps_and_answers_them_on_the_open_socket(
    runtime: ScriptedRuntime, grader: ScriptedGrader, gates: Gates
) -> None:
    server = RunningServer(make_config(), runtime, environments=ENVIRONMENTS, graders=grader.get)
    await server.start()
    hasty = AsyncClient(server.url, timeouts=Timeouts(reconnect_s=0.1))  # another one would wait for the next server
    async with AsyncClient(server.url) as client, hasty:
        episode, idle = await client.create("scripted"), await hasty.create("scripted")
        stepping = asyncio.ensure_future(episode.step({"type": "wait", "gate": "g"}))
        await gates.reached("g")
        stopping = asyncio.ensure_future(server.stop())
        await until(lambda: server.manager.draining)
        with pytest.raises(ShuttingDown):
            await idle.step({"type": "echo"})
        health = await client.health()
        assert health.status == "draining"
        gates.open("g")
        assert (await stepping).observation == {"passed": "g"}
        await stopping
    assert not runtime.sandboxes


async def test_stopping_is_bounded_though_a_step_never_ends(runtime: ScriptedRuntime, gates: Gates) -> None:
    config = make_config(drain_timeout_s=0.05)
    server = RunningServer(config, runtime, environments=ENVIRONMENTS, graders=ScriptedGrader().get)
    await server.start()
    async with AsyncClient(server.url, timeouts=Timeouts(reconnect_s=0.1)) as client:
        episode = await client.create("scripted")
        stepping = asyncio.ensure_future(episode.step({"type": "wait", "gate": "never"}))
        await gates.reached("never")
        await server.stop()
        with pytest.raises((ConnectionFailed, Problem)):
            await stepping
    assert not runtime.sandboxes


async def test_a_server_that_was_asked_to_end_while_it_started_starts_and_ends(runtime: ScriptedRuntime) -> None:
    server = RunningServer(make_config(), runtime, environments=ENVIRONMENTS, graders=ScriptedGrader().get)
    starting = asyncio.ensure_future(server.start())
    await asyncio.sleep(0)  # uvicorn has begun, and has not answered yet
    server._uvicorn.should_exit = True
    await starting
    await server.wait()
    assert server.url.startswith("http://127.0.0.1:")


async def test_a_server_that_cannot_take_over_says_why_and_serves_nobody(
    runtime: ScriptedRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def make() -> RunningServer:
        config = make_config(journal=tmp_path / "journal")
        return RunningServer(config, runtime, environments=ENVIRONMENTS, graders=ScriptedGrader().get)

    async def full(*_: object) -> None:
        raise JournalUnavailableError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("envserver.episodes.recovery.Recoverer.recover", full)
        server = make()
        with pytest.raises(JournalUnavailableError, match="disk is full"):
            await server.start()
        assert "Traceback" not in caplog.text
        with pytest.raises(OSError):
            await asyncio.open_connection(*server.url.removeprefix("http://").split(":"))
    async with make() as server, AsyncClient(server.url) as client:  # neither port nor journal is held any more
        assert (await client.health()).status == "ok"


def test_sigterm_ends_the_process_with_nothing_left(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(port=port)], cwd=ROOT, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=8)) as http:
            assert http.post("/v1/episodes", json={"environment": "scripted"}).status_code == 201
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "left 0 closed 1" in output
