"""Events by name: what takes time waits for them, so that no test sleeps."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict


class Gates:
    """Events by name, opened by the test; and how often each was reached."""

    def __init__(self) -> None:
        self._open: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.counts: Counter[str] = Counter()

    def open(self, name: str) -> None:
        self._open[name].set()

    async def reached(self, name: str) -> None:
        await self._reached[name].wait()

    async def pass_through(self, name: str) -> None:
        self.counts[name] += 1
        self._reached[name].set()
        await self._open[name].wait()


GATES = Gates()
"""Replaced for each test by the fixture `gates`."""
