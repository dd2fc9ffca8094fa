"""So many browsers side by side for so long, three of them with a page that does harm.

Those that behave walk through the world's sites, or type into a page of MiniWoB++; not one of their steps may fail, and
each ends with its reward. Those with a pest press its button again and again; what that comes to must be what
docs/browser.md says, and after it the same episode must still be good for something, or have ended cleanly.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from environments.browser.world.gold.page import Page
from environments.browser.world.gold.solutions import SOLUTIONS
from environments.browser.world.gold.steps import Answer
from environments.browser.world.play import WorldPlay
from environments.browser.world.tasks import World
from envserver_sdk import AsyncClient, AsyncEpisode
from envserver_sdk.models import Outcome, StepResult
from tests.e2e.surviving import OPTIONS, PLACES, action_of
from tests.load.own_pages import ref
from tests.load.pests import NICE, PRESS, goto

MAX_STEPS = 440
"""Of one episode; then there are some left for its end."""
TRIES = 3
SHORT_S = 4.0
"""The time limit of a step that a spinning page does not let come to an end."""
LEAKER_BYTES = 1 << 30
Action = Mapping[str, Any]


@dataclass
class Report:
    """What was seen."""

    steps: Counter[str] = field(default_factory=Counter)
    """By who took them."""
    rewards: dict[str, list[float | None]] = field(default_factory=dict)
    harms: Counter[str] = field(default_factory=Counter)
    """What pests came to, by its kind."""
    failed: list[str] = field(default_factory=list)
    """What pests came to that is nowhere documented."""
    slowest_s: float = 0.0
    """Of the steps of those that behave."""


class Player:
    """One after another of the same kind of episode, until time is up."""

    def __init__(self, name: str, client: AsyncClient, report: Report, until: float, pace_s: float) -> None:
        self.name, self._client, self._report, self._until, self._pace_s = name, client, report, until, pace_s
        self._chance = random.Random(name)

    @property
    def _over(self) -> bool:
        return time.monotonic() > self._until

    async def _step(self, episode: AsyncEpisode, action: Action, timeout_s: float | None = None) -> StepResult:
        result = await episode.step(action, timeout_s=timeout_s)
        self._report.steps[self.name] += 1
        return result

    async def _good(self, episode: AsyncEpisode, action: Action) -> Mapping[str, Any]:
        """A step that nobody else's browser may make fail."""
        began = time.monotonic()
        result = await self._step(episode, action)
        took_s = time.monotonic() - began
        self._report.slowest_s = max(self._report.slowest_s, took_s)
        wrong = {"error", "notices"} & set(result.observation)
        assert result.outcome is Outcome.OK and not wrong and "text" in result.observation, (self.name, action, result)
        await asyncio.sleep(max(0.0, self._pace_s - took_s))  # the rate of a policy, not a wait for anything
        return result.observation

    def _reward(self, reward: float | None) -> None:
        self._report.rewards.setdefault(self.name, []).append(reward)

    # Those that behave.

    async def walk(self) -> None:
        """Through the world's sites by their links; then the errand that the episode is for."""
        while True:
            told = WorldPlay(World().get("compare/1"), 1).errand.told
            async with self._client.create(
                "browser", task_set="world", task="compare/1", seed=1, options=OPTIONS
            ) as each:
                seen: Mapping[str, Any] = each.observation
                while not self._over and each.step_index < MAX_STEPS:
                    links = re.findall(r'- link "[^"]+".*?\[ref=(\w+)\]', seen["text"])
                    away = not links or self._chance.random() < 0.3
                    action = (
                        {"type": "goto", "url": self._chance.choice(PLACES)}
                        if away
                        else _click(self._chance.choice(links))
                    )
                    seen = await self._good(each, action)
                solution = SOLUTIONS["compare"](told)
                step = next(solution)
                while not isinstance(step, Answer):
                    seen = await self._good(each, action_of(step, seen))
                    step = solution.send(Page(seen["url"], seen["html"]))
                self._reward((await self._step(each, action_of(step, seen))).reward)
            if self._over:
                return

    async def type(self) -> None:
        """Into a page of MiniWoB++, over and over; at last what it asks for."""
        while True:
            async with self._client.create("browser", task_set="miniwob", task="enter-text", seed=3) as each:
                text, wanted = each.observation["text"], re.search('"(.+?)"', each.observation["goal"])
                assert wanted is not None
                field_, button = ref(text, "textbox"), ref(text, "button")
                # The task has fewer steps than the environment.
                while not self._over and each.step_index < 90:
                    seen = await self._good(each, {"type": "fill", "ref": field_, "text": f"typed {each.step_index}"})
                    assert f"typed {each.step_index - 1}" in seen["text"], (self.name, seen)
                await self._good(each, {"type": "fill", "ref": field_, "text": wanted[1]})
                self._reward((await self._step(each, _click(button))).reward)
            if self._over:
                return

    # Those that do not.

    async def spin(self) -> None:
        async with self._client.create("browser", task_set="own", task="spinner", seed=1) as each:
            while True:
                await self._press(each, SHORT_S, self._spun)
                if self._over or each.step_index > MAX_STEPS:
                    break
            await self._be_fine(each)

    async def _spun(self, each: AsyncEpisode, pressed: StepResult) -> None:
        outcomes = await self._until_told(each, pressed)
        if outcomes <= {Outcome.OK, Outcome.POLICY_TIMEOUT}:
            self._report.harms["a page that hangs is closed"] += 1
            self._report.harms["policy_timeout"] += Outcome.POLICY_TIMEOUT in outcomes
        else:
            self._undocumented(pressed)

    async def _until_told(self, each: AsyncEpisode, result: StepResult) -> set[Outcome]:
        """Steps until one tells what became of the page; what they came to."""
        outcomes = {result.outcome}
        for _ in range(TRIES * 10):
            if result.truncated or _told(result):
                break
            result = await self._step(each, {"type": "wait", "time_s": 0.3})
            outcomes.add(result.outcome)
        else:
            self._undocumented(result)
        return outcomes

    async def leak(self) -> None:
        while True:
            limits = {"memory_bytes": LEAKER_BYTES}
            async with self._client.create("browser", task_set="own", task="leaker", seed=1, limits=limits) as each:
                ended = False
                while not ended:
                    ended = await self._leak_once(each)
                    if self._over or each.step_index > MAX_STEPS:
                        break
                if not ended:
                    await self._be_fine(each)
            if self._over:
                return

    async def _leak_once(self, each: AsyncEpisode) -> bool:
        """Whether the episode ended."""
        result = await self._opened_page(each, "/")
        if result.truncated:
            return True
        result = await self._step(each, _click(ref(result.observation["text"], PRESS)))
        outcomes = await self._until_told(each, result)
        result = await self._step(each, {"type": "wait", "time_s": 0})  # the kernel may be ahead of Chromium, or behind
        outcomes.add(result.outcome)
        if outcomes <= {Outcome.OK, Outcome.POLICY_OOM}:
            self._report.harms["a page that leaks crashes"] += 1
            # A page goes on between two steps: what is killed then is no step's outcome.
            self._report.harms["policy_oom"] += Outcome.POLICY_OOM in outcomes
        else:
            self._undocumented(result)
        return result.truncated

    async def _opened_page(self, each: AsyncEpisode, path: str) -> StepResult:
        """Once it can be acted on: what went wrong before may be noticed by this step only, and is told then."""
        for _ in range(TRIES):
            result = await self._step(each, goto(path))
            if result.truncated or '"Begin"' in result.observation.get("text", ""):
                return result
            self._report.harms[f"noticed late: {result.outcome}"] += 1
            if not _told(result):
                self._undocumented(result)
        raise AssertionError(f"{self.name} gets no page any more: {result}")

    async def open(self) -> None:
        async with self._client.create("browser", task_set="own", task="opener", seed=1) as each:
            while True:
                await self._press(each, None, self._opened)
                if self._over or each.step_index > MAX_STEPS:
                    break
            await self._be_fine(each)

    async def _opened(self, each: AsyncEpisode, pressed: StepResult) -> None:
        result = pressed
        for _ in range(20):
            if result.outcome is not Outcome.OK or "error" in result.observation:
                self._undocumented(result)
                return
            if any("a popup was closed" in notice for notice in result.observation.get("notices", ())):
                self._report.harms["popups are closed"] += 1
                break
            result = await self._step(each, {"type": "wait", "time_s": 0.2})
        else:
            self._undocumented(result)
        tabs = len(result.observation["tabs"])
        if tabs > 10:
            self._report.failed.append(f"{self.name}: {tabs} tabs")
        while tabs > 1:  # the first is the one that opens the others
            result = await self._step(each, {"type": "close_tab", "tab": 1})
            if result.outcome is not Outcome.OK:
                self._undocumented(result)
                return
            tabs = len(result.observation["tabs"])

    async def _press(
        self,
        each: AsyncEpisode,
        timeout_s: float | None,
        then: Callable[[AsyncEpisode, StepResult], Awaitable[None]],
    ) -> None:
        seen = await self._opened_page(each, "/")
        await then(each, await self._step(each, _click(ref(seen.observation["text"], PRESS)), timeout_s))

    def _undocumented(self, result: StepResult) -> None:
        self._report.failed.append(f"{self.name} came to {result.outcome} {result.observation}"[:1500])

    async def _be_fine(self, each: AsyncEpisode) -> None:
        """The browser that had the pest is good for something still."""
        seen = await self._opened_page(each, NICE)
        await self._step(each, _click(ref(seen.observation["text"], PRESS)))
        self._reward((await each.grade()).reward)


def _told(result: StepResult) -> bool:
    """A policy is told what became of its page or its browser."""
    said = result.observation.get("error", "")
    return any(what in said for what in ("crashed: its tab was closed", "does not answer any more", "the browser died"))


def _click(ref_: str) -> Action:
    return {"type": "click", "ref": ref_}


async def play(client: AsyncClient, seconds: float, *, walkers: int, typists: int, pace_s: float) -> Report:
    """All of them at once, with one of each pest."""
    report, until = Report(), time.monotonic() + seconds

    def player(name: str) -> Player:
        return Player(name, client, report, until, pace_s)

    await asyncio.gather(
        *(player(f"walker {number}").walk() for number in range(walkers)),
        *(player(f"typist {number}").type() for number in range(typists)),
        player("spinner").spin(),
        player("leaker").leak(),
        player("opener").open(),
    )
    return report
