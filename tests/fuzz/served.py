"""A server of its own in a thread of its own, over the scripted runtime: what a fuzzer in this process talks to."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from environments.environment import JsonObject
from environments.tasks import Task
from envserver.runtimes.base import Sandbox
from envserver.server import RunningServer
from tests.unit import scripted
from tests.unit.fixtures import make_config


class Tolerant(scripted.ScriptedEnvironment):
    """Takes whatever a schema allows, so that what is refused was refused by the API."""

    spec = replace(scripted.ScriptedEnvironment.spec, max_step_timeout_s=24 * 3600.0, max_steps=1_000_000)

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        return await super().reset(sandbox, task, seed, {})


ROOMY = {"capacity_memory_bytes": 1 << 62, "capacity_cpus": 1e6, "tombstones": 200, "max_episodes": 100_000}
"""A node that limits nothing by itself."""


@contextlib.contextmanager
def served(**changes: Any) -> Iterator[RunningServer]:
    """Serve until the context ends."""
    started: Future[tuple[RunningServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(started, changes)), name="server")
    thread.start()
    server, loop, ending = started.result(30)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(60)
        assert not thread.is_alive(), "the server did not stop"


async def _serve(started: Future[Any], changes: dict[str, Any]) -> None:
    try:
        grader = scripted.ScriptedGrader()
        server = RunningServer(
            make_config(**{**ROOMY, **changes}),
            scripted.ScriptedRuntime(),
            environments={"scripted": Tolerant},
            graders=grader.get,
        )
        async with server:
            ending = asyncio.Event()
            started.set_result((server, asyncio.get_running_loop(), ending))
            await ending.wait()
    except BaseException as error:
        if not started.done():
            started.set_exception(error)
        raise
