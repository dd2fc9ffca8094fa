"""`make bench`: the promises, measured on a running node, beside bare namespaces and Docker in the same run.

    python -m benchmarks.bench [--url URL] [--short] [--json FILE]

Prints a table and, last, one line of JSON. Times are medians of a shared machine: compare within a run.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import platform
import sys
import time
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import peers
from benchmarks.statistics import Summary, summarise
from envserver_sdk import AsyncClient, AsyncEpisode

TRUE = {"type": "bash", "command": "true"}
SUM = {"type": "python", "code": "1+1"}


@dataclass(frozen=True)
class Sizes:
    creates: int = 40
    steps: int = 1000
    in_flight: int = 16
    throughput_steps: int = 4000
    churn_episodes: int = 160
    idle_episodes: int = 20
    peer_rounds: int = 10


SHORT = Sizes(creates=5, steps=50, in_flight=4, throughput_steps=100, churn_episodes=12, idle_episodes=3, peer_rounds=2)


@dataclass(frozen=True)
class Figure:
    """One line of the report: a summary of times, or a single value with its unit."""

    name: str
    target: str
    times: Summary | None = None
    value: float | None = None
    unit: str = ""

    def as_dict(self) -> dict[str, Any]:
        measured = self.times.as_dict() if self.times else {"value": self.value, "unit": self.unit}
        return {"name": self.name, "target": self.target, **measured}


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


async def _open(client: AsyncClient) -> AsyncEpisode:
    return await client.create("code", task="HumanEval/0")


async def cold_start(client: AsyncClient, sizes: Sizes) -> list[Figure]:
    """create → first observation, and create → first `1+1`, one at a time."""
    first, answered = [], []
    for _ in range(sizes.creates):
        began = time.perf_counter()
        episode = await _open(client)
        first.append(time.perf_counter() - began)
        step = await episode.step(SUM)
        answered.append(time.perf_counter() - began)
        assert step.observation["result"] == "2"
        await episode.close()
    return [
        Figure("cold create → first observation", "p50 ≤ 60 ms", summarise(first)),
        Figure("cold create → first 1+1", "p50 ≤ 120 ms", summarise(answered)),
    ]


async def step_over_websocket(client: AsyncClient, sizes: Sizes) -> list[Figure]:
    figures = []
    for name, action in (("true in bash", TRUE), ("1+1 in Python", SUM)):
        async with client.create("code", task="HumanEval/0") as episode:
            await episode.step(action)  # opens the session
            samples = []
            for number in range(sizes.steps):
                if number % 150 == 149:  # an episode has a limit of steps
                    await episode.reset()
                    await episode.step(action)
                samples.append(await _timed(partial(episode.step, action)))
        figures.append(Figure(f"step over WebSocket: {name}", "p50 ≤ 3 ms", summarise(samples)))
    return figures


async def step_over_http(client: AsyncClient, sizes: Sizes, api_key: str | None = None) -> list[Figure]:
    """With the standard library's client on one kept connection: the server's cost, not a client's."""
    async with client.create("code", task="HumanEval/0") as episode:
        count = min(sizes.steps, 150)
        samples = await asyncio.to_thread(_http_steps, client.url, episode.episode_id, count, api_key)
    return [Figure("step over HTTP: true in bash", "p50 ≤ 6 ms", summarise(samples[1:]))]


def _http_steps(url: str, episode_id: str, count: int, api_key: str | None) -> list[float]:
    parts = urllib.parse.urlsplit(url)
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {api_key}"} if api_key else {})}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    samples = []
    for index in range(1, count + 1):
        body = json.dumps({"action": TRUE, "step_index": index})
        began = time.perf_counter()
        connection.request("POST", f"/v1/episodes/{episode_id}/step", body, headers)
        response = connection.getresponse()
        content = response.read()
        samples.append(time.perf_counter() - began)
        assert response.status == 200, content
    connection.close()
    return samples


async def throughput(client: AsyncClient, sizes: Sizes) -> list[Figure]:
    """Steps of `true` in so many episodes at once."""
    episodes = [await _open(client) for _ in range(sizes.in_flight)]
    await asyncio.gather(*(episode.step(TRUE) for episode in episodes))
    each = min(150, sizes.throughput_steps // sizes.in_flight)
    samples: list[float] = []

    async def play(episode: AsyncEpisode) -> None:
        for _ in range(each):
            samples.append(await _timed(lambda: episode.step(TRUE)))  # noqa: PERF401  # timed one by one

    began = time.perf_counter()
    await asyncio.gather(*(play(episode) for episode in episodes))
    elapsed = time.perf_counter() - began
    await asyncio.gather(*(episode.close() for episode in episodes))
    return [
        Figure(f"steps/s, {sizes.in_flight} in flight", "", value=round(len(samples) / elapsed), unit="1/s"),
        Figure(f"step, {sizes.in_flight} in flight", "", summarise(samples)),
    ]


async def churn(client: AsyncClient, sizes: Sizes) -> list[Figure]:
    """create + step + close, so many at a time."""
    left = iter(range(sizes.churn_episodes))

    async def play() -> None:
        for _ in left:
            async with client.create("code", task="HumanEval/0") as episode:
                await episode.step(TRUE)

    began = time.perf_counter()
    await asyncio.gather(*(play() for _ in range(sizes.in_flight)))
    rate = sizes.churn_episodes / (time.perf_counter() - began)
    return [Figure(f"create + step + close, {sizes.in_flight} at a time", "≥ 25/s", value=round(rate, 1), unit="1/s")]


async def idle_memory(client: AsyncClient, sizes: Sizes) -> list[Figure]:
    """Proportional memory of the guest agents and keepers, and what the server grows by; needs root to see."""
    if os.geteuid() != 0:
        return []
    before, agents_before = _server_bytes(client), _agent_bytes()
    episodes = [await _open(client) for _ in range(sizes.idle_episodes)]
    idle = _agent_bytes() - agents_before
    await asyncio.gather(*(episode.step(action) for episode in episodes for action in (SUM,)))
    await asyncio.gather(*(episode.step(action) for episode in episodes for action in (TRUE,)))
    with_sessions = _agent_bytes() - agents_before
    grown = max(0, _server_bytes(client) - before)
    await asyncio.gather(*(episode.close() for episode in episodes))
    count = len(episodes)
    return [
        Figure("agent, idle episode", "", value=round(idle / count / 1e6, 2), unit="MB"),
        Figure("agent and keepers, with both sessions", "", value=round(with_sessions / count / 1e6, 2), unit="MB"),
        Figure("our processes, per idle episode", "≤ 2 MB", value=round((idle + grown) / count / 1e6, 2), unit="MB"),
    ]


def _agent_bytes() -> int:
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"/.envserver/agent"):
                total += _proportional_bytes(process)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def _proportional_bytes(process: Path) -> int:
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _server_bytes(client: AsyncClient) -> int:
    port = urllib.parse.urlsplit(client.url).port
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
            inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return _proportional_bytes(process)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    raise RuntimeError(f"no process listens on port {port}")


def beside_us(sizes: Sizes) -> list[Figure]:
    figures = []
    if bare := peers.bare_namespaces(sizes.peer_rounds * 3):
        figures.append(Figure("bare namespaces + overlay + exec true", "the limit", summarise(bare)))
    starts, execs = peers.docker_create_start_exec(sizes.peer_rounds)
    figures.append(Figure("docker create + start + exec true", "a peer", summarise(starts)))
    figures.append(Figure("docker exec true", "a peer", summarise(execs)))
    return figures


async def measure(url: str, sizes: Sizes, api_key: str | None = None) -> list[Figure]:
    """Every figure, one after another: they would disturb each other."""
    figures: list[Figure] = []
    async with AsyncClient(url, api_key) as client:
        async with client.create("code", task="HumanEval/0") as episode:  # imports, connections, task data
            await episode.step(SUM)
        over_http = partial(step_over_http, api_key=api_key)
        for part in (cold_start, step_over_websocket, over_http, throughput, churn, idle_memory):
            figures += await part(client, sizes)
    return figures


def report(figures: list[Figure]) -> None:
    table = Table(title="envserver bench")
    for heading in ("figure", "n", "p50", "p99", "target"):
        table.add_column(heading, justify="left" if heading in ("figure", "target") else "right")
    for figure in figures:
        if figure.times:
            times = figure.times
            table.add_row(figure.name, str(times.count), f"{times.p50:.2f} ms", f"{times.p99:.2f} ms", figure.target)
        else:
            table.add_row(figure.name, "", f"{figure.value} {figure.unit}", "", figure.target)
    Console(width=120).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--short", action="store_true", help="few rounds: shows that it works, not how fast")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    document, figures = run(arguments.url, SHORT if arguments.short else Sizes())
    report(figures)
    if arguments.json:
        arguments.json.write_text(document)
    print(document)
    return 0


def run(url: str, sizes: Sizes, api_key: str | None = None) -> tuple[str, list[Figure]]:
    """Measure everything: the JSON document, on one line, and what it was made from."""
    figures = beside_us(sizes) + asyncio.run(measure(url, sizes, api_key))
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0]}
    return json.dumps({"machine": machine, "figures": [figure.as_dict() for figure in figures]}), figures


if __name__ == "__main__":
    sys.exit(main())
