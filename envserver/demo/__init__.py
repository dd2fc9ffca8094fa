"""Episodes of every environment on a running node, played step by step through the SDK by scripted policies."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console

from envserver.demo import browser, code, errand, gym, tools
from envserver.demo.table import Played, table_of
from envserver_sdk import Client, Timeouts

RECONNECT_S = 10.0
"""Whoever shows a demo is not to wait long to hear that there is no node."""

Demo = Callable[[Client, Console], list[Played]]
DEMOS: tuple[Demo, ...] = (code.play, tools.play, gym.play, browser.play, errand.play)


def play(url: str, api_key: str | None = None, *, as_json: bool = False) -> int:
    """Play, print, and return an exit status: 0 when each episode earned what it should have, else 1.

    Raises: EnvserverClientError.
    """
    console = Console(width=160, quiet=as_json)
    with Client(url, api_key, timeouts=Timeouts(reconnect_s=RECONNECT_S)) as client:
        results = [played for demo in DEMOS for played in demo(client, console)]
    console.print()
    console.print(table_of(results))
    if as_json:
        sys.stdout.write(json.dumps([asdict(played) for played in results]) + "\n")
    if wrong := [f"{played.task}: {played.reward}" for played in results if not played.as_expected]:
        sys.stderr.write(f"unexpected rewards: {', '.join(wrong)}\n")
        return 1
    return 0
