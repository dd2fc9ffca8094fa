"""The program's own end of the line: it answers whatever a page makes of an answer, and asks no more than it may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from environments.browser.driver import MAX_LEGS
from environments.browser.guest.browser_session import Program, gather_s
from environments.environment import EnvironmentSpec
from environments.programs import _parse


class ScriptedProxy:
    """Pages ask for something all the time, or never."""

    def __init__(self, *, asks: bool) -> None:
        self.arrived = asyncio.Event()
        if asks:
            self.arrived.set()

    def begin_action(self) -> None:
        pass

    def take(self) -> list[Any]:
        return []

    def deliver(self, _: Any) -> None:
        pass


class ScriptedHost:
    def __init__(self, done: Any = None, *, asks: bool = False) -> None:
        self.proxy = ScriptedProxy(asks=asks)
        self.ended = asyncio.Event()
        self._done = done
        if not asks:
            self.ended.set()

    async def act(self, *_: Any) -> Any:
        await self.ended.wait()
        return self._done


class ScriptedChannel:
    """The same request again and again."""

    def __init__(self, times: int) -> None:
        self._requests = iter([b'{"op": "act", "action": {}, "timeout_s": 1}'] * times)
        self.sent: list[bytes] = []

    def receive(self) -> bytes | None:
        return next(self._requests, None)

    def send(self, answer: bytes) -> bool:
        self.sent.append(answer)
        return True


def endless() -> Iterator[Any]:
    nested: list[Any] = []
    nested.append(nested)
    yield nested


@pytest.mark.parametrize("done", [float("nan"), {1, 2}, next(endless())])
async def test_an_answer_that_cannot_be_written_down_fails_and_the_program_goes_on(done: Any) -> None:
    channel = ScriptedChannel(2)
    await Program(ScriptedHost(done), channel).serve()  # type: ignore[arg-type]  # as much of them as is used
    assert len(channel.sent) == 2
    for sent in channel.sent:
        assert "Error: " in json.loads(sent)["failed"]


async def test_half_a_character_is_told_as_a_question_mark() -> None:
    channel = ScriptedChannel(1)
    await Program(ScriptedHost({"title": "a\ud800b \U0001f600 \u4e00"}), channel).serve()  # type: ignore[arg-type]
    assert _parse(channel.sent[0]) == {"done": {"title": "a?b \U0001f600 \u4e00"}}


def test_no_step_however_long_asks_more_often_than_the_server_goes_along() -> None:
    longest_s = EnvironmentSpec.max_step_timeout_s
    assert sum(gather_s(leg) for leg in range(MAX_LEGS - 1)) > longest_s + 30
    assert gather_s(0) <= 0.001


async def test_how_often_the_server_was_asked_is_counted_an_action(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def count(legs: int) -> float:
        asked.append(legs)
        return 0.0

    monkeypatch.setattr("environments.browser.guest.browser_session.gather_s", count)
    host = ScriptedHost({}, asks=True)
    program = Program(host, ScriptedChannel(0))  # type: ignore[arg-type]  # as much of them as is used
    act, answers = {"op": "act", "action": {}, "timeout_s": 1}, {"op": "answers", "answers": []}
    for _ in range(2):
        assert await program._answer(act) == {"asked": []}
        assert await program._answer(answers) == {"asked": []}
        host.ended.set()
        while "done" not in await program._answer(answers):
            pass
        host.ended.clear()
    assert asked[:2] == [0, 1]
    assert asked.count(0) == 2, "from the beginning with each action"


async def test_what_comes_to_its_end_while_the_server_is_about_to_be_asked_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("environments.browser.guest.browser_session.gather_s", lambda _: 5.0)
    host = ScriptedHost({"observation": {}}, asks=True)
    asyncio.get_running_loop().call_later(0.01, host.ended.set)
    program = Program(host, ScriptedChannel(0))  # type: ignore[arg-type]  # as much of them as is used
    answer = await program._answer({"op": "act", "action": {}, "timeout_s": 1})
    assert answer == {"done": {"observation": {}}}


async def test_a_step_that_is_told_to_stop_while_the_server_is_about_to_be_asked_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("environments.browser.guest.browser_session.gather_s", lambda _: 5.0)
    program = Program(ScriptedHost(asks=True), ScriptedChannel(0))  # type: ignore[arg-type]
    asyncio.get_running_loop().call_later(0.01, program._interrupt)
    assert await program._answer({"op": "act", "action": {}, "timeout_s": 1}) == {"late": True}


async def test_an_action_that_was_told_to_stop_has_ended_before_the_next_begins() -> None:
    host = ScriptedHost({}, asks=True)
    program = Program(host, ScriptedChannel(0))  # type: ignore[arg-type]  # as much of them as is used
    act = {"op": "act", "action": {}, "timeout_s": 1}
    assert await program._answer(act) == {"asked": []}
    before = program._running
    assert before is not None
    program._interrupt()
    assert await program._answer(act) == {"asked": []}
    assert before.cancelled()
    assert program._running is not before
    program._interrupt()
