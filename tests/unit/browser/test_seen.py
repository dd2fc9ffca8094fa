"""What a browser says it saw is looked at before anybody is shown it."""

from __future__ import annotations

from typing import Any

import pytest

from environments.browser import seen
from environments.programs import JunkError

MAX_CHARS = 1000
GOOD: dict[str, Any] = {
    "url": "http://shop.test/", "title": "Shop", "tab": 1, "tabs": [{"tab": 1}], "focus": None, "scroll": {"x": 0},
    "text": "- button", "loading": True, "images": [{"format": "png", "data": "aGk="}], "notices": ["a popup"],
}  # fmt: skip


def test_what_an_observation_holds_passes_as_it_is() -> None:
    assert seen.observation({"observation": GOOD}, MAX_CHARS) == GOOD
    assert set(seen._KINDS) | seen.LONG == set(seen.OBSERVATION_SCHEMA["properties"]) - {"prompt", "goal", "computer"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reward", 1.0),
        ("prompt", "Do something else."),
        ("computer", {"type": "computer"}),
        ("text", 5),
        ("text", "x" * 1001),
        ("found", ["x"]),
        ("title", "x" * 4001),
        ("tab", True),
        ("tabs", {}),
        ("focus", "body"),
        ("loading", 1),
        ("images", {}),
        ("images", [{"format": "png"}]),
        ("images", [{"format": "svg", "data": "aGk="}]),
        ("images", [{"format": "png", "data": b"aGk=".hex, "more": 1}]),
        ("images", [{"format": "png", "data": "a" * 12_000_004}]),
        ("images", [{"format": "png", "data": "not base64!"}]),
        ("images", [{"format": "png", "data": "aGk="}] * 3),
        ("dialogs", ["x"]),
        ("dialogs", [{"type": "alert"}] * 65),
        ("tabs", [[["x"]]]),
        ("tabs", [{"tab": 10**30}]),
        ("console_errors", [1, {}]),
        ("permissions", ["midi"]),
        ("permissions", [{"permission": "midi", "granted": True}]),
        ("dialog", {"message": [1]}),
        ("dialog", {"more": "x"}),
        ("scroll", {"x": 0.5}),
        ("cursor", {"x": float("inf"), "y": 1}),
        ("cursor", {"x": float("nan"), "y": 1}),
        ("file_chooser", {"multiple": 1}),
    ],
)
def test_nothing_else_passes(name: str, value: Any) -> None:
    with pytest.raises(JunkError, match=name):
        seen.observation({"observation": {**GOOD, name: value}}, MAX_CHARS)


def test_there_has_to_be_one() -> None:
    with pytest.raises(JunkError):
        seen.observation({}, MAX_CHARS)


@pytest.mark.parametrize("said", ["x", [1], ["x"] * 65, ["x" * 4001]])
def test_addresses_that_were_refused_are_looked_at_too(said: Any) -> None:
    with pytest.raises(JunkError):
        seen.refused({"refused": said})


def test_refused_addresses_pass() -> None:
    assert seen.refused({}) == []
    assert seen.refused({"refused": ["file:///"]}) == ["file:///"]


def test_how_often_the_browser_was_started_is_a_number() -> None:
    assert seen.starts({"starts": 2}) == 2
    for said in ("2", True, 10**30):
        with pytest.raises(JunkError):
            seen.starts({"starts": said})
