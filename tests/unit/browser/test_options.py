"""What a caller may choose of a browser, and what is said of anything else."""

from __future__ import annotations

from typing import Any

import pytest

from environments.browser.options import Options, parse_options

KINDS = ("click", "goto", "answer")


def test_everything_has_a_usual_value() -> None:
    assert parse_options({}, KINDS) == Options()
    sent = Options().for_browser()
    assert sent["viewport"] == {"width": 1280, "height": 720}
    assert sent["observe"] == ["text"]


def test_everything_can_be_chosen() -> None:
    given = {
        "observe": ["screenshot", "text"], "viewport": {"width": 800, "height": 600}, "max_chars": 1000,
        "interactive": True, "changes": True, "picture": "webp", "dialogs": "accept", "locale": "de-DE",
        "timezone": "Europe/Berlin", "action_timeout_s": 2, "actions": ["answer", "click"], "obstacles": {"slow": True},
    }  # fmt: skip
    options = parse_options(given, KINDS)
    assert options.observe == ("text", "screenshot"), "in one order, whatever the caller's"
    assert options.actions == ("click", "answer")
    sent = options.for_browser()
    assert {**sent, "observe": given["observe"]} == {
        name: value for name, value in given.items() if name not in ("actions", "obstacles")
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("observe", []),
        ("observe", "text"),
        ("observe", ["sound"]),
        ("viewport", {"width": 800}),
        ("viewport", {"width": 0, "height": 600}),
        ("viewport", {"width": True, "height": 600}),
        ("viewport", {"width": 1e9, "height": 600}),
        ("max_chars", 1),
        ("max_chars", "many"),
        ("interactive", 1),
        ("changes", "yes"),
        ("picture", "gif"),
        ("dialogs", "ignore"),
        ("locale", "en_US; rm"),
        ("timezone", "../../etc/passwd"),
        ("timezone", "A" * 65),
        ("action_timeout_s", float("nan")),
        ("action_timeout_s", 0),
        ("action_timeout_s", True),
        ("actions", []),
        ("actions", ["fly"]),
        ("obstacles", ["slow"]),
        ("hosts", "a.test"),
        ("hosts", [1]),
        ("hosts", ["a.test"] * 101),
    ],
)
def test_nothing_else_is_taken(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_options({name: value}, KINDS)


def test_an_unknown_option_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown options \['obsreve'\]; the browser environment takes observe,"):
        parse_options({"obsreve": ["text"]}, KINDS)
