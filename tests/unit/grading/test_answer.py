"""What an answer pays, and that whatever was not found out pays less, each for its own reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.environment import Artifacts
from environments.tasks import GraderSpec, Task
from envserver.grading.answer import AnswerGrader, judge
from envserver.grading.base import Grade, GradingError
from envserver.grading.matching import last_number, matches

NUMBER = {"kind": "number", "value": 118.5, "relative_tolerance": 0.01}
DATA: dict[str, Any] = {
    "answer": NUMBER,
    "evidence": [["country:FR", "country:FRA"], ["area:FR"]],
    "tools": ["search", "calculator"],
    "par_calls": 3,
}
RIGHT = "It is 118.4 people per km2 (observation[1], observation[2])."


def call(number: int, tool: str, *seen: str, error: bool = False, digest: str = "") -> dict[str, Any]:
    return {"number": number, "tool": tool, "digest": digest or str(number), "error": error, "seen": list(seen)}


CALLS = [call(1, "search", "country:FR"), call(2, "search", "area:FR"), call(3, "calculator")]


def grade(answer: str | None = RIGHT, calls: list[dict[str, Any]] = CALLS, **facts: Any) -> Grade:
    return judge(DATA, answer, {"calls": calls, "format_errors": 0, **facts})


def test_a_right_answer_that_was_found_out_and_cited_pays_all() -> None:
    assert grade().reward == 1.0
    assert grade().report == {"calls": 3, "lost": {}}


@pytest.mark.parametrize(
    ("changed", "reward", "lost"),
    [
        ({"answer": "It is 90 (observation[1], observation[2])."}, 0.0, {"answer"}),
        ({"answer": None}, 0.0, {"answer", "citations"}),
        ({"answer": "118.5", "calls": []}, 0.5, {"evidence", "tools", "citations"}),
        ({"answer": "118.5"}, 0.85, {"citations"}),
        ({"answer": "118.5 (observation[1])"}, 0.925, {"citations"}),
        ({"answer": "118.5 (observation[1], observation[2], observation[9])"}, 0.85, {"citations"}),
        ({"answer": "118.5 (observation[3])"}, 0.85, {"citations"}),
        ({"calls": [*CALLS[:2], call(3, "calculator", error=True)]}, 0.925, {"tools"}),
        ({"calls": [CALLS[0], call(2, "search"), CALLS[2]]}, 0.825, {"evidence", "citations"}),
        ({"format_errors": 2}, 0.8, {"format"}),
        ({"format_errors": 99}, 0.7, {"format"}),
        ({"calls": [*CALLS, call(4, "search", digest="1")]}, 0.95, {"repeats"}),
        ({"calls": [*CALLS, *(call(number, "search", digest="1") for number in range(4, 7))]}, 0.85, {"repeats"}),
        ({"calls": [*CALLS, *(call(number, "search") for number in range(4, 9))]}, 0.96, {"overuse"}),
        ({"calls": [*CALLS, *(call(number, "search") for number in range(4, 99))]}, 0.8, {"overuse"}),
    ],
)
def test_whatever_is_missing_is_lost_for_its_own_reason(changed: dict[str, Any], reward: float, lost: set[str]) -> None:
    graded = grade(**changed)
    assert graded.reward == pytest.approx(reward)
    assert set(graded.report["lost"]) == lost


def test_of_a_group_of_tools_one_is_enough_and_only_those_that_there_were_count() -> None:
    data = {**DATA, "tools": [["search", "retrieve"], ["calculator", "python"]]}
    facts: dict[str, Any] = {"calls": CALLS[:2]}
    assert judge(data, RIGHT, facts).components["tools"] == 0.5
    assert judge(data, RIGHT, facts | {"offered": ["search", "python"]}).components["tools"] == 0.5
    assert judge(data, RIGHT, facts | {"offered": ["search", "other"]}).components["tools"] == 1.0


def test_a_citation_of_what_was_never_observed_is_named() -> None:
    assert "[9]" in grade("118.5 (observation[9])").report["lost"]["citations"]


def test_nothing_of_the_right_answer_is_in_the_report() -> None:
    report = str(grade("It is 5.", []).report)
    assert "118" not in report
    assert "FR" not in report


async def test_data_that_is_no_tasks_is_our_failure() -> None:
    task = Task("t", "", GraderSpec("answer", {"answer": {"kind": "colour"}}))
    with pytest.raises(GradingError, match="colour"):
        await AnswerGrader().grade(task, Artifacts({}, answer="x"), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3.7", 3.7), ("about 1,234,567 people", 1234567), ("x = -3e5.", -3e5), ("1 234 567", 1234567),
        ("the year 1999.", 1999),
        ("12.5%", 12.5), ("$3,000.50!", 3000.5), ("from 10 to 20", 20), ("\u22124 \u00b0C", -4), (".5", 0.5),
        ("5km", 5), ("the 2nd", None), ("1_000", None),
        ("km2 and m3", None), ("2,5", None), ("none", None), ("", None), ("1e999", None), ("9" * 100, None),
        ("7 km2", 7),
        ("1,2,3", None), ("v1.2.3", None), ("3.", 3),
    ],
)  # fmt: skip
def test_the_last_number_is_the_answer(text: str, number: float | None) -> None:
    found = last_number(text)
    assert (found if found is None else float(found)) == number


@pytest.mark.parametrize(
    ("answer", "right", "verdict"),
    [
        ("118.5", NUMBER, True),
        ("117.4", NUMBER, True),
        ("117.2", NUMBER, False),
        ("It may be 3, 90 or 118.5.", NUMBER, True),
        ("118.5, or perhaps 90", NUMBER, False),
        ("118.5 (see observation[7])", NUMBER, True),
        ("7", {"kind": "number", "value": 7}, True),
        ("7.0000001", {"kind": "number", "value": 7}, False),
        ("0.1", {"kind": "number", "value": 0.1}, True),
        ("7.4", {"kind": "number", "value": 7, "absolute_tolerance": 0.5}, True),
        ("Lyon", {"kind": "text", "accepted": ["Lyon"]}, True),
        ("The answer is: lyon!", {"kind": "text", "accepted": ["Lyon"]}, True),
        ("I looked for it.\nFinal answer: São Paulo", {"kind": "text", "accepted": ["Sao Paulo"]}, True),
        ("It is the city of Lyon in France.", {"kind": "text", "accepted": ["Lyon"]}, True),
        ("Lyonnais", {"kind": "text", "accepted": ["Lyon"]}, False),
        ("Lyon\nor not", {"kind": "text", "accepted": ["Lyon"]}, False),
        (" ".join(["Lyon", *map(str, range(20))]), {"kind": "text", "accepted": ["Lyon"]}, False),
        ("", {"kind": "text", "accepted": [""]}, False),
        ("Nice, Lyon", {"kind": "set", "values": ["Lyon", "Nice"]}, True),
        ("They are: Nice and Lyon.", {"kind": "set", "values": ["Lyon", "Nice"]}, True),
        ("Nice, Lyon, Paris", {"kind": "set", "values": ["Lyon", "Nice"]}, False),
        ("Nice, Nice", {"kind": "set", "values": ["Lyon", "Nice"]}, False),
        ("Lyon, Nice", {"kind": "list", "values": ["Lyon", "Nice"]}, True),
        ("Nice, Lyon", {"kind": "list", "values": ["Lyon", "Nice"]}, False),
        ("Lyon > Nice", {"kind": "list", "values": ["Lyon", "Nice"]}, True),
    ],
)
def test_rules(answer: str, right: dict[str, Any], verdict: bool) -> None:
    assert matches(answer, right) is verdict


@given(st.text(max_size=3000))
def test_no_text_breaks_a_rule(text: str) -> None:
    for right in (NUMBER, {"kind": "text", "accepted": ["x"]}, {"kind": "set", "values": ["x"]}):
        assert matches(text, right) in (True, False)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_number_that_is_said_as_it_is_is_right(value: float) -> None:
    assert matches(f"It is {value!r}", {"kind": "number", "value": value})
