"""The protocols under random and bent messages; `python -m tests.fuzz.protocols` is the same for longer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from environments.protocols import PROBLEMS, Call, ToolSchema, Turn, protocol
from environments.protocols.hermes import Hermes
from environments.protocols.settings import TextSettings
from tests.fuzz.protocols import SETTINGS, Held, Inputs, Tally, check, fuzz


def test_nothing_breaks_and_no_call_is_made_up() -> None:
    tally = fuzz(20_000, seed=7)
    assert tally.wrong == []
    assert tally.calls > 1_000, "the fuzzer reached nothing"
    assert tally.answers > 1_000


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_same_for_longer() -> None:
    tally = fuzz(1_000_000, seed=8)
    assert tally.wrong == []
    assert set(PROBLEMS) - set(tally.codes) == {"too_long"}


def test_the_seed_decides_the_inputs() -> None:
    one, other = Inputs(3), Inputs(3)
    assert [repr(one.next()) for _ in range(50)] == [repr(other.next()) for _ in range(50)]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_protocol_reads_some_of_the_corpus(settings: Any) -> None:
    tally, own = Tally(), protocol(settings)
    made = Inputs(1)
    for message in made.all_as_they_are():
        check(own, message, tally)
    assert (tally.calls > 0, tally.wrong) == (True, [])


@pytest.mark.parametrize(
    "call",
    [
        Call("finish", {}),
        Call("search_web", {"query": "snow"}),
        Call("search_web", {"query": "rain", "limit": 6}),
        Call("search_web", {"query": "rain", "deep": True}),
    ],
)
def test_a_protocol_that_makes_calls_up_would_be_found(call: Call) -> None:
    class Inventive(Hermes):
        def parse(self, message: Any, tools: Mapping[str, ToolSchema], index: int = 1) -> Turn:
            return Turn(calls=(call,))

    tally = Tally()
    text = '<tool_call>{"name": "search_web", "arguments": {"query": "rain", "limit": 5}}</tool_call>'
    check(Inventive(TextSettings()), text, tally)
    assert len(tally.wrong) == 1
    assert "which is not in" in tally.wrong[0]


def test_escapes_are_seen_through() -> None:
    held = Held({"text": r'{"a": "é \" \n 🌧", "b": -2.5e3}'})
    assert held.lacks({"a": 'é " \n 🌧', "b": -2500.0}) is None
    assert held.lacks("rain") == "'rain'"
