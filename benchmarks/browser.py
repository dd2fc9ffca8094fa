"""What a browser's steps cost beside plain Playwright: `python -m benchmarks.browser --run DIRECTORY` prints JSON.

In one run, on a node that runs already (`--run`: the launcher's directory), in sandboxes of one kind: Playwright alone,
driving the sandbox's Chromium over two pages, and the environment over the same pages. Targets: a reset in a prepared
sandbox at most 400 ms, a click with its text observation at most 1.3 times plain Playwright's, a step with a screenshot
at most 250 ms, a page of 500 rows observed in at most 1.2 s; medians all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.statistics import summarise
from environments.browser import environment as environment_module
from environments.browser.environment import BrowserEnvironment
from environments.browser.guest.chromium import EXECUTABLE, FLAGS
from environments.browser.play import Check, Play
from environments.browser.web.messages import Request, Response
from environments.browser.web.site import Site
from environments.browser.web.web import Web
from environments.environment import StepContext
from environments.tasks import GraderSpec, Task
from envserver.runtimes.base import Command, Sandbox, SandboxSpec
from envserver.runtimes.crun import CrunRuntime

TIMES, RESETS = 60, 10
THINKING_S = (0.05, 0.15)
"""Before each step: one that follows at once would begin with a frame, and take whole frames more or less."""
TASK = Task("bench", "", GraderSpec("checks"), hidden={"play": "bench"})

SMALL = (
    "<title>Small</title><h1>A page</h1><form><label>Name <input name=n></label></form>"
    '<button type=button onclick="this.dataset.n = +(this.dataset.n || 0) + 1">Press</button>'
    + "".join(f"<p>Line {number} <a href='#{number}'>link {number}</a></p>" for number in range(30))
)
LARGE = "<title>Large</title><table>{}</table>".format(
    "".join(
        f"<tr><td>{row}</td><td><a href='#{row}'>item {row}</a></td><td>{row * 7 % 100}</td>"
        "<td><button>Buy</button></td></tr>"
        for row in range(500)
    )
)

PLAIN = f"""
import asyncio, json, random, sys, time
from playwright.async_api import async_playwright
pages = json.load(sys.stdin)
async def timed(work, times):
    took, rng = [], random.Random(1)
    for _ in range(times):
        await asyncio.sleep(rng.uniform(*{THINKING_S}))
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)
    return took
async def main():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path={EXECUTABLE!r}, headless=True, args={list(FLAGS)!r})
        context = await browser.new_context(viewport={{"width": 1280, "height": 720}})
        page = await context.new_page()
        await page.set_content(pages["small"])
        text = await page.aria_snapshot(mode="ai")
        ref = [line for line in text.splitlines() if "Press" in line][0].split("[ref=")[1].split("]")[0]
        async def click():
            await page.locator("aria-ref=" + ref).click()
            await page.aria_snapshot(mode="ai")
        await timed(click, 5)
        clicks = await timed(click, {TIMES})
        shots = await timed(page.screenshot, {TIMES})
        await page.set_content(pages["large"])
        async def see():
            await page.aria_snapshot(mode="ai")
        print(json.dumps({{"click": clicks, "screenshot": shots, "large": await timed(see, 5)}}))
        await browser.close()
asyncio.run(main())
"""


class Pages(Site):
    hosts = ("bench.test",)

    def answer(self, request: Request) -> Response:
        return Response.html(LARGE if request.path == "/large" else SMALL)


class BenchPlay(Play):
    """Two pages, and nothing to do."""

    start_url = "http://bench.test/"
    prompt = ""

    def __init__(self, *_: Any) -> None:
        self.web = Web([Pages()])

    def checks(self, answer: str | None, *, infeasible: bool) -> list[Check]:
        return [Check("nothing", False)]


async def _timed(work: Callable[[], Awaitable[Any]], times: int) -> list[float]:
    took, rng = [], random.Random(1)
    for _ in range(times):
        await asyncio.sleep(rng.uniform(*THINKING_S))
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)
    return took


@asynccontextmanager
async def _sandbox(runtime: CrunRuntime) -> Any:
    sandbox = await runtime.create(SandboxSpec("browser", BrowserEnvironment.spec.limits))
    try:
        yield sandbox
    finally:
        await sandbox.destroy()


async def _plain(sandbox: Sandbox) -> dict[str, Any]:
    pages = json.dumps({"small": SMALL, "large": LARGE}).encode()
    result = await sandbox.run(Command(["python3", "-c", PLAIN], cwd="/tmp"), stdin=pages, timeout_s=120)
    found: dict[str, list[float]] = json.loads(result.stdout.text)
    return {name: summarise(took).as_dict() for name, took in found.items()}


async def _step(environment: BrowserEnvironment, **action: Any) -> dict[str, Any]:
    transition = await environment.step(action, StepContext(timeout_s=60))
    assert "error" not in transition.observation, transition
    return transition.observation


async def _ours(sandbox: Sandbox) -> dict[str, Any]:
    environment = BrowserEnvironment()
    await environment.prepare(sandbox)
    observation, _ = await environment.reset(sandbox, TASK, 1, {})
    found = re.search(r'"Press" \[ref=(\w+)\]', observation["text"])
    assert found is not None
    ref = found[1]
    await _timed(lambda: _step(environment, type="click", ref=ref), 5)
    clicks = await _timed(lambda: _step(environment, type="click", ref=ref), TIMES)
    shots = await _timed(lambda: _step(environment, type="read_page", what="screenshot"), TIMES)
    await _step(environment, type="goto", url="http://bench.test/large")
    large = await _timed(lambda: _step(environment, type="wait", time_s=0), 5)
    return {
        name: summarise(took).as_dict() for name, took in (("click", clicks), ("screenshot", shots), ("large", large))
    }


async def _resets(runtime: CrunRuntime) -> dict[str, Any]:
    took, memory = [], 0
    for _ in range(RESETS):
        async with _sandbox(runtime) as sandbox:
            environment = BrowserEnvironment()
            await environment.prepare(sandbox)
            began = time.perf_counter()
            await environment.reset(sandbox, TASK, 1, {})
            took.append(time.perf_counter() - began)
            memory = sandbox.usage().memory_bytes
    return {**summarise(took).as_dict(), "memory_mib": memory >> 20}


async def measure(run: Path) -> dict[str, Any]:
    """All of it."""
    setattr(environment_module, "make_play", BenchPlay)  # noqa: B010  # no task set has these pages
    runtime = CrunRuntime(run)
    try:
        async with _sandbox(runtime) as sandbox:
            plain = await _plain(sandbox)
        async with _sandbox(runtime) as sandbox:
            ours = await _ours(sandbox)
        ratio = ours["click"]["p50_ms"] / plain["click"]["p50_ms"]
        return {
            "target": {"reset_p50_ms": 400, "click_ratio": 1.3, "screenshot_p50_ms": 250, "large_p50_ms": 1200},
            "plain": plain,
            "environment": ours,
            "click_ratio": round(ratio, 2),
            "reset": await _resets(runtime),
        }
    finally:
        await runtime.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    print(json.dumps(asyncio.run(measure(parser.parse_args().run)), indent=2))


if __name__ == "__main__":
    main()
