"""What a screen says of a browser, and what keys do to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.browser.actions import ActionError, Viewport, parse_action
from environments.browser.computer import anthropic, openai
from environments.browser.computer.keys import SHORTCUTS, chords_of_names, chords_of_text, modifiers, presses
from environments.browser.computer.screen import Screen, told

VIEWPORT = Viewport(1280, 720)
SCREEN = Screen(VIEWPORT, 1280, 720)


class TestScreen:
    def test_it_is_as_the_last_observation_says(self) -> None:
        screen = Screen.of(VIEWPORT, {"cursor": {"x": 3, "y": 4}, "dialog": {"type": "confirm"}}, (640, 360))
        assert screen == Screen(VIEWPORT, 640, 360, (3, 4), dialog=True)
        assert Screen.of(VIEWPORT, {}) == Screen(VIEWPORT, 1280, 720, (0, 0))

    @pytest.mark.parametrize(
        ("cursor", "at"),
        [
            (None, (0, 0)), ("x", (0, 0)), ({"x": 1}, (0, 0)), ({"x": "1", "y": 2}, (0, 0)),
            ({"x": True, "y": 2}, (0, 0)), ({"x": float("nan"), "y": 2}, (0, 0)), ({"x": float("inf"), "y": 2}, (0, 0)),
            ({"x": -5, "y": 9999}, (0, 719)), ({"x": 9999, "y": -5}, (1279, 0)),
        ],
    )  # fmt: skip
    def test_a_pointer_that_cannot_be_there_is_not_believed(self, cursor: Any, at: tuple[float, float]) -> None:
        assert Screen.of(VIEWPORT, {"cursor": cursor}).cursor == at

    @settings(deadline=None)
    @given(st.integers(1, 5000), st.integers(1, 5000), st.data())
    def test_every_place_of_any_screen_is_in_the_viewport(self, width: int, height: int, data: st.DataObject) -> None:
        screen = Screen(VIEWPORT, width, height)
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        place = dict(zip("xy", screen.point("it", x, y), strict=True))
        parse_action({"type": "move", **place}, VIEWPORT)
        region = screen.region([x, y, data.draw(st.integers(x + 1, width)), data.draw(st.integers(y + 1, height))])
        parse_action({"type": "zoom", **region}, VIEWPORT)

    @settings(deadline=None)
    @given(st.floats(0, 1279), st.floats(0, 719), st.integers(1, 5000), st.integers(1, 5000))
    def test_the_pointer_is_on_every_screen(self, x: float, y: float, width: int, height: int) -> None:
        across, down = Screen(VIEWPORT, width, height, (x, y)).cursor_of_model
        assert 0 <= across < width
        assert 0 <= down < height


@settings(deadline=None)
@given(st.integers(160, 1280), st.integers(90, 720), st.data())
def test_the_pointer_is_where_the_model_has_put_it(width: int, height: int, data: st.DataObject) -> None:
    size = width, height
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    place = Screen(VIEWPORT, *size).point("it", x, y)
    seen = {"cursor": dict(zip("xy", place, strict=True))}
    assert Screen.of(VIEWPORT, seen, size).cursor_of_model == (x, y)


def test_a_part_fills_the_screen_as_far_as_that_helps() -> None:
    half = Screen(VIEWPORT, 640, 360)
    assert [half.magnification(*size) for size in ((1280, 720), (640, 90), (1, 1))] == [0.5, 1.0, 8.0]


def test_an_open_dialog_is_told_with_the_keys_that_answer_it() -> None:
    said = told({"dialog": {"type": "confirm", "message": "Delete?"}})
    assert said == "A confirm is open: Delete? (Return is OK, Escape is Cancel)"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"file_chooser": {"multiple": False}}, "The page asks for a file"),
        ({"file_chooser": {"multiple": True}}, "The page asks for files"),
        ({"file_chooser": "forged", "permissions": ["forged", 5]}, ""),
        (
            {
                "permissions": [
                    {"permission": "camera", "origin": "http://shop.test", "answer": "declined"},
                    {"permission": "push", "origin": "http://own.test", "answer": "declined"},
                ]
            },
            "http://shop.test asked for permission: camera (declined)\n"
            "http://own.test asked for permission: push (declined)",
        ),
    ],
)
def test_what_a_page_asks_for_is_told(seen: dict[str, Any], said: str) -> None:
    assert told(seen) == said


def test_what_waits_for_an_answer_is_told_before_what_has_one() -> None:
    long = [{"type": "alert", "message": "x" * 500, "answer": "accepted"}] * 20
    assert told({"file_chooser": {"multiple": False}, "dialogs": long}).startswith("The page asks for a file\n")


class TestKeys:
    @pytest.mark.parametrize(
        ("text", "chords"),
        [
            ("Return", ["Enter"]), ("ctrl+a", ["Control+a"]), ("ctrl+A", ["Control+a"]),
            ("ctrl+shift+T", ["Control+Shift+T"]), ("Page_Down", ["PageDown"]), ("ISO_Left_Tab", ["Shift+Tab"]),
            ("ctrl++", ["Control++"]), ("+", ["+"]), (" ", ["Space"]), ("super+Up", ["Meta+ArrowUp"]), ("KP_0", ["0"]),
            ("A", ["A"]), ("a b", ["a", "b"]), ("shift+a", ["Shift+a"]),
        ],
    )  # fmt: skip
    def test_xdotools_keys(self, text: str, chords: list[str]) -> None:
        assert chords_of_text(text) == chords

    def test_several_keys_beside_held_ones_are_pressed_one_after_another(self) -> None:
        assert chords_of_names(["CTRL", "C", "V"]) == ["Control+c", "Control+v"]
        assert chords_of_names(["CTRL", "SHIFT"]) == ["Control+Shift"]

    def test_repeated_sequences_are_repeated_as_a_whole(self) -> None:
        assert [each["key"] for each in presses(["Tab", "Enter"], SCREEN, 2)] == ["Tab", "Enter", "Tab", "Enter"]
        assert presses(["Alt+ArrowLeft"], SCREEN, 2) == [{"type": "back"}, {"type": "back"}]
        assert presses(["Tab"], SCREEN, 3) == [{"type": "press", "key": "Tab", "count": 3}]

    def test_a_browsers_own_keys_are_its_actions(self) -> None:
        for chord, action in SHORTCUTS.items():
            assert presses([chord], SCREEN) == [action]
            parse_action(action, VIEWPORT)
        assert presses(["Control+t"], SCREEN)[0] is not SHORTCUTS["Control+t"]

    @pytest.mark.parametrize(("key", "accept"), [("Return", True), ("space", True), ("Escape", False)])
    def test_keys_answer_an_open_dialog(self, key: str, *, accept: bool) -> None:
        asked = Screen(VIEWPORT, 1280, 720, dialog=True)
        use = {"id": "t", "name": "computer", "input": {"action": "key", "text": key}}
        assert anthropic.actions_of(use, asked) == [{"type": "dialog", "accept": accept}]
        call = {"call_id": "c", "action": {"type": "keypress", "keys": [key.upper()]}}
        assert openai.actions_of(call, asked) == [{"type": "dialog", "accept": accept}]

    def test_what_follows_the_answer_to_a_dialog_is_pressed(self) -> None:
        asked = Screen(VIEWPORT, 1280, 720, dialog=True)
        accept = {"type": "dialog", "accept": True}
        assert presses(["Enter", "Tab"], asked) == [accept, {"type": "press", "key": "Tab"}]
        assert presses(["Enter"], asked, 3) == [accept, *[{"type": "press", "key": "Enter"}] * 2]

    def test_there_is_an_end_to_how_many_keys_are_pressed(self) -> None:
        assert len(presses(["a", "b"], SCREEN, 50)) == 100
        for chords, count in ((["a"], 101), (["a", "b"], 51), (["a"] * 101, 1)):
            with pytest.raises(ActionError, match="at most 100 are allowed"):
                presses(chords, SCREEN, count)

    def test_only_modifiers_are_held_during_a_click(self) -> None:
        assert modifiers(None) == modifiers("") == modifiers([]) == {}
        assert modifiers("shift+SHIFT") == {"modifiers": ["Shift"]}
        with pytest.raises(ActionError, match="'Enter' cannot be held during a click"):
            modifiers("Return")


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["up", "ctrl", "Return"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "y", "a"]), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(anthropic.MEMBERS)), st.data())
def test_nothing_but_an_action_or_an_action_error_comes_of_any_input(action: str, data: st.DataObject) -> None:
    needed, possible = anthropic.MEMBERS[action]
    given = {name: data.draw(_JSON) for name in (*needed, *data.draw(st.sets(st.sampled_from([*possible, "other"]))))}
    _carried_out(
        lambda: anthropic.actions_of({"id": "t", "name": "computer", "input": {"action": action, **given}}, SCREEN)
    )


@settings(deadline=None)
@given(st.sampled_from(sorted(openai.MEMBERS)), st.data())
def test_nothing_but_an_action_or_an_action_error_comes_of_any_call(kind: str, data: st.DataObject) -> None:
    needed, possible = openai.MEMBERS[kind]
    given = {name: data.draw(_JSON) for name in (*needed, *data.draw(st.sets(st.sampled_from([*possible, "other"]))))}
    _carried_out(lambda: openai.actions_of({"call_id": "c", "action": {"type": kind, **given}}, SCREEN))


def _carried_out(read: Any) -> None:
    try:
        for action in read():
            parse_action(action, VIEWPORT)
    except ActionError as error:
        assert str(error)
