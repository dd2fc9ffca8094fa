"""What a task may expect of a world, judged on records without any world."""

from __future__ import annotations

from typing import Any

import pytest

from environments.tools.worlds.record import WorldRecord
from environments.tools.worlds.session import WorldAnswer
from envserver.grading.base import Grade
from envserver.grading.expectations import Expectations, judge

BEGINNING = {"a": "0", "b": "0"}


def record(*turns: list[tuple[str, str, dict[str, str]]]) -> WorldRecord:
    """Of calls as (tool, result, what changed)."""
    made = WorldRecord(dict(BEGINNING))
    for number, calls in enumerate(turns, 1):
        made.begin_turn(number)
        for tool, result, digests in calls:
            made.turns[-1].add(tool, {"x": 1}, WorldAnswer(result, result == "error", digests))
    return made


def graded(reference: WorldRecord, done: WorldRecord, answers: tuple[str, ...] = (), **expected: Any) -> Grade:
    return judge(Expectations(**expected), reference, done, answers)


SET = ("set", "ok", {"a": "1"})
UNSET = ("unset", "ok", {"a": "0"})
OTHER = ("other", "ok", {"b": "1"})
READ: tuple[str, str, dict[str, str]] = ("read", "one", {})


@pytest.mark.parametrize(
    ("done", "checked", "reward"),
    [
        (record([SET], [READ]), "turns", 1.0),
        (record([READ], [SET]), "turns", 0.0),  # too late
        (record([READ], [SET]), "end", 1.0),
        (record([SET], []), "turns", 0.0),  # nothing was done in a turn that asks for something
        (record([SET], [READ, OTHER]), "end", 0.0),
        (record([SET], [READ, OTHER]), "never", 1.0),
        (record([SET, UNSET, SET], [READ]), "turns", 1.0),
        (record([SET]), "turns", 0.0),
        (record([SET], [READ], [OTHER]), "turns", 0.0),  # undone after all turns
    ],
)
def test_states_are_compared_when_the_task_says(done: WorldRecord, checked: str, reward: float) -> None:
    assert graded(record([SET], [READ]), done, checked=checked).reward == reward


def test_a_turn_in_which_nothing_can_be_done_is_not_compared_unless_it_is_the_last() -> None:
    assert graded(record([], [SET]), record([SET], [READ]), checked="turns").reward == 1.0
    assert graded(record([SET], []), record([SET], [OTHER]), checked="turns").reward == 0.0


def test_a_part_that_goes_away_is_a_difference() -> None:
    assert graded(record([("drop", "ok", {"b": ""})]), record([READ])).reward == 0.0


def test_only_the_parts_that_are_named_are_compared() -> None:
    assert graded(record([SET]), record([SET, OTHER]), compared=["a"]).reward == 1.0
    assert graded(record([SET]), record([OTHER]), compared=["a"]).reward == 0.0


def test_what_the_reference_obtains_in_a_turn_has_to_have_been_obtained_by_its_end() -> None:
    reference = record([READ], [READ, READ])
    assert graded(reference, record([READ], [READ]), results=True).reward == 1.0
    assert graded(reference, record([READ, READ], []), results=True).reward == 1.0
    assert graded(reference, record([READ], []), results=True).components == {"state": 1.0, "results": 0.0}
    assert graded(reference, record([], [READ, READ]), results=True).reward == 0.0


@pytest.mark.parametrize(
    ("wanted", "reward"),
    [
        ({"tool": "read"}, 1.0),
        ({"tool": "read", "arguments": {"x": 1}}, 1.0),
        ({"tool": "read", "arguments": {"x": 2}}, 0.0),
        ({"tool": "read", "arguments": {"y": 1}}, 0.0),
        ({"tool": "set"}, 0.0),
        ({"tool": "failed"}, 0.0),
    ],
)
def test_a_call_that_is_required_was_made_and_did_not_fail(wanted: dict[str, Any], reward: float) -> None:
    done = record([READ, ("failed", "error", {})])
    assert graded(record([READ]), done, required_calls=[wanted]).components["required"] == reward
    assert graded(record([READ]), done, forbidden_calls=[wanted]).components["forbidden"] == 1.0 - reward


def test_a_part_that_is_to_be_kept_may_not_change_even_for_a_while() -> None:
    assert graded(record([]), record([READ]), kept=["a"]).reward == 1.0
    passing = record([SET], [UNSET])
    assert graded(record([]), passing, checked="end").reward == 1.0
    assert graded(record([]), passing, kept=["a"]).components == {"state": 1.0, "forbidden": 0.0}


@pytest.mark.parametrize(
    ("wanted", "reward"),
    [
        ({"text": "order 12 is  Cancelled"}, 1.0),
        ({"text": "refunded"}, 0.0),
        ({"number": 1234.5}, 1.0),
        ({"number": 1234.4}, 0.0),
        ({"number": 1234.4, "tolerance": 0.2}, 1.0),
        ({"number": 34.5}, 0.0),
        ({"text": "hello", "turn": 1}, 1.0),
        ({"text": "hello", "turn": 2}, 0.0),
        ({"text": "hello", "turn": 3}, 0.0),
    ],
)
def test_what_has_to_be_said_is_found_in_the_answers(wanted: dict[str, Any], reward: float) -> None:
    answers = ("Hello!", "Order 12 is cancelled; you get 1,234.50 back.")
    assert graded(record([]), record([]), answers, said=[wanted]).components["said"] == reward


def test_the_report_names_places_and_holds_no_value() -> None:
    wanted = {"text": "a secret"}
    report = graded(record([SET]), record([OTHER]), ("no",), said=[wanted], results=True).report
    assert report["problems"] == [
        "state: turn 1: a is not as it should be",
        "state: turn 1: b is not as it should be",
        "said: of what had to be said, number 1 was not",
    ]


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match="must be turns, end or never"):
        Expectations(checked="always")
