"""What one node does: begins episodes cold and warm, steps them, holds a thousand at once."""

from __future__ import annotations

import asyncio
import http.client
import json
import secrets
import time
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable
from functools import partial

from benchmarks import load
from benchmarks.figures import Figure, Sizes
from benchmarks.memory import idle_memory
from benchmarks.statistics import Summary, summarise
from envserver_sdk import AsyncClient, AsyncEpisode

TRUE = {"type": "bash", "command": "true"}
SUM = {"type": "python", "code": "1+1"}
GIB = 1 << 30
_POOL_WAIT_S = 10.0


async def measure(url: str, sizes: Sizes, api_key: str | None = None) -> list[Figure]:
    """Every figure, one after another: they would disturb each other."""
    figures: list[Figure] = []
    async with AsyncClient(url, api_key) as client:
        async with client.create("code", task="HumanEval/0") as episode:  # imports, connections, task data
            await episode.step(SUM)
        runtime = (await client.health()).runtime
        over_http = partial(step_over_http, api_key=api_key)
        warm = partial(warm_start, api_key=api_key)
        for part in (cold_start, warm, step_over_websocket, over_http, throughput, churn, idle_memory):
            figures += await part(client, sizes)
    if runtime == "crun":
        figures += await density(url, sizes, api_key)
    return figures


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


async def _open(client: AsyncClient) -> AsyncEpisode:
    return await client.create("code", task="HumanEval/0")


async def _open_cold(client: AsyncClient) -> AsyncEpisode:
    """With limits that nobody has asked for before: no warm sandbox has them."""
    odd = {"memory_bytes": GIB + 4096 * secrets.randbelow(1 << 17)}
    return await client.create("code", task="HumanEval/0", limits=odd)


async def _begin(client: AsyncClient, opening: Callable[[AsyncClient], Awaitable[AsyncEpisode]]) -> tuple[float, float]:
    """Seconds to the first observation and to the first answer of an interpreter."""
    began = time.perf_counter()
    episode = await opening(client)
    first = time.perf_counter() - began
    step = await episode.step(SUM)
    answered = time.perf_counter() - began
    assert step.observation["result"] == "2"
    await episode.close()
    return first, answered


async def cold_start(client: AsyncClient, sizes: Sizes) -> list[Figure]:
    """One at a time, without the pool."""
    samples = [await _begin(client, _open_cold) for _ in range(sizes.creates)]
    first, answered = zip(*samples, strict=True)
    return [
        Figure("cold create → first observation", "p50 ≤ 25 ms", summarise(first)),
        Figure("cold create → first 1+1", "p50 ≤ 60 ms", summarise(answered)),
    ]


async def warm_start(client: AsyncClient, sizes: Sizes, api_key: str | None = None) -> list[Figure]:
    """One at a time, each when the pool has a sandbox again; nothing where the pool is off."""
    await _begin(client, _open)
    await _begin(client, _open)
    samples = []
    for _ in range(sizes.pool_claims):
        if not await pool_is_filled(client.url, api_key):
            return []
        samples.append(await _begin(client, _open))
    first, answered = zip(*samples, strict=True)
    return [
        Figure("warm create → first observation", "p50 ≤ 5 ms", summarise(first)),
        Figure("warm create → first 1+1", "", summarise(answered)),
    ]


async def pool_is_filled(url: str, api_key: str | None = None) -> bool:
    """Whether the server's pool has a warm sandbox, now or soon."""
    give_up_at = time.monotonic() + _POOL_WAIT_S
    while time.monotonic() < give_up_at:
        metrics = await asyncio.to_thread(_fetch_metrics, url, api_key)
        if any(line.startswith("envserver_pool ") and float(line.split()[1]) > 0 for line in metrics.splitlines()):
            return True
        await asyncio.sleep(0.05)
    return False


def _fetch_metrics(url: str, api_key: str | None) -> str:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/metrics", headers=headers)) as answer:
        return str(answer.read().decode())


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
        figures.append(Figure(f"step over WebSocket: {name}", "p50 ≤ 2 ms", summarise(samples)))
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
    """create + step + close, so many at a time, without the pool."""
    left = iter(range(sizes.churn_episodes))

    async def play() -> None:
        for _ in left:
            async with await _open_cold(client) as episode:
                await episode.step(TRUE)

    began = time.perf_counter()
    await asyncio.gather(*(play() for _ in range(sizes.in_flight)))
    rate = sizes.churn_episodes / (time.perf_counter() - began)
    return [Figure(f"create + step + close, {sizes.in_flight} at a time", "≥ 60/s", value=round(rate, 1), unit="1/s")]


async def density(url: str, sizes: Sizes, api_key: str | None = None) -> list[Figure]:
    """So many live episodes, both sessions open, one `true` a second each; latency counts from when a step was due."""
    count = sizes.density_episodes
    found = await load.offer_load(url, count, float(count), sizes.density_s, api_key, load.TRUE)
    if found["problems"] or found["answered"] != found["offered"]:
        raise RuntimeError(f"not every step of {count} episodes was answered: {found}")
    times = Summary(found["count"], found["p50_ms"], found["p90_ms"], found["p99_ms"], found["max_ms"])
    name = f"{count:,} live episodes, a step a second each"
    return [
        Figure(name, "p99 ≤ 100 ms", times),
        Figure("memory of the machine, an episode of these", "", value=found["memory_mb_an_episode"], unit="MB"),
    ]
