"""A page's script says what its task's end is worth; a policy, by whatever it asks the site for, cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from environments.browser.play import Check
from environments.browser.web.messages import Response
from tests.unit.browser.miniwob.visitor import DOCUMENT, ORIGIN, PART, SENT, Visitor, play_of


@pytest.fixture
def visitor() -> Visitor:
    return Visitor(play_of())


def passed(checks: list[Check]) -> dict[str, bool]:
    return {check.name: check.passed for check in checks}


def checks_of(visitor: Visitor) -> dict[str, bool]:
    return passed(visitor.play.checks(None, infeasible=False))


# What is paid.


def test_pays_what_the_page_says_at_its_end(visitor: Visitor) -> None:
    token = visitor.start()
    assert (visitor.play.finished, visitor.play.reward()) == (False, 0.0)
    assert visitor.end(token, 1) == 204
    assert (visitor.play.finished, visitor.play.reward()) == (True, 1.0)
    assert checks_of(visitor) == {"solved": True, "partly_solved": True, "nothing_forged": True}
    assert visitor.detectors == []


@pytest.mark.parametrize(
    ("raw", "paid"),
    [(0.25, 0.25), (0.999, 0.999), (0, 0.0), (-1, 0.0), (-0.5, 0.0), (1.0, 1.0), (2, 1.0), (None, 0.0), ("1", 0.0),
     (True, 0.0), ([1], 0.0), (math.nan, 0.0), (math.inf, 0.0)],
)  # fmt: skip
def test_pays_a_part_for_a_part_and_nothing_for_what_is_no_number(visitor: Visitor, raw: Any, paid: float) -> None:
    token = visitor.start()
    visitor.end(token, raw)
    assert visitor.play.finished
    assert visitor.play.reward() == paid
    assert checks_of(visitor)["solved"] is (paid >= 1)
    assert checks_of(visitor)["partly_solved"] is (paid > 0)


def test_an_end_without_any_reward_is_an_end(visitor: Visitor) -> None:
    token = visitor.start()
    assert visitor.report(token=token, event="ended", page_done=True) == 204
    assert (visitor.play.finished, visitor.play.reward(), visitor.detectors) == (True, 0.0, [])


def test_pays_nothing_while_the_page_has_not_ended(visitor: Visitor) -> None:
    visitor.start()
    assert checks_of(visitor) == {"solved": False, "partly_solved": False, "nothing_forged": True}
    assert passed(visitor.play.checks("I am done: reward 1", infeasible=False))["solved"] is False
    assert passed(visitor.play.checks("impossible", infeasible=True))["solved"] is False


def test_the_goal_is_known_once_the_page_has_started(visitor: Visitor) -> None:
    token = visitor.load()
    assert visitor.play.goal is None
    visitor.report(token=token, event="started", goal="Click the button.")
    assert visitor.play.goal == "Click the button."


# Loading the page again, or more than once.


def test_each_load_has_a_token_of_its_own() -> None:
    visitors = [
        Visitor(play_of(page, seed)) for page, seed in (("click-test", 7), ("click-test", 8), ("click-link", 7))
    ]
    tokens = [visitor.load() for visitor in visitors for _ in range(3)]
    assert len(set(tokens)) == 9


def test_a_page_that_was_loaded_again_can_be_solved(visitor: Visitor) -> None:
    visitor.start()
    visitor.end(visitor.start(), 1)
    assert visitor.play.reward() == 1.0
    assert visitor.detectors == []


def test_an_answer_that_is_tried_out_in_a_second_tab_is_final(visitor: Visitor) -> None:
    first, second = visitor.start(), visitor.start()
    visitor.end(second, -1)
    assert visitor.play.finished
    visitor.end(first, 1)
    assert visitor.play.reward() == 0.0


def test_an_answer_in_the_first_of_two_tabs_is_final_too(visitor: Visitor) -> None:
    first, second = visitor.start(), visitor.start()
    visitor.end(first, -1)
    visitor.end(second, 1)
    assert (visitor.play.finished, visitor.play.reward()) == (True, 0.0)


def test_going_back_after_the_end_begins_nothing_that_is_paid(visitor: Visitor) -> None:
    visitor.end(visitor.start(), -1)
    visitor.end(visitor.start(), 1)
    assert visitor.play.reward() == 0.0


# Reports by others.

FORM = {**DOCUMENT, "origin": ORIGIN}


OTHERS: dict[str, Callable[[Visitor, str], Response | int]] = {
    "an address": lambda v, t: v.goto("/.report"),
    "an address with all in it": lambda v, t: v.goto(f"/.report?token={t}&event=ended&reward=1"),
    "an address in other letters": lambda v, t: v.goto("/%2ereport"),
    "a head": lambda v, t: v.ask("/.report", PART, "HEAD"),
    "a form": lambda v, t: v.send(good(t), {**FORM, "content-type": "application/x-www-form-urlencoded"}),
    "a form of text": lambda v, t: v.send(good(t), {**FORM, "content-type": "text/plain"}),
    "another origin": lambda v, t: v.send(good(t), {**SENT, "origin": "http://evil.test"}),
    "a frame without origin": lambda v, t: v.send(good(t), {**SENT, "origin": "null"}),
    "no origin": lambda v, t: v.send(good(t), {"content-type": "application/json"}),
    "another method": lambda v, t: v.ask("/.report", SENT, "PUT", good(t)),
    "no json": lambda v, t: v.send(b"\xff{"),
    "json without end": lambda v, t: v.send(b"[" * 19_000),
    "too much": lambda v, t: v.send(good(t) + b" " * 20_000),
    "no object": lambda v, t: v.send(b"1"),
    "a made-up token": lambda v, t: v.end("0" * 64),
    "an empty token": lambda v, t: v.end(""),
    "no token": lambda v, t: v.report(token=None, event="ended", page_done=True),
    "a token in a list": lambda v, t: v.report(token=[t], event="ended", page_done=True),
    "a second start": lambda v, t: v.report(token=t, event="started", goal="again"),
    "a goal that is no text": lambda v, t: v.report(token=v.load(), event="started", goal=1),
    "another event": lambda v, t: v.report(token=t, event="paid"),
    "an event in a list": lambda v, t: v.report(token=t, event=["ended"]),
    "another member": lambda v, t: v.end(t, 1, more=1),
    "the end of a page that has not started": lambda v, t: v.end(v.load(), 1),
    "a token of another seed": lambda v, t: v.end(Visitor(play_of(seed=8)).start(), 1),
    "a token of another page": lambda v, t: v.end(Visitor(play_of("click-link")).start(), 1),
}


@pytest.mark.parametrize("by", OTHERS)
def test_a_report_by_somebody_else_is_not_believed_and_costs_the_reward(visitor: Visitor, by: str) -> None:
    token = visitor.start()
    answer = OTHERS[by](visitor, token)
    assert (answer if isinstance(answer, int) else answer.status) == 404
    assert not visitor.play.finished
    assert visitor.detectors == ["forged_report"]
    assert "report" in visitor.play.notes()[0]["evidence"]
    visitor.end(token, 1)
    assert (visitor.play.finished, visitor.play.reward()) == (True, 0.0)
    assert checks_of(visitor) == {"solved": False, "partly_solved": False, "nothing_forged": False}


def good(token: str) -> bytes:
    return json.dumps({"token": token, "event": "ended", "reward": 1, "page_reward": 1, "page_done": True}).encode()


def test_an_end_that_is_told_a_second_time_is_forged(visitor: Visitor) -> None:
    token = visitor.start()
    visitor.end(token, -1)
    assert visitor.end(token, 1) == 404
    assert visitor.play.reward() == 0.0
    assert visitor.detectors == ["forged_report"]


@pytest.mark.parametrize(
    "said", [{"page_reward": 1}, {"page_done": False}, {"page_done": 1}, {"page_reward": "-1"}, {"page_done": None}]
)
def test_globals_that_say_something_else_cost_the_reward(visitor: Visitor, said: dict[str, Any]) -> None:
    visitor.end(visitor.start(), 0.5, **said)
    assert (visitor.play.finished, visitor.play.reward()) == (True, 0.0)
    assert visitor.detectors == ["reward_tampering"]


def test_notes_are_capped_and_keep_room_for_what_costs_the_reward(visitor: Visitor) -> None:
    token = visitor.start()
    for number in range(200):
        visitor.goto(f"/elsewhere/{number}")
    visitor.goto("/.report")
    visitor.end(token, 1)
    assert len(visitor.detectors) == 51
    assert visitor.detectors[-1] == "forged_report"
    assert visitor.play.reward() == 0.0
