"""Anthropic's computer use as a browser's actions, and back."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]  # comes with mcp
import pytest

from environments.browser.actions import ActionError, Viewport, parse_action
from environments.browser.computer import anthropic
from environments.browser.computer.screen import Screen
from environments.protocols.schema import check_arguments

VIEWPORT = Viewport(1280, 720)
SCREEN = Screen(VIEWPORT, 1280, 720, cursor=(30, 40))
HALF = Screen(VIEWPORT, 640, 360, cursor=(30, 41))


def use(**given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": "toolu_1", "name": "computer", "input": given}


ACTIONS: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({"action": "left_click", "coordinate": [5, 6]}, [{"type": "click", "x": 5, "y": 6}]),
    ({"action": "left_click"}, [{"type": "click", "x": 30, "y": 40}]),
    ({"action": "left_click", "coordinate": None}, [{"type": "click", "x": 30, "y": 40}]),
    (
        {"action": "left_click", "coordinate": [5, 6], "text": "ctrl+shift"},
        [{"type": "click", "x": 5, "y": 6, "modifiers": ["Control", "Shift"]}],
    ),
    ({"action": "left_click", "coordinate": [1, 2], "key": "alt"}, [
        {"type": "click", "x": 1, "y": 2, "modifiers": ["Alt"]}
    ]),
    ({"action": "left_click", "coordinate": [1, 2], "text": "shift", "key": "ctrl+shift"}, [
        {"type": "click", "x": 1, "y": 2, "modifiers": ["Shift", "Control"]}
    ]),
    ({"action": "right_click", "coordinate": [5, 6]}, [{"type": "click", "x": 5, "y": 6, "button": "right"}]),
    ({"action": "middle_click", "coordinate": [5, 6]}, [{"type": "click", "x": 5, "y": 6, "button": "middle"}]),
    ({"action": "double_click", "coordinate": [5, 6]}, [{"type": "click", "x": 5, "y": 6, "count": 2}]),
    ({"action": "triple_click"}, [{"type": "click", "x": 30, "y": 40, "count": 3}]),
    ({"action": "mouse_move", "coordinate": [1279, 719]}, [{"type": "move", "x": 1279, "y": 719}]),
    ({"action": "left_mouse_down"}, [{"type": "mouse_down"}]),
    ({"action": "left_mouse_up"}, [{"type": "mouse_up"}]),
    (
        {"action": "left_click_drag", "start_coordinate": [1, 2], "coordinate": [3, 4]},
        [{"type": "drag", "x": 1, "y": 2, "to_x": 3, "to_y": 4}],
    ),
    ({"action": "left_click_drag", "coordinate": [3, 4]}, [{"type": "drag", "x": 30, "y": 40, "to_x": 3, "to_y": 4}]),
    (
        {"action": "scroll", "scroll_direction": "down", "scroll_amount": 3, "coordinate": [5, 6]},
        [{"type": "scroll", "dx": 0, "dy": 300, "x": 5, "y": 6}],
    ),
    ({"action": "scroll", "scroll_direction": "up", "scroll_amount": 1}, [{"type": "scroll", "dx": 0, "dy": -100}]),
    ({"action": "scroll", "scroll_direction": "left", "scroll_amount": 2}, [{"type": "scroll", "dx": -200, "dy": 0}]),
    ({"action": "scroll", "scroll_direction": "right", "scroll_amount": 1, "text": "shift"}, [
        {"type": "scroll", "dx": 100, "dy": 0, "modifiers": ["Shift"]}
    ]),
    ({"action": "type", "text": "Hi\n"}, [{"type": "type", "text": "Hi\n"}]),
    ({"action": "key", "text": "Return"}, [{"type": "press", "key": "Enter"}]),
    ({"action": "key", "text": "ctrl+a"}, [{"type": "press", "key": "Control+a"}]),
    ({"action": "key", "text": "Tab", "repeat": 4}, [{"type": "press", "key": "Tab", "count": 4}]),
    ({"action": "key", "text": "Down Down Return"}, [
        {"type": "press", "key": "ArrowDown"}, {"type": "press", "key": "ArrowDown"}, {"type": "press", "key": "Enter"}
    ]),
    ({"action": "key", "text": "alt+Left"}, [{"type": "back"}]),
    ({"action": "key", "text": "F5"}, [{"type": "reload"}]),
    ({"action": "hold_key", "text": "shift", "duration": 2}, [{"type": "key_hold", "key": "Shift", "time_s": 2}]),
    ({"action": "wait", "duration": 1.5}, [{"type": "wait", "time_s": 1.5}]),
    ({"action": "screenshot"}, [{"type": "read_page", "what": "screenshot"}]),
    ({"action": "cursor_position"}, [{"type": "wait", "time_s": 0}]),
    ({"action": "zoom", "region": [100, 200, 400, 350]}, [
        {"type": "zoom", "x": 100, "y": 200, "width": 300, "height": 150}
    ]),
    ({"action": "zoom", "region": [0, 0, 1280, 720]}, [{"type": "zoom", "x": 0, "y": 0, "width": 1280, "height": 720}]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), ACTIONS, ids=[str(given)[:70] for given, _ in ACTIONS])
def test_each_action_is_one_that_the_browser_takes(given: dict[str, Any], wanted: list[dict[str, Any]]) -> None:
    actions = anthropic.actions_of(use(**given), SCREEN)
    assert actions == wanted
    for action in actions:
        parse_action(action, VIEWPORT)


def test_every_action_of_the_tool_is_tested_above() -> None:
    assert {given["action"] for given, _ in ACTIONS} == set(anthropic.MEMBERS)


@pytest.mark.parametrize(("given", "wanted"), ACTIONS, ids=[str(given)[:70] for given, _ in ACTIONS])
def test_the_toolset_has_the_same_actions_under_their_own_names(
    given: dict[str, Any], wanted: list[dict[str, Any]]
) -> None:
    rest = {name: value for name, value in given.items() if name != "action"}
    block = {"type": "tool_use", "id": "t", "name": given["action"], "toolset_name": "computer", "input": rest}
    assert anthropic.actions_of(block, SCREEN) == wanted


class TestAnotherSize:
    def test_coordinates_are_those_of_the_pictures_that_the_model_sees(self) -> None:
        assert anthropic.actions_of(use(action="left_click", coordinate=[639, 359]), HALF) == [
            {"type": "click", "x": 1278, "y": 718}
        ]
        assert anthropic.actions_of(use(action="zoom", region=[0, 0, 640, 180]), HALF) == [
            {"type": "zoom", "x": 0, "y": 0, "width": 1280, "height": 360}
        ]

    def test_what_is_on_a_larger_screen_stays_in_the_viewport(self) -> None:
        large = Screen(VIEWPORT, 1919, 1080)
        (action,) = anthropic.actions_of(use(action="mouse_move", coordinate=[1918, 1079]), large)
        assert action == {"type": "move", "x": 1279, "y": 719}

    def test_the_pointer_stays_where_it_is(self) -> None:
        assert anthropic.actions_of(use(action="left_click"), HALF) == [{"type": "click", "x": 30, "y": 41}]
        told = anthropic.result(use(action="cursor_position"), {}, HALF)
        assert told["content"] == [{"type": "text", "text": "X=15,Y=20"}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "the member 'action' is missing; it is one of"),
        ({"action": "click"}, "there is no action 'click'; did you mean"),
        ({"action": ["key"]}, "there is no action a list"),
        ({"action": "key"}, "'key' needs a member 'text'"),
        ({"action": "key", "text": "Retrun"}, "there is no key 'Retrun'"),
        ({"action": "key", "text": ""}, "text names no key"),
        ({"action": "key", "text": 5}, "must be a string"),
        ({"action": "key", "text": "a", "repeat": 101}, "'repeat' is 101, must be from 1 to 100"),
        ({"action": "type", "text": "x", "coordinate": [1, 2]}, "'type' has no member 'coordinate'; it takes 'text'"),
        ({"action": "left_click", "coordinate": [1]}, "must be two numbers [x, y]"),
        ({"action": "left_click", "coordinate": "5,6"}, "must be two numbers [x, y]"),
        ({"action": "left_click", "coordinate": [1280, 0]}, "(1280, 0), outside of the screen, which is 1280 wide"),
        ({"action": "left_click", "coordinate": [-1, 0]}, "outside of the screen"),
        ({"action": "left_click", "coordinate": [float("nan"), 0]}, "must be a number that is finite"),
        ({"action": "left_click", "coordinate": [10**400, 0]}, "a huge number"),
        ({"action": "left_click", "coordinate": [1, 2], "text": "a"}, "'a' cannot be held during a click"),
        ({"action": "left_click", "coordinate": [1, 2], "text": ["x" * 9]}, "there is no key"),
        ({"action": "left_click", "coordinate": [1, 2], "text": "shift", "key": "banana"}, "there is no key 'banana'"),
        ({"action": "left_click", "coordinate": [1, 2], "text": "", "key": 5}, "a key is 5, must be a string"),
        ({"action": "key", "text": "a", "key": "shift"}, "'key' has no member 'key'; it takes 'text', 'repeat'"),
        ({"action": "mouse_move"}, "'mouse_move' needs a member 'coordinate'"),
        ({"action": "scroll", "scroll_amount": 1}, "needs a member 'scroll_direction'"),
        ({"action": "scroll", "scroll_direction": "in", "scroll_amount": 1}, "must be one of 'up', 'down', 'left', "),
        ({"action": "scroll", "scroll_direction": "up", "scroll_amount": -1}, "must be from 0 to 100"),
        ({"action": "scroll", "scroll_direction": "up", "scroll_amount": 1.5}, "must be a whole number"),
        ({"action": "wait", "duration": 31}, "must be from 0 to 30 seconds"),
        ({"action": "wait", "duration": "2"}, "must be a number, not string"),
        ({"action": "hold_key", "text": "a b", "duration": 1}, "holds one key or one combination"),
        ({"action": "zoom", "region": [1, 2, 3]}, "must be four numbers"),
        ({"action": "zoom", "region": [10, 10, 5, 20]}, "from the upper left to the lower right"),
        ({"action": "zoom", "region": [0, 0, 1281, 20]}, "on a screen that is 1280 wide"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_explained(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ActionError) as error:
        anthropic.actions_of(use(**given), SCREEN)
    assert message in str(error.value)


def test_an_input_that_is_no_object_is_explained() -> None:
    with pytest.raises(ActionError, match="the input is null, must be an object"):
        anthropic.actions_of({"type": "tool_use", "id": "t", "name": "computer"}, SCREEN)


class TestResults:
    def test_a_picture_is_an_image_block(self) -> None:
        block = anthropic.result(use(action="screenshot"), {"images": [{"format": "webp", "data": "QUJD"}]}, SCREEN)
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "QUJD"}}
        assert block == {"type": "tool_result", "tool_use_id": "toolu_1", "content": [image]}

    def test_without_a_picture_something_is_said(self) -> None:
        block = anthropic.result(use(action="wait", duration=1), {}, SCREEN)
        assert block["content"] == [{"type": "text", "text": "Done."}]

    def test_an_error_is_one(self) -> None:
        block = anthropic.result(use(action="cursor_position"), {"error": "the browser is gone"}, SCREEN)
        assert block["is_error"] is True
        assert block["content"] == [{"type": "text", "text": "Error: the browser is gone"}]

    def test_the_toolset_gets_its_name_back(self) -> None:
        block = {"type": "tool_use", "id": "t", "name": "cursor_position", "toolset_name": "computer", "input": {}}
        told = anthropic.result(block, {"images": [{"format": "png", "data": "QQ=="}]}, SCREEN)
        assert told["toolset_name"] == "computer"
        assert [each["type"] for each in told["content"]] == ["text", "image"]
        assert told["content"][0]["text"] == "X=30,Y=40"


class TestTools:
    def test_each_version_has_its_own_entry(self) -> None:
        size = {"name": "computer", "display_width_px": 640, "display_height_px": 360}
        assert anthropic.tool("computer_20250124", HALF) == {"type": "computer_20250124", **size}
        assert anthropic.tool("computer_20251124", HALF) == {"type": "computer_20251124", **size, "enable_zoom": True}
        assert anthropic.tool("computer_toolset_20260801", HALF) == {"type": "computer_toolset_20260801"}
        with pytest.raises(ValueError, match="there is no version 'computer_1'"):
            anthropic.tool("computer_1", HALF)

    @pytest.mark.parametrize("given", [given for given, _ in ACTIONS], ids=str)
    def test_the_schema_takes_every_action(self, given: dict[str, Any]) -> None:
        parameters = anthropic.tool_schema(SCREEN)["parameters"]
        plain = {name: value for name, value in given.items() if value is not None}
        assert check_arguments(plain, parameters) == []

    @pytest.mark.parametrize(
        ("given", "taken"),
        [
            ({"action": "key", "text": "a", "repeat": 0}, False),
            ({"action": "key", "text": "a", "repeat": 1}, True),
            ({"action": "key", "text": "a", "repeat": 100}, True),
            ({"action": "key", "text": "a", "repeat": 101}, False),
            ({"action": "scroll", "scroll_direction": "up", "scroll_amount": 0}, True),
            ({"action": "scroll", "scroll_direction": "up", "scroll_amount": 100}, True),
            ({"action": "scroll", "scroll_direction": "up", "scroll_amount": 101}, False),
            ({"action": "wait", "duration": 30}, True),
            ({"action": "wait", "duration": 31}, False),
            ({"action": "type", "text": "x" * 5000}, True),
            ({"action": "type", "text": "x" * 5001}, False),
        ],
        ids=lambda given: str(given)[:70],
    )
    def test_the_schemas_bounds_are_those_of_what_is_read(self, given: dict[str, Any], *, taken: bool) -> None:
        parameters = anthropic.tool_schema(HALF)["parameters"]
        assert jsonschema.Draft202012Validator(parameters).is_valid(given) is taken
        assert _is_taken(given) is taken


def _is_taken(given: dict[str, Any]) -> bool:
    try:
        for action in anthropic.actions_of(use(**given), HALF):
            parse_action(action, VIEWPORT)
    except ActionError:
        return False
    return True
