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


class TestComputer:
    SIZE = {"computer": "openai", "viewport": {"width": 1366, "height": 768}}  # noqa: RUF012

    def test_a_picture_is_seen_where_nothing_else_is_asked_for(self) -> None:
        assert parse_options({"computer": "anthropic"}, KINDS) == Options(computer="anthropic", observe=("screenshot",))
        assert parse_options({"computer": "openai", "observe": ["text"]}, KINDS).observe == ("text",)
        assert parse_options({"computer": None}, KINDS) == Options()

    def test_pictures_have_the_viewports_size_or_are_smaller(self) -> None:
        assert parse_options(self.SIZE, KINDS).picture_size == (1366, 768)
        assert "display" not in parse_options(self.SIZE, KINDS).for_browser()
        for width, height in ((1280, 720), (1280, 719), (683, 384)):
            display = {"width": width, "height": height}
            options = parse_options({**self.SIZE, "display": display}, KINDS)
            assert options.picture_size == (width, height)
            assert options.for_browser()["display"] == display

    @pytest.mark.parametrize(
        ("display", "message"),
        [
            ({"width": 1280, "height": 800}, "must be a whole number from 1 to 768"),
            ({"width": 1400, "height": 700}, "must be a whole number from 160 to 1366"),
            ({"width": 1280, "height": 700}, "must have the shape of the viewport of 1366x768: such as 1280x720"),
            ({"width": 1280}, "must be {'width', 'height'}"),
            ("1280x720", "must be {'width', 'height'}"),
            ({"width": "1280", "height": 720}, "must be a whole number"),
        ],
    )
    def test_no_other_size_is_taken(self, display: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            parse_options({**self.SIZE, "display": display}, KINDS)

    def test_what_makes_no_sense_together_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"'display' is .* without 'computer'"):
            parse_options({"display": {"width": 1280, "height": 720}}, KINDS)
        with pytest.raises(ValueError, match="'changes' must be false with 'computer'"):
            parse_options({"computer": "openai", "changes": True}, KINDS)


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
        ("timezone", "Foo/Bar"),
        ("timezone", "Europe"),
        ("action_timeout_s", float("nan")),
        ("action_timeout_s", 0),
        ("action_timeout_s", True),
        ("actions", []),
        ("actions", ["fly"]),
        ("obstacles", ["slow"]),
        ("computer", "windows"),
        ("computer", True),
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
