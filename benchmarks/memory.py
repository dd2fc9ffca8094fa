"""What episodes cost in memory while they wait: the guest agents, and what the server grows by. Needs root to see."""

from __future__ import annotations

import asyncio
import os
import urllib.parse
from pathlib import Path

from benchmarks.figures import Figure, Sizes
from envserver_sdk import AsyncClient

SUM = {"type": "python", "code": "1+1"}
TRUE = {"type": "bash", "command": "true"}


async def idle_memory(client: AsyncClient, sizes: Sizes) -> list[Figure]:
    """Proportional, so that what all share is counted once."""
    if os.geteuid() != 0:
        return []
    before, agents_before = _server_bytes(client), _agent_bytes()
    episodes = [await client.create("code", task="HumanEval/0") for _ in range(sizes.idle_episodes)]
    idle = _agent_bytes() - agents_before
    await asyncio.gather(*(episode.step(action) for episode in episodes for action in (SUM,)))
    await asyncio.gather(*(episode.step(action) for episode in episodes for action in (TRUE,)))
    with_sessions = _agent_bytes() - agents_before
    grown = max(0, _server_bytes(client) - before)
    await asyncio.gather(*(episode.close() for episode in episodes))
    count = len(episodes)
    return [
        Figure("agent, idle episode", "", value=round(idle / count / 1e6, 2), unit="MB"),
        Figure("agent and keepers, with both sessions", "", value=round(with_sessions / count / 1e6, 2), unit="MB"),
        Figure("our processes, per idle episode", "≤ 2 MB", value=round((idle + grown) / count / 1e6, 2), unit="MB"),
    ]


def _agent_bytes() -> int:
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"/.envserver/agent"):
                total += _proportional_bytes(process)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def _proportional_bytes(process: Path) -> int:
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _server_bytes(client: AsyncClient) -> int:
    port = urllib.parse.urlsplit(client.url).port
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
            inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return _proportional_bytes(process)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    raise RuntimeError(f"no process listens on port {port}")
