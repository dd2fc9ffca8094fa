"""Open-loop load: so many live episodes, so many steps offered a second, come back earlier ones or not.

    python -m benchmarks.load [--url URL] [--episodes 200] [--rate 400] [--seconds 120] [--true] [--container ID]

A step's latency counts from the moment at which it was due: a stalled server cannot hide behind a stalled client.
With --container (of the launcher) what the host holds is counted before and after. Prints one line of JSON; exit
status 1 when there was an error, a p99 above 100 ms, or anything left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import inventory
from benchmarks.statistics import summarise
from envserver.episodes.admission import available_memory_bytes
from envserver_sdk import AsyncClient, AsyncEpisode

P99_LIMIT_MS = 100.0
_STEPS_PER_EPISODE = 190
"""Below the environment's own limit of 200; then the episode is reset, and its next step waits for that."""
MIXED: tuple[dict[str, Any], ...] = (
    {"type": "python", "code": "x = sum(range(100)); x"},
    {"type": "bash", "command": "echo hello"},
    {"type": "write_file", "path": "notes.txt", "content": "a line\n"},
    {"type": "bash", "command": "true"},
)
TRUE = MIXED[3:]
"""What a step costs by itself."""


@dataclass
class Tally:
    latencies: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)


class Player:
    """One episode: steps that are due queue up behind one another, and wait is part of their latency."""

    def __init__(
        self, episode: AsyncEpisode, tally: Tally, first_reset: int, actions: Sequence[dict[str, Any]]
    ) -> None:
        self._episode, self._tally, self._actions = episode, tally, actions
        self._due: asyncio.Queue[float | None] = asyncio.Queue()
        self._count = 0
        self._until_reset = first_reset

    def offer(self, due: float) -> None:
        self._due.put_nowait(due)

    def stop(self) -> None:
        self._due.put_nowait(None)

    async def run(self) -> None:
        while (due := await self._due.get()) is not None:
            try:
                await self._step()
            except Exception as error:
                self._tally.problems[type(error).__name__] += 1
            else:
                self._tally.latencies.append(time.perf_counter() - due)

    async def _step(self) -> None:
        if self._until_reset == 0:
            self._until_reset = _STEPS_PER_EPISODE
            await self._episode.reset()
        self._until_reset -= 1
        action = self._actions[self._count % len(self._actions)]
        self._count += 1
        step = await self._episode.step(action)
        if step.info.outcome != "ok":
            self._tally.problems[str(step.info.outcome)] += 1


async def offer_load(
    url: str,
    episodes: int,
    rate: float,
    seconds: float,
    api_key: str | None = None,
    actions: Sequence[dict[str, Any]] = MIXED,
) -> dict[str, Any]:
    """Play, and return what was measured."""
    tally = Tally()
    available = available_memory_bytes()
    async with AsyncClient(url, api_key) as client:
        began = time.perf_counter()
        opened = await _open_all(client, episodes)
        opening_s = time.perf_counter() - began
        held = available - available_memory_bytes()
        lasting = rate * seconds / episodes < _STEPS_PER_EPISODE
        players = [
            # Episodes of a real run end at different times; in step they would all be made anew at once.
            Player(
                episode, tally, _STEPS_PER_EPISODE if lasting else 1 + _STEPS_PER_EPISODE * number // episodes, actions
            )
            for number, episode in enumerate(opened)
        ]
        running = [asyncio.ensure_future(player.run()) for player in players]
        offered = await _offer(players, rate, seconds)
        for player in players:
            player.stop()
        await asyncio.gather(*running)
        await asyncio.gather(*(episode.close() for episode in opened))
    return {
        "episodes": episodes,
        "offered_per_s": rate,
        "seconds": seconds,
        "opening_s": round(opening_s, 2),
        "memory_mb_an_episode": round(held / episodes / 1e6, 2),
        "offered": offered,
        "answered": len(tally.latencies),
        "problems": dict(tally.problems),
        **summarise(tally.latencies).as_dict(),
    }


async def _open_all(client: AsyncClient, count: int) -> list[AsyncEpisode]:
    opened = []
    for first in range(0, count, 16):
        wave = range(first, min(count, first + 16))
        episodes = await asyncio.gather(*(client.create("code", task="HumanEval/0") for _ in wave))
        for action in MIXED[:2]:  # sessions open on first use: not part of the steady state
            await asyncio.gather(*(episode.step(action) for episode in episodes))
        opened += episodes
    return opened


async def _offer(players: list[Player], rate: float, seconds: float) -> int:
    began = time.perf_counter()
    total = int(rate * seconds)
    for number in range(total):
        due = began + number / rate
        if (ahead := due - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        players[number % len(players)].offer(due)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--rate", type=float, default=400.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--true", action="store_true", help="steps of `true` alone, instead of a mixture")
    parser.add_argument("--container", help="the launcher's, to count what is left behind")
    arguments = parser.parse_args()
    before = inventory.take(arguments.container) if arguments.container else {}
    actions = TRUE if arguments.true else MIXED
    result = asyncio.run(
        offer_load(arguments.url, arguments.episodes, arguments.rate, arguments.seconds, actions=actions)
    )
    after = inventory.settle(arguments.container, before) if arguments.container else {}
    print(json.dumps({**result, "before": before, "after": after}))
    passed = not result["problems"] and result["p99_ms"] <= P99_LIMIT_MS and before == after
    return 0 if passed and result["answered"] == result["offered"] else 1


if __name__ == "__main__":
    sys.exit(main())
