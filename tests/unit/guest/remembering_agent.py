"""A guest agent that keeps the protocol's rules about ids, and runs what it is told for as long as a test likes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from envserver.guest.series import LOOSE
from tests.unit.guest.fake_agent import BOUND_S, HELLO, FakeAgent, Peer


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not condition():
            await asyncio.sleep(0)


class RememberingAgent:
    """Answers `look` at once; a `run` runs until `finish`. Outlives its connections."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.running: dict[int, str] = {}
        self.kept: dict[int, dict[str, Any]] = {}
        self.acknowledged = 0
        self.runs: Counter[str] = Counter()
        self.taken: list[int] = []
        """Ids of the frames of the connection that is open, or was last."""
        self.lost = 0
        self.deaf = False
        """What comes is lost on its way."""
        self._unwanted: set[int] = set()
        self._peer: Peer | None = None
        self._agent = FakeAgent(socket, self._serve)

    async def __aenter__(self) -> Self:
        await self._agent.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._agent.__aexit__(kind, error, trace)

    @property
    def connections(self) -> int:
        return self._agent.connections

    @property
    def kept_loose(self) -> set[int]:
        return {number for number in self.kept if number >= LOOSE}

    def drop(self) -> None:
        """Hang up."""
        if self._peer is not None:
            self._peer.writer.transport.abort()

    def finish(self, number: int) -> None:
        name = self.running.pop(number)
        self._answer(number, {"ok": {"name": name, "serial": sum(self.runs.values()), "of": self.runs[name]}})

    def say(self, number: int, data: bytes) -> None:
        assert self._peer is not None
        self._peer.send({"id": number, "event": "output", "stream": "stdout", "data": data})

    async def _serve(self, peer: Peer) -> None:
        self._peer, self.taken, self.deaf = peer, [], False
        past = {"acknowledged": self.acknowledged, "running": [*self.running], "kept": [*self.kept]}
        peer.send({"hello": {**HELLO["hello"], **past}})
        try:
            while True:
                request = await peer.receive()
                if self.deaf:
                    self.lost += 1
                else:
                    self._take(peer, request)
        finally:
            if self._peer is peer:
                self._peer = None

    def _take(self, peer: Peer, request: dict[str, Any]) -> None:
        number = request["id"]
        self.acknowledged = max(self.acknowledged, request["ack"])
        self.kept = {kept: answer for kept, answer in self.kept.items() if kept > self.acknowledged}
        is_new = False
        if number in self.kept:
            peer.send(self.kept[number])
        elif number not in self.running and number <= self.acknowledged:
            peer.send({"id": number, "error": {"code": "acknowledged", "message": ""}})
        else:
            is_new = number not in self.running
            self.running.setdefault(number, request.get("name", ""))
        self._forget(request.get("done", []))
        self.taken.append(number)
        if is_new:
            self._carry_out(request)

    def _forget(self, done: list[int]) -> None:
        assert len(done) <= 1000
        for number in done:
            self.kept.pop(number, None)
            if number in self.running:
                self._unwanted.add(number)

    def _carry_out(self, request: dict[str, Any]) -> None:
        if request["op"] == "run":
            self.runs[request["name"]] += 1
        else:
            del self.running[request["id"]]
            self._answer(request["id"], {"ok": {}})

    def _answer(self, number: int, answer: dict[str, Any]) -> None:
        message = {"id": number, **answer}
        if number in self._unwanted:
            self._unwanted.remove(number)
        else:
            self.kept[number] = message
        if self._peer is not None:
            self._peer.send(message)
