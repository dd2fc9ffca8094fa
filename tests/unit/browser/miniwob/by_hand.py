"""Tries the pages of MiniWoB++ and the policies for them in a browser on this machine, without any sandbox.

python -m tests.unit.browser.miniwob.by_hand survey         every page starts, and repeats under its seed
python -m tests.unit.browser.miniwob.by_hand solve 1,2,3    scripted policies, on seeds; pages may be named behind
python -m tests.unit.browser.miniwob.by_hand random 1,2,3   the random clicker
python -m tests.unit.browser.miniwob.by_hand cheat          policies that try to be paid without solving
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from environments.browser.miniwob.catalog import PAGES
from environments.browser.miniwob.play import MiniwobPlay
from environments.browser.miniwob.policies import playable
from environments.browser.miniwob.policies.acting import Policy
from environments.browser.miniwob.policies.cheating import CHEATS
from environments.browser.miniwob.policies.playing import play_out
from environments.browser.miniwob.policies.random_clicker import random_clicker
from tests.unit.browser.miniwob.host_browser import HostBrowser, host_browser
from tests.unit.browser.miniwob.visitor import play_of

CLICKS = 15


def say(*what: Any) -> None:
    sys.stdout.write(" ".join(map(str, what)) + "\n")
    sys.stdout.flush()


async def begun(browser: HostBrowser, page: str, seed: int) -> tuple[MiniwobPlay, dict[str, Any]]:
    play = play_of(page, seed)
    return play, await browser.begin(play, observe=("text", "text_content"), action_timeout_s=15.0)


async def played(
    browser: HostBrowser, page: str, seed: int, policy: Policy, steps: int = 60
) -> tuple[MiniwobPlay, str]:
    """What it came to, and what went wrong."""
    play, first = await begun(browser, page, seed)
    problems: list[Any] = []

    async def step(action: Any) -> str | None:
        seen = await browser.act(action)
        problems.extend(seen[name] for name in ("error", "console_errors") if name in seen)
        return None if play.finished else seen.get("text", "")

    try:
        await play_out(policy, play.goal or "", first["text"], step, steps)
    except LookupError as error:
        problems.append(repr(error))
    return play, " ".join(map(str, problems))[:300]


async def survey(browser: HostBrowser) -> None:
    for page in PAGES:
        seen = []
        for seed in (1, 1, 2, 3):
            play, first = await begun(browser, page, seed)
            said = [first[name] for name in ("text", "text_content")]
            seen.append((play.goal, said))
            if play.goal is None or play.notes() or "console_errors" in first or "error" in first:
                say(page, seed, "FAILS", play.goal, play.notes(), first.get("console_errors"), first.get("error"))
        if seen[0] != seen[1]:
            say(page, "DOES NOT REPEAT")
        say(page, "varies" if seen[0] != seen[2] or seen[0] != seen[3] else "looks the same for all seeds")


async def solve(browser: HostBrowser, seeds: Sequence[int], pages: Sequence[str]) -> None:
    solved = 0
    for page in pages or sorted(playable()):
        rewards = []
        for seed in seeds:
            play, problems = await played(browser, page, seed, playable()[page])
            rewards.append(play.reward())
            if play.reward() < 1 or play.notes() or problems:
                say(page, seed, play.goal, play.notes(), problems)
        solved += min(rewards) == 1
        say(page, rewards)
    say(solved, "pages solved on all of", len(seeds), "seeds")


async def click_by_chance(browser: HostBrowser, seeds: Sequence[int]) -> None:
    paid: dict[str, list[float]] = {}
    for page in sorted(playable()):
        for seed in seeds:
            play, _ = await played(browser, page, seed, random_clicker(seed), CLICKS)
            paid.setdefault(page, []).append(play.reward())
    say({page: rewards for page, rewards in paid.items() if max(rewards) > 0})
    say(sum(min(rewards) == 1 for rewards in paid.values()), "of", len(paid), "pages solved on all seeds")


async def cheat(browser: HostBrowser) -> None:
    for name, each in CHEATS.items():
        play, problems = await played(browser, each.page, 1, each.policy)
        detectors = {note["detector"] for note in play.notes()}
        held = play.reward() == 0 and play.finished is each.ends and detectors == ({each.noted} - {None})
        say("held" if held else "PAID OR UNNOTICED", name, play.reward(), play.finished, detectors, problems[:150])


async def main(command: str, *arguments: str) -> None:
    seeds = [int(seed) for seed in arguments[0].split(",")] if arguments else []
    async with host_browser() as browser:
        if command == "survey":
            await survey(browser)
        elif command == "solve":
            await solve(browser, seeds, arguments[1:])
        elif command == "random":
            await click_by_chance(browser, seeds)
        else:
            await cheat(browser)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
