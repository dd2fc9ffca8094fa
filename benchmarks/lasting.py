"""What lasting costs: `python -m benchmarks.lasting --run DIRECTORY` prints JSON.

- **journal**: `true` in a live shell over the SDK, by turns on a server with a journal and on one without. The target
  is a difference of less than half a millisecond at the median.
- **group**: sixteen episodes from one reset of two seconds, beside forks of the same checkpoint one at a time. The
  target is that reset and one and a half times sixteen forks.

Both servers are processes of their own on a node that runs already (`--run`: the launcher's directory).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

from benchmarks.recovery import Server
from benchmarks.statistics import summarise
from environments.code import CodeEnvironment
from environments.environment import EnvironmentSpec, JsonObject
from environments.tasks import Task
from envserver.config import ServerConfig
from envserver.runtimes.base import Sandbox
from envserver.runtimes.crun import CrunRuntime
from envserver.server import RunningServer
from envserver_sdk import AsyncClient, AsyncEpisode

RESET_S = 2.0
TRUE = {"type": "bash", "command": "true"}
ROUNDS, STEPS = 10, 60


class SlowCode(CodeEnvironment):
    """Its reset takes two seconds, as one that installs something does, and leaves an interpreter running."""

    spec: ClassVar[EnvironmentSpec] = CodeEnvironment.spec

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        await self.prepare(sandbox)
        await asyncio.sleep(RESET_S)
        return await super().reset(sandbox, task, seed, options)


async def _steps(episode: AsyncEpisode, times_ms: list[float]) -> None:
    for _ in range(STEPS):
        began = time.perf_counter()
        await episode.step(TRUE)
        times_ms.append((time.perf_counter() - began) * 1000)


async def measure_journal(run: Path, directory: Path) -> dict[str, Any]:
    servers = {"with": Server(run, directory / "journal"), "without": Server(run, None)}
    times: dict[str, list[float]] = {"with": [], "without": []}
    for server in servers.values():
        await asyncio.to_thread(server.start)
    try:
        for number in range(ROUNDS):
            order = list(servers) if number % 2 else list(reversed(servers))
            for name in order:
                async with AsyncClient(servers[name].url) as client, client.create("code", task="HumanEval/0") as each:
                    await each.step(TRUE)
                    await _steps(each, times[name])
    finally:
        for server in servers.values():
            await asyncio.to_thread(server.end, signal.SIGTERM)
    found = {name: summarise([each / 1000 for each in taken]) for name, taken in times.items()}
    difference_ms = _round(found["with"].p50 - found["without"].p50)
    shown: dict[str, Any] = {name: each.as_dict() for name, each in found.items()}
    return {**shown, "difference_p50_ms": difference_ms, "target_ms": 0.5}


async def measure_group(run: Path, directory: Path, n: int) -> dict[str, Any]:
    config = ServerConfig(port=0, pool_size=0, journal=directory / "group-journal")
    runtime = CrunRuntime(run)
    server = RunningServer(config, runtime, environments={"slow": SlowCode})
    async with server, AsyncClient(server.url) as client:
        began = time.perf_counter()
        async with client.create("slow", task="HumanEval/0") as single:
            reset_s = time.perf_counter() - began
            saved = await single.checkpoint(kind="process")
            forks_ms = [await _fork(saved) for _ in range(n)]
            await saved.delete()
        began = time.perf_counter()
        async with client.group("slow", task="HumanEval/0", n=n):
            group_s = time.perf_counter() - began
    await runtime.close()
    allowed_s = reset_s + n * 1.5 * median(forks_ms) / 1000
    return {
        "n": n, "reset_s": _round(reset_s), "fork_p50_ms": _round(median(forks_ms)), "group_s": _round(group_s),
        "allowed_s": _round(allowed_s),
    }  # fmt: skip


async def _fork(saved: Any) -> float:
    began = time.perf_counter()
    (fork,) = await saved.fork(1)
    took_ms = (time.perf_counter() - began) * 1000
    await fork.close()
    return took_ms


def _round(value: float) -> float:
    return round(value, 3)


async def measure(run: Path, n: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        return {
            "journal": await measure_journal(run, Path(directory)),
            "group": await measure_group(run, Path(directory), n),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=16, help="members of the group")
    parser.add_argument("--run", type=Path, default=Path("/run/envserver"), help="the launcher's directory")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.run, options.n)), indent=2))


if __name__ == "__main__":
    main()
