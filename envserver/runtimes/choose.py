"""Which runtime a server uses: the one that is configured, or the better of those that can work on this node.

The launcher tells what keeps each from working. crun comes first, since it can do everything and starts ten times as
fast; docker serves where crun cannot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envserver.runtimes.base import Runtime, RuntimeUnavailableError
from envserver.runtimes.crun import CrunRuntime
from envserver.runtimes.docker import DockerRuntime
from envserver.runtimes.launcher import Launcher

_INTERVAL_S = 0.1
_RUNTIMES: dict[str, Callable[[Path], Runtime]] = {"crun": CrunRuntime, "docker": DockerRuntime}


@dataclass(frozen=True)
class Choice:
    name: str
    reason: str
    """For an operator: why this one."""


def choose(wanted: str, problems: dict[str, str | None]) -> Choice:
    """`wanted` is "auto", "crun" or "docker"; `problems` by runtime, None where there is none.

    Raises: RuntimeUnavailableError when what is wanted, or everything, cannot work.
    """
    if wanted != "auto":
        if problem := problems[wanted]:
            raise RuntimeUnavailableError(f"the runtime {wanted} is configured and cannot work: {problem}")
        return Choice(wanted, "it is configured")
    if problems["crun"] is None:
        return Choice("crun", "crun, CRIU and mounts with an id map work here")
    if problems["docker"] is None:
        return Choice("docker", f"crun cannot work here: {problems['crun']}")
    raise RuntimeUnavailableError(f"no runtime can work here. crun: {problems['crun']}. docker: {problems['docker']}")


async def connect(run: Path, wanted: str = "auto", *, wait_s: float = 60.0) -> Runtime:
    """The runtime to use, with its reason, once the launcher answers; it may still be starting.

    Raises: RuntimeUnavailableError.
    """
    choice = choose(wanted, (await _health(run, wait_s))["problems"])
    runtime = _RUNTIMES[choice.name](run)
    runtime.reason = choice.reason
    return runtime


async def _health(run: Path, wait_s: float) -> dict[str, Any]:
    launcher = Launcher(run)
    deadline = asyncio.get_running_loop().time() + wait_s
    try:
        while True:
            try:
                return await launcher.call("health")
            except RuntimeUnavailableError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_INTERVAL_S)
    finally:
        launcher.close()
