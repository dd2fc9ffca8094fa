"""What a page asks permission for: told once, and not by whatever else it says on its console."""

from __future__ import annotations

import json
from typing import Any

import pytest

from environments.browser.guest.permissions import MARK, MAX_ORIGIN, asked_for
from environments.browser.guest.tabs import MAX_EVENTS, Tabs


class ScriptedMessage:
    """A line on a page's console."""

    def __init__(self, kind: str, text: str) -> None:
        self.type = kind
        self.text = text


def said(permission: Any, origin: Any = "https://a.test") -> str:
    return MARK + json.dumps([permission, origin])


def test_what_is_asked_for_is_told_with_who_asks() -> None:
    assert asked_for(said("midi")) == {"permission": "midi", "origin": "https://a.test", "answer": "declined"}


@pytest.mark.parametrize(
    "what", ["", "[", "null", '["midi"]', '["midi", "a", "b"]', "[" * 100_000], ids=lambda what: what[:20]
)
def test_a_line_of_another_shape_tells_nothing(what: str) -> None:
    assert asked_for(MARK + what) is None


@pytest.mark.parametrize("asked", [("everything",), (["midi"],), ({},), ("midi", 1)], ids=repr)
def test_nothing_is_told_of_what_no_page_can_ask_for(asked: tuple[Any, ...]) -> None:
    assert asked_for(said(*asked)) is None


def test_a_page_that_says_it_without_the_mark_tells_nothing() -> None:
    assert asked_for(said("midi").removeprefix(MARK)) is None


def test_an_origin_is_told_in_part() -> None:
    told = asked_for(said("midi", "https://" + "a" * 5000))
    assert told is not None
    assert len(told["origin"]) == MAX_ORIGIN


def test_a_page_that_asks_again_and_again_is_told_of_once_an_observation() -> None:
    tabs = Tabs("ask")
    for _ in range(MAX_EVENTS + 1):
        tabs._said(ScriptedMessage("debug", said("geolocation")))  # type: ignore[arg-type]  # as much of one as is used
    tabs._said(ScriptedMessage("log", said("midi")))  # type: ignore[arg-type]
    tabs._said(ScriptedMessage("debug", "midi"))  # type: ignore[arg-type]
    told = {"permissions": [{"permission": "geolocation", "origin": "https://a.test", "answer": "declined"}]}
    assert tabs.take_events() == told
    assert tabs.take_events() == {}
