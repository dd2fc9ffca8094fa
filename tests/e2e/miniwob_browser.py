"""Plays pages of MiniWoB++ in the real browser, through the SDK: two episodes at a time on one server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from environments.browser.miniwob.policies.acting import Action, Policy
from environments.browser.miniwob.policies.playing import MAX_STEPS, play_out
from envserver_sdk import AsyncClient
from envserver_sdk.models import Outcome, StepResult

AT_ONCE = 2
LOOK = {"type": "wait", "time_s": 0}
PATIENT = {"action_timeout_s": 15}
"""Nothing here minds a machine that is slow."""

T = TypeVar("T")


@dataclass
class Played:
    """What an episode came to."""

    reward: float | None
    ended: bool
    """By the page itself; the others were graded as the policy left them."""
    steps: int
    detectors: set[str]
    problems: list[str] = field(default_factory=list)
    """What went wrong on the way: errors of actions and of pages, and what the policy did not find."""


async def play(
    client: AsyncClient,
    page: str,
    policy: Policy,
    *,
    seed: int = 1,
    max_steps: int = MAX_STEPS,
    options: Mapping[str, Any] = PATIENT,
) -> Played:
    """To its end, or to where the policy has nothing more to do."""
    results: list[StepResult] = []
    problems: list[str] = []

    async with client.create("browser", task_set="miniwob", task=page, seed=seed, options=options) as episode:

        async def step(action: Action) -> str | None:
            result = await episode.step(action)
            results.append(result)
            seen = result.observation
            problems.extend(f"{name}: {seen[name]}" for name in ("error", "console_errors", "notices") if name in seen)
            if result.outcome not in (Outcome.OK, Outcome.ESCAPE_ATTEMPT):
                problems.append(f"{result.outcome}")
            if result.done:
                return None
            return await step(LOOK) if seen.get("loading") else seen.get("text", "")

        first = episode.observation
        problems.extend(f"at first, {name}: {first[name]}" for name in ("error", "loading") if name in first)
        try:
            await play_out(policy, first["goal"], first["text"], step, max_steps)
        except LookupError as error:
            problems.append(repr(error)[:500])
        ended = bool(results) and results[-1].terminated
        reward = results[-1].reward if ended else (await episode.grade()).reward
    return Played(reward, ended, len(results), {name for each in results for name in detectors_of(each)}, problems)


def detectors_of(result: StepResult) -> list[str]:
    """What was found in a step, as its info tells."""
    extra = result.info.model_extra or {}
    return [note["detector"] for note in extra.get("detectors", ())]


async def each_of(names: Iterable[str], work: Callable[[str], Awaitable[T]]) -> dict[str, T]:
    """What it comes to for every name."""
    waiting, found = iter(list(names)), dict[str, T]()

    async def worker() -> None:
        for name in waiting:
            found[name] = await work(name)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return found
