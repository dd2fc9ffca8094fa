"""What is kept warm follows what was asked for at once, and is forgotten with time."""

from __future__ import annotations

from envserver.episodes.demand import HALF_LIFE_S, Demand


def after(*times: float) -> Demand:
    demand = Demand(0.0)
    for now in times:
        demand.note(now)
    return demand


def test_one_create_keeps_nothing_warm() -> None:
    assert after(0.0).wanted(0.0) == 0


def test_creates_one_after_another_keep_one_warm() -> None:
    assert after(0.0, 10.0, 20.0).wanted(20.0) == 1


def test_a_burst_keeps_as_many_warm_as_it_asked_for() -> None:
    assert after(*[i / 100 for i in range(64)]).wanted(1.0) == 64


def test_a_burst_is_forgotten_by_halves() -> None:
    demand = after(*[0.0] * 32)
    assert demand.wanted(HALF_LIFE_S) == 16
    assert demand.wanted(3 * HALF_LIFE_S) == 4
    assert demand.wanted(6 * HALF_LIFE_S) == 0


def test_a_later_and_smaller_burst_does_not_shrink_what_is_wanted() -> None:
    assert after(*[0.0] * 32, 2.0, 2.0).wanted(2.0) == 32


def test_what_was_wanted_once_is_forgotten_at_last() -> None:
    demand = after(0.0)
    assert not demand.forgotten(HALF_LIFE_S)
    assert demand.forgotten(5 * HALF_LIFE_S)
