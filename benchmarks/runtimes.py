"""A node's runtimes side by side: create, one command, destroy, and sandboxes a second. Prints JSON.

    python -m benchmarks.runtimes --run /run/envserver --image code

It speaks to the launcher's socket, so it runs as the server's user or as root, on a node that has the image.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from envserver.runtimes.base import Command, Runtime, SandboxSpec
from envserver.runtimes.crun import CrunRuntime
from envserver.runtimes.docker import DockerRuntime

T = TypeVar("T")
Times = dict[str, list[float]]

_WARM_UP = 2
_AT_ONCE = 4


async def _timed(times: Times, phase: str, work: Awaitable[T]) -> T:
    began = time.perf_counter()
    result = await work
    times.setdefault(phase, []).append(time.perf_counter() - began)
    return result


async def _play(runtime: Runtime, image: str, times: Times) -> None:
    box = await _timed(times, "create", runtime.create(SandboxSpec(image, labels={"purpose": "benchmark"}, ttl_s=300)))
    try:
        await _timed(times, "true", box.run(Command(["true"]), timeout_s=30))
    finally:
        await _timed(times, "destroy", box.destroy())


async def measure(runtime: Runtime, image: str, count: int) -> dict[str, float]:
    """Milliseconds by phase (p50, one sandbox at a time), and sandboxes a second, four at a time."""
    times: Times = {}
    for _ in range(count + _WARM_UP):
        await _play(runtime, image, times)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one() -> None:
        async with turns:
            await _play(runtime, image, {})

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    rate = count / (time.perf_counter() - began)
    p50 = {f"{phase}_ms": round(statistics.median(each[_WARM_UP:]) * 1000, 1) for phase, each in times.items()}
    return {**p50, "sandboxes_per_s": round(rate, 1)}


async def _main(run: Path, image: str, count: int) -> dict[str, dict[str, float]]:
    found = {}
    for runtime in (CrunRuntime(run), DockerRuntime(run)):
        found[runtime.name] = await measure(runtime, image, count)
        await runtime.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("/run/envserver"), help="the node's sockets")
    parser.add_argument("--image", default="code")
    parser.add_argument("--count", type=int, default=20, help="sandboxes of each runtime, one by one and then at once")
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(_main(arguments.run, arguments.image, arguments.count))))


if __name__ == "__main__":
    main()
