"""Servers come and go, connections drop, frames are lost: no request runs twice, no answer changes, none is hoarded."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from envserver.guest.connection import GuestConnection
from envserver.guest.series import LOOSE
from tests.unit.guest.fake_agent import BOUND_S
from tests.unit.guest.remembering_agent import RememberingAgent, until

T = TypeVar("T")
REDIALS = 25
"""Below what one connection puts up with."""


@dataclass
class Written:
    """A series, as a journal and its servers know it."""

    number: int
    calls: int
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return len(self.answers) == self.calls


class Servers(RuleBasedStateMachine):
    """One guest, one server after the other. What is `open` outlives them, as a journal would."""

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.mkdtemp()
        self.loop = asyncio.new_event_loop()
        self.open: list[Written] = []
        self.settled = self.names = 0
        self.loose: list[asyncio.Task[Any]] = []
        self.agent = RememberingAgent(Path(self.directory) / "s")
        self.go(self.agent.__aenter__())
        self.connect()

    def teardown(self) -> None:
        self.connection.close()
        self.go(asyncio.wait([*self.tasks(), self.loop.create_task(asyncio.sleep(0))]))
        for task in self.tasks():
            task.cancelled() or task.exception()
        self.go(self.agent.__aexit__(None, None, None))
        self.loop.close()
        shutil.rmtree(self.directory)

    def go(self, steps: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(BOUND_S):
                return await steps

        return self.loop.run_until_complete(bounded())

    def tasks(self) -> list[asyncio.Task[Any]]:
        return [*self.loose, *(task for series in self.open for task in series.tasks)]

    def connect(self) -> None:
        self.redials = 0
        self.connection = self.go(GuestConnection.dial(self.agent.socket))
        self.go(self.calm())

    async def calm(self) -> None:
        """Everything that was sent has been taken, and every answer has reached its task."""
        await until(lambda: set(self.connection._pending) <= set(self.agent.taken))
        await until(lambda: set(self.connection._pending) <= set(self.agent.running))
        for _ in range(3):  # whoever was answered goes on and may ask for more
            await asyncio.sleep(0)
            await until(lambda: set(self.connection._pending) <= set(self.agent.running))

    # --- loose requests ---------------------------------------------------------------------------------------

    @rule()
    def run_loose(self) -> None:
        self.names += 1
        name = f"loose {self.names}"
        self.loose.append(self.loop.create_task(self.connection.request("run", {"name": name}, timeout_s=60)))
        self.go(self.calm())

    @rule(which=st.integers(0, 9))
    def give_up_loose(self, which: int) -> None:
        if self.loose:
            task = self.loose.pop(which % len(self.loose))
            task.cancel()
            self.go(self.ended(task))

    @rule()
    def look(self) -> None:
        """A frame. What was answered or given up before it need not be kept behind it."""
        self.go(self.calm())
        awaited = {number for number in self.connection._pending if number >= LOOSE}
        self.go(self.connection.request("look", {}, timeout_s=60, repeatable=True))
        assert self.agent.kept_loose <= awaited

    async def ended(self, task: asyncio.Task[Any]) -> None:
        await asyncio.wait([task])
        task.cancelled() or task.exception()
        await self.calm()

    # --- series -----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.open) < 3)
    @rule(calls=st.integers(1, 3))
    def begin_series(self, calls: int) -> None:
        series = Written(self.connection.series.reserve(), calls)
        assert series.number > max([self.settled, *(other.number for other in self.open)])
        self.open.append(series)
        self.repeat(series)

    def repeat(self, series: Written) -> None:
        series.tasks.append(self.loop.create_task(self.make(series, self.connection)))
        self.go(self.calm())

    async def make(self, series: Written, connection: GuestConnection) -> None:
        with connection.series.enter(series.number):
            for call in range(series.calls):
                name = f"{series.number}:{call}"
                answer = await connection.request("run", {"name": name}, timeout_s=60)
                assert answer["name"] == name
                assert series.answers.setdefault(call, answer) == answer

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 9), beside=st.booleans())
    def repeat_series(self, which: int, beside: bool) -> None:
        """In the same server: instead of the first, or at the same time."""
        series = self.open[which % len(self.open)]
        if not beside:
            for task in series.tasks:
                task.cancel()
        if len(series.tasks) < 5:
            self.repeat(series)

    @precondition(lambda self: self.open and self.open[0].is_complete)
    @rule()
    def settle(self) -> None:
        series = self.open.pop(0)
        self.go(asyncio.wait(series.tasks))
        for task in series.tasks:
            assert task.cancelled() or task.exception() is None
        self.settled = series.number
        self.connection.series.settle(self.settled)

    # --- what happens -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.agent.running)
    @rule(which=st.integers(0, 9))
    def finish(self, which: int) -> None:
        number = sorted(self.agent.running)[which % len(self.agent.running)]
        self.agent.finish(number)
        self.go(self.calm())

    @precondition(lambda self: self.redials < REDIALS)
    @rule(lose=st.booleans(), finishing=st.booleans())
    def drop(self, lose: bool, finishing: bool) -> None:
        """The connection drops, with a request on its way, or an answer that nobody has read."""
        self.redials += 1
        if lose:
            self.agent.deaf = True
            self.names += 1
            name = f"loose {self.names}"
            self.loose.append(self.loop.create_task(self.connection.request("run", {"name": name}, timeout_s=60)))
            lost = self.agent.lost
            self.go(until(lambda: self.agent.lost > lost))
        connections = self.agent.connections
        self.agent.drop()
        if finishing and self.agent.running:
            self.agent.finish(min(self.agent.running))
        self.go(until(lambda: self.agent.connections > connections))
        self.go(self.greeted())

    async def greeted(self) -> None:
        await self.calm()
        await self.connection.request("look", {}, timeout_s=60, repeatable=True)  # answered behind the greeting
        await self.calm()

    @rule()
    def next_server(self) -> None:
        """The last one was killed; its series are made again."""
        known = self.agent.acknowledged >> 20
        self.connection.close()
        for task in self.tasks():
            self.go(self.ended_with(task))
        self.loose = []
        self.connect()
        assert self.connection.series.settled == known
        assert self.connection.series.reserve() > max([known, *(number >> 20 for number in self.unsettled())])
        self.connection.series.settle(self.settled)
        for series in self.open:
            series.tasks = []
            self.repeat(series)

    async def ended_with(self, task: asyncio.Task[Any]) -> None:
        await asyncio.wait([task])
        task.cancelled() or task.exception()

    def unsettled(self) -> set[int]:
        return {number for number in (*self.agent.kept, *self.agent.running) if number < LOOSE}

    # --- what always holds ------------------------------------------------------------------------------------

    @invariant()
    def nothing_ran_twice(self) -> None:
        if hasattr(self, "agent"):
            assert max(self.agent.runs.values(), default=1) == 1

    @invariant()
    def what_is_kept_of_series_can_still_be_asked_for(self) -> None:
        if hasattr(self, "agent"):
            known = {(series.number << 20) + call for series in self.open for call in range(1, series.calls + 1)}
            kept = {number for number in self.agent.kept if number < LOOSE}
            assert {number for number in kept if number >> 20 > self.agent.acknowledged >> 20} == kept
            assert {number for number in kept if number >> 20 > self.settled} <= known

    @invariant()
    def nothing_failed(self) -> None:
        if hasattr(self, "connection"):
            assert self.connection.failure is None


Servers.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestServers = Servers.TestCase
