"""What a tool call costs over the SDK: `python -m benchmarks.tool_calls --run DIRECTORY` prints JSON.

Two hundred episodes of the tools environment live at once, and each makes twenty calls, about one a second as a model
that thinks in between does: raw text in, the protocol's messages out. Beside it in the same run: the same calls with
nothing in between (what the machine can do), and one episode alone (what a call takes when nobody waits). Targets: p50
at most 3 ms a call, p99 at most 50 ms, with two hundred episodes on two cores.

A server process of its own runs on a node that runs already (`--run`: the launcher's directory).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.recovery import Server
from benchmarks.statistics import summarise
from envserver_sdk import AsyncClient, AsyncEpisode

EPISODES, CALLS, ALONE = 200, 20, 90
THINK_S = 1.0
OPTIONS = {"protocol": "hermes", "tools": ["calculator", "search"]}


def calculation(number: int) -> str:
    """A call that takes no time of its own: what is measured is everything around it."""
    call = json.dumps({"name": "calculator", "arguments": {"expression": f"{number} * 17 + 4"}})
    return f"<tool_call>\n{call}\n</tool_call>"


def search(number: int) -> str:
    """A query of the offline corpus."""
    call = json.dumps({"name": "search_web", "arguments": {"query": f"population city {number}"}})
    return f"<tool_call>\n{call}\n</tool_call>"


async def _call(episode: AsyncEpisode, text: str, times_s: list[float]) -> None:
    began = time.perf_counter()
    result = await episode.step_text(text)
    times_s.append(time.perf_counter() - began)
    assert result.info.outcome == "ok", result


async def _play(
    episode: AsyncEpisode, say: Callable[[int], str], calls: int, think_s: float, times_s: list[float]
) -> None:
    rng = random.Random(episode.episode_id)
    await asyncio.sleep(rng.uniform(0, think_s))
    for number in range(calls):
        await _call(episode, say(number), times_s)
        await asyncio.sleep(think_s * rng.uniform(0.5, 1.5))


async def _many(client: AsyncClient, say: Callable[[int], str], think_s: float) -> dict[str, Any]:
    made = await asyncio.gather(*(_create(client) for _ in range(EPISODES)))
    times_s: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_play(each, say, CALLS, think_s, times_s) for each in made))
    took_s = time.perf_counter() - began
    await asyncio.gather(*(each.close() for each in made))
    return {**summarise(times_s).as_dict(), "calls": len(times_s), "calls_per_s": round(len(times_s) / took_s)}


async def _create(client: AsyncClient) -> AsyncEpisode:
    return await client.create("tools", options=OPTIONS)


async def _alone(client: AsyncClient, say: Callable[[int], str]) -> dict[str, Any]:
    times_s: list[float] = []
    async with client.create("tools", options=OPTIONS) as episode:
        for number in range(ALONE):
            await _call(episode, say(number), times_s)
    return summarise(times_s[ALONE // 3 :]).as_dict()  # the first third warms up


async def measure(run: Path) -> dict[str, Any]:
    """All of it, on a server with a journal."""
    with tempfile.TemporaryDirectory() as directory:
        server = Server(run, Path(directory) / "journal")
        await asyncio.to_thread(server.start)
        try:
            async with AsyncClient(server.url) as client:
                return {
                    "target": {"p50_ms": 3, "p99_ms": 50},
                    "thinking": {"calculator": await _many(client, calculation, THINK_S)},
                    "thinking_search": {"search": await _many(client, search, THINK_S)},
                    "without_pause": {"calculator": await _many(client, calculation, 0.0)},
                    "alone": {"calculator": await _alone(client, calculation), "search": await _alone(client, search)},
                }
        finally:
            await asyncio.to_thread(server.end, signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    print(json.dumps(asyncio.run(measure(parser.parse_args().run)), indent=2))


if __name__ == "__main__":
    main()
