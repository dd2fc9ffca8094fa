"""Shorthands of the end-to-end tests: actions, waiting with a deadline, and a step that a test holds open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from envserver.launcher import cgroups
from envserver.launcher.client import LauncherClient
from envserver_sdk import AsyncEpisode
from envserver_sdk.errors import FileProblem
from tests.conftest import Node

T = TypeVar("T")

MIB = 1 << 20


def bash(command: str) -> dict[str, Any]:
    return {"type": "bash", "command": command}


def python(code: str) -> dict[str, Any]:
    return {"type": "python", "code": code}


async def eventually(probe: Callable[[], Awaitable[T | None]], timeout_s: float = 15.0) -> T:
    """The probe's first result that is true. Raises: TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not (found := await probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s")
        await asyncio.sleep(0.02)
    return found


def sandboxes(node: Node) -> list[dict[str, Any]]:
    """What the launcher has."""
    with LauncherClient(node.run) as launcher:
        listed: list[dict[str, Any]] = launcher.call("list")["sandboxes"]
        return listed


def destroy_all(node: Node) -> None:
    with LauncherClient(node.run) as launcher:
        for entry in launcher.call("list")["sandboxes"]:
            launcher.call("destroy", sandbox_id=entry["sandbox_id"])


def sandbox_processes(node: Node) -> dict[str, set[int]]:
    """Host pids of every sandbox: its agent, and what the policy runs."""
    return {entry["sandbox_id"]: set(cgroups.processes(entry["cgroup"])) for entry in sandboxes(node)}


class Gate:
    """A command that counts its runs in the sandbox, waits for the test, and ends with bytes of chance."""

    action = bash(
        "echo ran >> /workspace/runs; until [ -e /workspace/open ]; do sleep 0.02; done; od -An -tx8 -N16 /dev/urandom"
    )

    def __init__(self, episode: AsyncEpisode) -> None:
        self._episode = episode

    async def begun(self) -> None:
        await eventually(self.runs)

    async def open(self) -> None:
        await self._episode.write_file("/workspace/open", b"")

    async def runs(self) -> int:
        """How often the command has run: 1, however often it was asked for."""
        try:
            return (await self._episode.read_file("/workspace/runs")).count(b"ran\n")
        except FileProblem as problem:
            if problem.extra["reason"] != "not_found":
                raise
            return 0
