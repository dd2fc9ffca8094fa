"""Deadlines: steps of the wall clock change nothing while the machine is up; after a boot it alone counts."""

from __future__ import annotations

import time

import pytest

from envserver.launcher.deadlines import Deadline


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
def test_a_step_of_the_wall_clock_ends_nothing_early_or_late(step_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = Deadline.after(100.0)
    stepped = time.time() + step_s
    monkeypatch.setattr(time, "time", lambda: stepped)
    assert 99 < deadline.left_s() <= 100
    assert deadline.shown() == pytest.approx(stepped + 100, abs=1)


def test_what_is_shown_does_not_waver() -> None:
    deadline = Deadline.after(100.0)
    assert {deadline.shown() for _ in range(100)} == {deadline.unix_s}


def test_the_wall_clock_counts_for_what_outlived_a_boot() -> None:
    other = Deadline(time.time() + 50, "another-boot", 1.0)
    assert 49 < other.left_s() <= 50


def test_records_keep_all_of_it() -> None:
    deadline = Deadline.after(7.5)
    assert Deadline.parse(str(deadline)) == deadline
    assert 9 < Deadline.parse(repr(time.time() + 10)).left_s() <= 10
    with pytest.raises(ValueError, match="could not convert"):
        Deadline.parse("soon")
