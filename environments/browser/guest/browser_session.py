"""The program in a browser's sandbox: takes requests on descriptor 3, answers on 4.

    {"op": "prepare", "options"}            the browser runs, and has an empty page
    {"op": "begin", "url", "options"}       the first observation
    {"op": "act", "action", "timeout_s"}    an action, and what is seen then
    {"op": "answers", "answers": [...]}     what the server says to what pages have asked for

Each is answered by `{"asked": [requests of pages]}`, and the action goes on when those are answered, or at last by
`{"done": ...}`. What pages ask for between two actions waits for the next.
"""

from __future__ import annotations

import asyncio
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from environments.browser.guest.host import Host
from environments.browser.guest.playing import Playing
from environments.guest.channel import Channel

GATHER_S = ((200, 0.001), (600, 0.02))
"""Requests that come together are handed on together: how long they are waited for, until so many times of one action.

A page that never stops asking is waited for longer: the server goes along so many times, and not on.
"""
LONG_GATHER_S = 0.5
END_S = 1.0
"""How long an action that was told to stop may take to."""


class Program:
    """Serves one channel."""

    def __init__(self, host: Host, channel: Channel) -> None:
        self._host = host
        self._channel = channel
        self._running: asyncio.Task[dict[str, Any]] | None = None
        self._legs = 0
        """How many times the server was asked something by what is running."""

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        thread = ThreadPoolExecutor(1)
        while (request := await loop.run_in_executor(thread, self._channel.receive)) is not None:
            answer = await self._answer(json.loads(request))
            if not await loop.run_in_executor(thread, self._channel.send, _encoded(answer)):
                return

    def _interrupt(self) -> None:
        """The step takes too long."""
        if self._running is not None:
            self._running.cancel()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "answers":
            self._host.proxy.deliver(request["answers"])
        else:
            await self._end_interrupted()
            self._host.proxy.begin_action()
            self._running, self._legs = asyncio.ensure_future(self._do(request)), 0
        assert self._running is not None
        arrived = asyncio.ensure_future(self._host.proxy.arrived.wait())
        await asyncio.wait({self._running, arrived}, return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()
        if not self._running.done():
            await asyncio.wait({self._running}, timeout=gather_s(self._legs))
        if not self._running.done():
            self._legs += 1
            return {"asked": self._host.proxy.take()}
        running, self._running = self._running, None
        if running.cancelled():
            return {"late": True}
        if (error := running.exception()) is not None:
            return {"failed": f"{type(error).__name__}: {error}"[:2000]}
        return {"done": running.result()}

    async def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "begin":
            return await self._host.begin(request)
        if request["op"] == "act":
            return await self._host.act(request["action"], request["timeout_s"])
        await self._host.open(request["options"])
        return {}

    async def _end_interrupted(self) -> None:
        """An action that was told to stop while the server heard what its page asked for: nobody asks how it ended."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running}, timeout=END_S)


def gather_s(legs: int) -> float:
    """Before the server is asked once more."""
    return next((pause_s for until, pause_s in GATHER_S if legs < until), LONG_GATHER_S)


def _encoded(answer: dict[str, Any]) -> bytes:
    """Half a character, which a page can make, is no text anywhere else."""
    try:
        return json.dumps(answer, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps({"failed": f"{type(error).__name__}: {error}"[:2000]}).encode()


async def serve() -> None:
    playing = Playing()
    try:
        host = Host(playing)
        await host.prepare()
        await Program(host, Channel(3, 4)).serve()
    finally:
        await playing.stop()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until there is something to interrupt
    asyncio.run(serve())
