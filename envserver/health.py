"""Asks a node how it is, once or until it is well: for health checks and scripts."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envserver.launcher.client import LauncherClient

_INTERVAL_S = 0.2


def ask_server(url: str, wait_s: float = 0.0) -> dict[str, Any]:
    """The server's health document. Raises: OSError when it is not ready within `wait_s`."""

    def ask() -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"{url}/v1/health", timeout=5) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise ConnectionError(f"{url} is not ready: {error.read(500).decode(errors='replace')}") from error
        if answer.get("status") != "ok":
            raise ConnectionError(f"{url} is not ready: {answer}")
        return answer

    return _until(ask, wait_s)


def ask_launcher(run: Path, wait_s: float = 0.0) -> dict[str, Any]:
    """The launcher's health document. Raises: OSError when it does not answer within `wait_s`."""

    def ask() -> dict[str, Any]:
        with LauncherClient(run, timeout_s=5) as client:
            return client.call("health")

    return _until(ask, wait_s)


def _until(ask: Callable[[], dict[str, Any]], wait_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return ask()
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_INTERVAL_S)
