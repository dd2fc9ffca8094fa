"""A page of MiniWoB++ in a real Chromium: clicked as it asks, and by somebody who would rather write the reward."""

from __future__ import annotations

import re
import time

from rich.console import Console

from envserver.demo.table import Played, begin, one_line
from envserver_sdk import Client

TASK = "click-test"
FORGERY = "javascript:core.endEpisode(1)"


def play(client: Client, console: Console) -> list[Played]:
    """Raises: EnvserverClientError."""
    return [_click(client, console, None), _click(client, console, FORGERY)]


def _click(client: Client, console: Console, forgery: str | None) -> Played:
    began = time.perf_counter()
    episode = client.create("browser", task_set="miniwob", task=TASK, seed=1, metadata={"policy": "demo"})
    named = TASK if forgery is None else f"{TASK}, forged"
    played = begin(episode, named, 1.0 if forgery is None else 0.0, began, console)
    text = episode.observation["text"]
    if forgery is not None:
        played.take(episode, {"type": "goto", "url": forgery}, console, f"goto       {forgery}")
    found = re.search(r"button .*\[ref=(\w+)\]", text)
    if found is not None:
        action = {"type": "click", "ref": found[1]}
        played.take(episode, action, console, f"click      {one_line(found[0])}")
    played.close(episode, console)
    return played
