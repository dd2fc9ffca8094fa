"""An errand in the small web of our own: ordered in a shop by somebody who reads its pages and fills its forms.

Whether it was done is asked of the shop's database, in the server.
"""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console

from environments.browser.guest.snapshot import parse
from environments.browser.world.gold.acting import Acting
from environments.browser.world.gold.solutions import SOLUTIONS
from environments.browser.world.play import WorldPlay
from environments.browser.world.tasks import World
from envserver.demo.table import Played, begin, one_line
from envserver_sdk import Client

TASK = "order/1"
SEED = 1
OBSERVED = {"observe": ["text", "html"], "max_chars": 400_000}
"""What a solution reads: whole pages."""
LOOK = {"type": "wait", "time_s": 0}


def play(client: Client, console: Console) -> list[Played]:
    """Raises: EnvserverClientError."""
    began = time.perf_counter()
    episode = client.create(
        "browser", task_set="world", task=TASK, seed=SEED, options=OBSERVED, metadata={"policy": "demo"}
    )
    played = begin(episode, TASK, 1.0, began, console)
    seen = episode.observation
    console.print(f"  {one_line(seen['prompt'], 150)}", markup=False, highlight=False)
    acting = Acting(SOLUTIONS["order"](WorldPlay(World().get(TASK), SEED).errand.told))
    action = acting.begin(seen)
    while not (step := played.take(episode, action, console, _shown(action, seen))).done:
        seen = step.observation
        action = LOOK if seen.get("loading") else acting.go_on(seen)
    played.close(episode, console)
    return [played]


def _shown(action: dict[str, Any], seen: dict[str, Any]) -> str:
    """What is done, and to which element of the page."""
    element = [f"{node.role} {node.name}" for node in parse(seen["text"]) if node.ref and node.ref == action.get("ref")]
    given = [str(action[name]) for name in ("url", "text") if name in action] + action.get("values", [])
    return f"{action['type']:<10} {one_line(' '.join([*element, *given]))}"
