"""CartPole in a container: a policy of two lines balances the pole, one step at a time and many in one call."""

from __future__ import annotations

import base64
import struct
import time
from typing import Any

from rich.console import Console

from envserver.demo.table import Played, begin, one_line
from envserver_sdk import Client

STEPS = 5
"""Taken one by one, to be seen."""


def play(client: Client, console: Console) -> list[Played]:
    """Raises: EnvserverClientError."""
    began = time.perf_counter()
    episode = client.create("gym", options={"id": "CartPole-v1"}, seed=1, metadata={"policy": "demo"})
    played = begin(episode, "CartPole-v1", 475.0, began, console)
    observation, ended = episode.observation, False
    while not ended:
        _, _, angle, spin = numbers = _numbers(observation["observation"])
        action = int(angle + 0.5 * spin > 0)
        shown = (
            f"step       {action}  ({one_line([round(each, 3) for each in numbers])})" if played.steps < STEPS else None
        )
        step = played.take(episode, {"type": "step", "action": action}, console if shown else QUIET, shown or "")
        observation, ended = step.observation, step.done
    console.print(f"       ...     {played.steps + 1} steps in all", highlight=False)
    played.close(episode, console)
    return [played]


def _numbers(document: Any) -> tuple[float, ...]:
    """An array of the typed codec, as anyone may read it: little-endian float32."""
    data = base64.b64decode(document["base64"])
    return struct.unpack(f"<{len(data) // 4}f", data)


QUIET = Console(quiet=True)
