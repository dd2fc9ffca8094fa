"""OpenAI's computer use as a browser's actions, and back."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]  # comes with mcp
import pytest

from environments.browser.actions import ActionError, Viewport, parse_action
from environments.browser.computer import openai
from environments.browser.computer.screen import BLANK_PNG, Screen
from environments.protocols.schema import check_arguments

VIEWPORT = Viewport(1280, 720)
SCREEN = Screen(VIEWPORT, 1280, 720)
HALF = Screen(VIEWPORT, 640, 360)


def call(*actions: Any) -> dict[str, Any]:
    return {"type": "computer_call", "call_id": "call_1", "actions": list(actions)}


ACTIONS: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({"type": "click", "button": "left", "x": 5, "y": 6}, [{"type": "click", "x": 5, "y": 6}]),
    ({"type": "click", "x": 5, "y": 6, "keys": None}, [{"type": "click", "x": 5, "y": 6}]),
    ({"type": "click", "button": "right", "x": 5, "y": 6}, [{"type": "click", "button": "right", "x": 5, "y": 6}]),
    ({"type": "click", "button": "wheel", "x": 5, "y": 6}, [{"type": "click", "button": "middle", "x": 5, "y": 6}]),
    ({"type": "click", "button": "back", "x": 5, "y": 6}, [{"type": "back"}]),
    ({"type": "click", "button": "forward", "x": 5, "y": 6}, [{"type": "forward"}]),
    (
        {"type": "click", "button": "left", "x": 5, "y": 6, "keys": ["CTRL", "SHIFT"]},
        [{"type": "click", "x": 5, "y": 6, "modifiers": ["Control", "Shift"]}],
    ),
    ({"type": "double_click", "x": 5, "y": 6}, [{"type": "click", "x": 5, "y": 6, "count": 2}]),
    ({"type": "move", "x": 5, "y": 6}, [{"type": "move", "x": 5, "y": 6}]),
    (
        {"type": "drag", "path": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]},
        [{"type": "drag", "x": 1, "y": 2, "to_x": 3, "to_y": 4}],
    ),
    (
        {"type": "drag", "path": [[1, 2], [3, 4], [5, 6], [7, 8]], "keys": ["ALT"]},
        [{"type": "drag", "x": 1, "y": 2, "to_x": 7, "to_y": 8, "via": [[3, 4], [5, 6]], "modifiers": ["Alt"]}],
    ),
    (
        {"type": "scroll", "x": 5, "y": 6, "scroll_x": 0, "scroll_y": -250},
        [{"type": "scroll", "dx": 0, "dy": -250, "x": 5, "y": 6}],
    ),
    ({"type": "keypress", "keys": ["CTRL", "A"]}, [{"type": "press", "key": "Control+a"}]),
    ({"type": "keypress", "keys": ["ctrl+c"]}, [{"type": "press", "key": "Control+c"}]),
    ({"type": "keypress", "keys": ["ENTER"]}, [{"type": "press", "key": "Enter"}]),
    ({"type": "keypress", "keys": ["SHIFT", "TAB"]}, [{"type": "press", "key": "Shift+Tab"}]),
    ({"type": "keypress", "keys": ["SHIFT", "A"]}, [{"type": "press", "key": "Shift+A"}]),
    ({"type": "keypress", "keys": ["a"]}, [{"type": "press", "key": "a"}]),
    ({"type": "keypress", "keys": ["+"]}, [{"type": "press", "key": "+"}]),
    ({"type": "keypress", "keys": ["SPACE"]}, [{"type": "press", "key": "Space"}]),
    ({"type": "keypress", "keys": ["SHIFT"]}, [{"type": "press", "key": "Shift"}]),
    (
        {"type": "keypress", "keys": ["ARROWDOWN", "ARROWDOWN"]},
        [{"type": "press", "key": "ArrowDown"}, {"type": "press", "key": "ArrowDown"}],
    ),
    ({"type": "keypress", "keys": ["ALT", "ARROWLEFT"]}, [{"type": "back"}]),
    ({"type": "keypress", "keys": ["CTRL", "2"]}, [{"type": "switch_tab", "tab": 2}]),
    ({"type": "type", "text": "Hi"}, [{"type": "type", "text": "Hi"}]),
    ({"type": "wait"}, [{"type": "wait", "time_s": 2.0}]),
    ({"type": "screenshot"}, [{"type": "read_page", "what": "screenshot"}]),
]


@pytest.mark.parametrize(("given", "wanted"), ACTIONS, ids=[str(given)[:70] for given, _ in ACTIONS])
def test_each_action_is_one_that_the_browser_takes(given: dict[str, Any], wanted: list[dict[str, Any]]) -> None:
    actions = openai.actions_of({"type": "computer_call", "call_id": "c", "action": given}, SCREEN)
    assert actions == wanted
    for action in actions:
        parse_action(action, VIEWPORT)


def test_every_action_of_the_tool_is_tested_above() -> None:
    assert {given["type"] for given, _ in ACTIONS} == set(openai.MEMBERS)


def test_several_actions_of_one_call_come_one_after_the_other() -> None:
    given = [given for given, _ in ACTIONS]
    assert openai.actions_of(call(*given), SCREEN) == [action for _, wanted in ACTIONS for action in wanted]


def test_coordinates_and_distances_are_those_of_the_pictures_that_the_model_sees() -> None:
    assert openai.actions_of(call({"type": "click", "x": 639, "y": 359}), HALF) == [
        {"type": "click", "x": 1278, "y": 718}
    ]
    scroll = {"type": "scroll", "x": 1, "y": 1, "scroll_x": 10, "scroll_y": 50}
    assert openai.actions_of(call(scroll), HALF) == [{"type": "scroll", "dx": 20, "dy": 100, "x": 2, "y": 2}]


def test_a_long_path_keeps_as_many_points_as_there_may_be() -> None:
    path = [{"x": number, "y": 0} for number in range(1000)]
    (action,) = openai.actions_of(call({"type": "drag", "path": path}), SCREEN)
    assert len(action["via"]) == 100
    assert action["via"] == sorted(action["via"])
    assert (action["x"], action["via"][0], action["to_x"]) == (0, [1, 0], 999)
    parse_action(action, VIEWPORT)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "an action is an object with a member 'type', not null"),
        ({}, "the member 'type' is missing; it is one of"),
        ({"type": "clik"}, "there is no action 'clik'; did you mean 'click'?"),
        ({"type": "click", "x": 1}, "'click' needs a member 'y'"),
        ({"type": "click", "x": 1, "y": 720}, "(1, 720), outside of the screen"),
        ({"type": "click", "x": 1, "y": 2, "button": "up"}, "must be one of 'left', 'right', 'wheel'"),
        ({"type": "click", "x": 1, "y": 2, "z": 3}, "'click' has no member 'z'"),
        ({"type": "click", "x": 1, "y": 2, "keys": ["A"]}, "'A' cannot be held during a click"),
        ({"type": "click", "x": 1, "y": 2, "keys": [1]}, "a key is 1, must be a string"),
        ({"type": "click", "x": 1, "y": 2, "button": "back", "keys": ["BANANA"]}, "there is no key 'BANANA'"),
        ({"type": "click", "x": 1, "y": 2, "button": "back", "keys": ["CTRL"]}, "no keys are held during 'back'"),
        ({"type": "click", "x": 1, "y": 720, "button": "forward"}, "(1, 720), outside of the screen"),
        ({"type": "drag", "path": [{"x": 1, "y": 2}]}, "at least two points"),
        ({"type": "drag", "path": [{"x": 1, "y": 2}, {"x": 1}]}, "path[1] is an object, must be a point"),
        ({"type": "drag", "path": "x"}, "at least two points"),
        ({"type": "keypress", "keys": []}, "at least one"),
        ({"type": "keypress", "keys": "CTRL"}, "keys must be a list"),
        ({"type": "keypress", "keys": ["HYPERDRIVE"]}, "there is no key 'HYPERDRIVE'"),
        ({"type": "scroll", "x": 1, "y": 1, "scroll_y": 10**400}, "must be from -100000 to 100000"),
        ({"type": "scroll", "x": 1, "y": 1, "scroll_y": "1"}, "must be a number"),
        ({"type": "type"}, "'type' needs a member 'text'"),
    ],
)
def test_what_is_malformed_is_explained(given: Any, message: str) -> None:
    with pytest.raises(ActionError) as error:
        openai.actions_of(call(given), SCREEN)
    assert message in str(error.value)


@pytest.mark.parametrize("actions", [[], [{"type": "wait"}] * 51, "x"])
def test_a_call_has_some_actions_and_not_too_many(actions: Any) -> None:
    with pytest.raises(ActionError, match="from 1 to 50"):
        openai.actions_of({"type": "computer_call", "call_id": "c", "actions": actions}, SCREEN)


class TestResults:
    def test_an_output_is_a_picture(self) -> None:
        items = openai.result(call(), {"images": [{"format": "png", "data": "QUJD"}]}, SCREEN)
        assert items == [
            {
                "type": "computer_call_output",
                "call_id": "call_1",
                "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,QUJD"},
            }
        ]

    def test_what_a_picture_does_not_show_goes_beside_it(self) -> None:
        observation = {
            "error": "there is no page to go back to",
            "notices": ["a popup was closed"],
            "dialogs": [{"type": "alert", "message": "Saved", "answer": "accepted"}, "forged"],
            "downloads": [{"name": "a.csv", "path": "/workspace/downloads/a.csv"}],
        }
        output, message = openai.result(call(), observation, SCREEN)
        assert output["output"]["image_url"] == f"data:image/png;base64,{BLANK_PNG}"
        assert message == {
            "role": "user",
            "content": [
                {
                    "type": "input_text",
                    "text": "Error: there is no page to go back to\nA alert was accepted: Saved\n"
                    "Downloaded: /workspace/downloads/a.csv\na popup was closed",
                }
            ],
        }

    def test_safety_checks_are_acknowledged(self) -> None:
        checks = [{"id": "sc_1", "code": "irrelevant_domain"}]
        (output,) = openai.result({**call(), "pending_safety_checks": checks}, {}, SCREEN)
        assert output["acknowledged_safety_checks"] == checks


def test_each_version_has_its_own_entry() -> None:
    assert openai.tool("computer", HALF) == {"type": "computer"}
    assert openai.tool("computer_use_preview", HALF) == {
        "type": "computer_use_preview",
        "display_width": 640,
        "display_height": 360,
        "environment": "browser",
    }
    with pytest.raises(ValueError, match="there is no version"):
        openai.tool("x", HALF)


class TestTheToolForAnyModel:
    PARAMETERS = openai.tool_schema(HALF)["parameters"]

    @pytest.mark.parametrize("given", [given for given, _ in ACTIONS], ids=str)
    def test_its_schema_takes_every_action(self, given: dict[str, Any]) -> None:
        plain = {name: value for name, value in given.items() if value is not None}
        if "path" in plain:
            plain["path"] = [{"x": x, "y": y} for x, y in (tuple(each.values() if isinstance(each, dict) else each)
                                                           for each in plain["path"])]  # fmt: skip
        assert check_arguments({"actions": [plain]}, self.PARAMETERS) == []

    @pytest.mark.parametrize(
        "given",
        [
            {},
            {"actions": []},
            {"actions": [{"type": "click", "x": 1}]},
            {"actions": [{"type": "fly"}]},
            {"actions": [{"type": "wait", "x": 1}]},
        ],
    )
    def test_it_takes_nothing_else(self, given: dict[str, Any]) -> None:
        assert check_arguments(given, self.PARAMETERS)

    def test_it_says_how_large_the_screen_is(self) -> None:
        assert "640x360" in openai.tool_schema(HALF)["description"]

    @pytest.mark.parametrize(
        ("given", "taken"),
        [
            ({"type": "scroll", "x": 1, "y": 1, "scroll_x": 100_000, "scroll_y": -100_000}, True),
            ({"type": "scroll", "x": 1, "y": 1, "scroll_x": 100_001}, False),
            ({"type": "scroll", "x": 1, "y": 1, "scroll_y": -100_001}, False),
            ({"type": "scroll", "x": 1, "y": 1, "scroll_y": 10**9}, False),
            ({"type": "keypress", "keys": []}, False),
            ({"type": "keypress", "keys": [""]}, False),
            ({"type": "keypress", "keys": ["SHIFT"] * 5 + ["A"] * 100}, True),
            ({"type": "keypress", "keys": ["SHIFT"] * 5 + ["A"] * 101}, False),
            ({"type": "keypress", "keys": ["SHIFT"] * 6 + ["A"] * 100}, False),
            ({"type": "click", "x": 1, "y": 1, "keys": []}, True),
            ({"type": "click", "x": 1, "y": 1, "keys": [""]}, False),
            ({"type": "drag", "path": [{"x": 1, "y": 1}] * 10_000}, True),
            ({"type": "drag", "path": [{"x": 1, "y": 1}] * 10_001}, False),
            ({"type": "drag", "path": [{"x": 1, "y": 1}, {"x": 1, "y": 1, "z": 1}]}, False),
            ({"type": "type", "text": "x" * 5000}, True),
            ({"type": "type", "text": "x" * 5001}, False),
        ],
        ids=lambda given: str(given)[:70],
    )
    def test_its_schemas_bounds_are_those_of_what_is_read(self, given: dict[str, Any], *, taken: bool) -> None:
        assert jsonschema.Draft202012Validator(self.PARAMETERS).is_valid({"actions": [given]}) is taken
        assert _is_taken(given) is taken


def _is_taken(given: dict[str, Any]) -> bool:
    try:
        for action in openai.actions_of(call(given), HALF):
            parse_action(action, VIEWPORT)
    except ActionError:
        return False
    return True
