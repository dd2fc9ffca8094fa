"""The WebSocket under a fuzzing client; `python -m tests.fuzz.websocket` is the same for as long as one likes."""

from __future__ import annotations

import pytest

from tests.fuzz.websocket import Tally, attack


def check(tally: Tally) -> None:
    assert tally.wrong == [], tally
    assert tally.codes["ok"] > 50, "the fuzzer reached nothing"
    assert tally.codes["invalid_request"] > 500
    assert tally.honest_steps > 50
    assert tally.slowest_honest_s < 5.0


def test_each_call_is_answered_once_and_others_notice_nothing() -> None:
    check(attack(8.0, seed=1))


@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_same_for_longer() -> None:
    check(attack(300.0, seed=2))
