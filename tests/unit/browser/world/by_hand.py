"""Solves the world's tasks in a browser on this machine, without any sandbox, by the actions that a policy takes.

python -m tests.unit.browser.world.by_hand 1,2,3              every task, on seeds; tasks may be named behind
python -m tests.unit.browser.world.by_hand pictures FOLDER    what the sites look like
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from environments.browser.obstacles.rewriting import WORDINGS
from environments.browser.world.gold.acting import Acting
from environments.browser.world.gold.careful import careful
from environments.browser.world.gold.solutions import SOLUTIONS
from environments.browser.world.play import WorldPlay
from environments.browser.world.tasks import World
from envserver.grading.checks import _share
from tests.unit.browser.miniwob.host_browser import HostBrowser, host_browser

OPTIONS: dict[str, Any] = {"observe": ("text", "html"), "max_chars": 400_000, "action_timeout_s": 15.0}
MOST = 600
PLACES = (
    "http://shop.test/", "http://shop.test/category/tents", "http://wiki.test/wiki/Lowmoor", "http://forum.test/",
    "http://forum.test/board/kitchen", "http://mail.test/", "http://desk.test/tickets",
)  # fmt: skip


def say(*what: Any) -> None:
    sys.stdout.write(" ".join(map(str, what)) + "\n")
    sys.stdout.flush()


async def solved(browser: HostBrowser, task_id: str, seed: int) -> tuple[float, str]:
    """What it is paid, and what is said of it."""
    task = World().get(task_id)
    play = WorldPlay(task, seed)
    rough = task.public.get("obstacles", {})
    steps = SOLUTIONS[task_id.partition("/")[0]](play.errand.told)
    called = {new: old for old, new in WORDINGS[1].items()} if "wording" in rough else {}
    acting = Acting(careful(steps, play.errand.told) if rough else steps, called)
    seen = await browser.begin(play, **OPTIONS)
    action, taken = acting.begin(seen), 0
    while action["type"] not in ("answer", "infeasible") and taken < MOST:
        seen = await browser.act(action)
        action, taken = acting.go_on(seen), taken + 1
    checks = play.checks(action.get("text"), infeasible=action["type"] == "infeasible")
    failed = [check.name for check in checks if not check.passed]
    return _share([vars(check) for check in checks]), f"{taken} steps {failed or ''}"


async def solve(browser: HostBrowser, seeds: Sequence[int], tasks: Sequence[str]) -> None:
    for task_id in tasks or World().task_ids():
        for seed in seeds:
            try:
                say(task_id, seed, *await solved(browser, task_id, seed))
            except (LookupError, AssertionError, TypeError) as error:
                say(task_id, seed, "failed", repr(error)[:600])


async def picture(browser: HostBrowser, folder: Path) -> None:
    await browser.begin(WorldPlay(World().get("compare/1"), 1), observe=("screenshot",))
    for number, url in enumerate(PLACES):
        seen = await browser.act({"type": "goto", "url": url})
        (folder / f"{number}.png").write_bytes(base64.b64decode(seen["images"][0]["data"]))


async def main(what: str, *rest: str) -> None:
    async with host_browser() as browser:
        if what == "pictures":
            await picture(browser, Path(rest[0]))
        else:
            await solve(browser, [int(each) for each in what.split(",")], rest)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
