"""What a policy may ask of a browser, and what it is told when it asks wrongly."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # comes with mcp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.browser.actions import ACTION_SCHEMA, KINDS, ActionError, Viewport, action_schema, parse_action
from environments.environment import tools_of

VIEWPORT = Viewport(1280, 720)
VALIDATOR = jsonschema.Draft202012Validator(ACTION_SCHEMA)

GOOD: list[dict[str, Any]] = [
    {"type": "click", "ref": "e12"},
    {"type": "click", "ref": "f1e2", "button": "right", "count": 2, "modifiers": ["Control", "Shift"]},
    {"type": "click", "x": 0, "y": 0},
    {"type": "click", "x": 1279.5, "y": 719},
    {"type": "hover", "ref": "e1", "modifiers": ["Shift"]},
    {"type": "drag", "ref": "e1", "to_ref": "e2"},
    {"type": "drag", "x": 1, "y": 2, "to_x": 3, "to_y": 4, "via": [[5, 6], [7.5, 8]]},
    {"type": "drag", "x": 1, "y": 2, "to_ref": "e2"},
    {"type": "scroll", "dy": -300},
    {"type": "scroll", "dx": 10, "dy": 0, "ref": "e1"},
    {"type": "scroll", "dx": 10, "x": 5, "y": 5, "modifiers": ["Control"]},
    {"type": "scroll_to", "ref": "e1"},
    {"type": "type", "text": "a\nb"},
    {"type": "type", "text": "", "ref": "e1", "submit": True},
    {"type": "fill", "ref": "e1", "text": ""},
    {"type": "press", "key": "Control+a"},
    {"type": "press", "key": "Tab", "ref": "e3", "count": 4},
    {"type": "select", "ref": "e1", "values": ["M", "L"]},
    {"type": "select", "ref": "e1", "values": []},
    {"type": "check", "ref": "e1"},
    {"type": "check", "ref": "e1", "checked": False},
    {"type": "goto", "url": "https://shop.example/"},
    {"type": "back"},
    {"type": "forward"},
    {"type": "reload"},
    {"type": "new_tab"},
    {"type": "new_tab", "url": "https://shop.example/"},
    {"type": "switch_tab", "tab": 2},
    {"type": "close_tab"},
    {"type": "close_tab", "tab": 1},
    {"type": "dialog", "accept": False},
    {"type": "dialog", "accept": True, "text": "Jo"},
    {"type": "wait", "time_s": 0},
    {"type": "wait", "time_s": 30},
    {"type": "wait", "text": "Done"},
    {"type": "wait", "text_gone": "Loading"},
    {"type": "wait", "url": "/done"},
    {"type": "zoom", "x": 0, "y": 0, "width": 1280, "height": 720},
    {"type": "find", "text": "price"},
    {"type": "read_page"},
    {"type": "read_page", "what": "snapshot", "ref": "e1", "depth": 3, "interactive": True, "offset": 10},
    {"type": "read_page", "what": "html", "offset": 10},
    {"type": "read_page", "what": "screenshot"},
    {"type": "move", "x": 3, "y": 4},
    {"type": "mouse_down"},
    {"type": "mouse_up", "button": "left"},
    {"type": "answer", "text": "42"},
    {"type": "answer"},
    {"type": "infeasible", "reason": "There is no such product."},
]

BAD: list[tuple[Any, str]] = [
    (None, "an action is an object with a member 'type', not null"),
    ([], "not a list"),
    ("click", "not 'click'"),
    ({}, "no member 'type'"),
    ({"type": 3}, "'type' is 3, must be a string, not integer"),
    ({"type": None}, "'type' is null"),
    ({"type": ["click"]}, "'type' is a list"),
    ({"type": "clik", "ref": "e1"}, "there is no action 'clik'; did you mean 'click'?"),
    ({"type": "quxx"}, "there is no action 'quxx'; there are 'click', 'hover'"),
    ({"type": "click"}, "does not say where: it takes either 'ref', or 'x' and 'y'"),
    ({"type": "click", "ref": "e1", "x": 1, "y": 1}, "both 'ref' and 'x', 'y'"),
    ({"type": "click", "ref": "e1", "x": 1}, "both 'ref' and 'x'"),
    ({"type": "click", "x": 1}, "'x' alone: a point needs both 'x' and 'y'"),
    ({"type": "click", "x": 1280, "y": 0}, "'x' of 'click' is 1280, outside of the viewport"),
    ({"type": "click", "x": 1, "y": 720}, "from 0 to 719"),
    ({"type": "click", "x": -1, "y": 0}, "from 0 to 1279"),
    ({"type": "click", "x": -0.5, "y": 0}, "'x' of 'click' is -0.5"),
    ({"type": "click", "x": math.nan, "y": 0}, "must be a number that is finite"),
    ({"type": "click", "x": math.inf, "y": 0}, "must be a number that is finite"),
    ({"type": "click", "x": 10**400, "y": 0}, "a huge number"),
    ({"type": "click", "x": "5", "y": 0}, "'x' of 'click' is '5', must be a number, not string"),
    ({"type": "click", "x": True, "y": 0}, "must be a number, not boolean"),
    ({"type": "click", "ref": "[ref=e12]"}, "write 'e12'"),
    ({"type": "click", "ref": "12"}, "must be a ref such as 'e12'"),
    ({"type": "click", "ref": "e12\n"}, "write 'e12'"),
    ({"type": "click", "ref": "e\u0661"}, "must be a ref"),
    ({"type": "click", "ref": None}, "'ref' of 'click' is null"),
    ({"type": "click", "ref": "e1", "buton": "left"}, "no member 'buton'; did you mean 'button'?"),
    ({"type": "click", "ref": "e1", "button": "lefty"}, "one of 'left', 'middle', 'right'; did you mean 'left'?"),
    ({"type": "click", "ref": "e1", "count": 4}, "must be from 1 to 3"),
    ({"type": "click", "ref": "e1", "count": 1.5}, "must be a whole number"),
    ({"type": "click", "ref": "e1", "modifiers": "Shift"}, "must be a list"),
    ({"type": "click", "ref": "e1", "modifiers": ["Ctrl"]}, "'modifiers[0]' of 'click' is 'Ctrl', must be one"),
    ({"type": "click", "ref": "e1", "modifiers": ["Alt", "Alt"]}, "the same item twice"),
    ({"type": "drag", "ref": "e1"}, "either 'to_ref', or 'to_x' and 'to_y'"),
    ({"type": "drag", "ref": "e1", "to_x": 1}, "'to_x' alone"),
    ({"type": "drag", "ref": "e1", "to_ref": "e2", "via": [[1]]}, "must be two numbers [x, y]"),
    ({"type": "drag", "ref": "e1", "to_ref": "e2", "via": [[1, 9999]]}, "outside of the viewport"),
    ({"type": "scroll"}, "needs 'dx' or 'dy'"),
    ({"type": "scroll", "dy": 1e9}, "must be from -100000 to 100000"),
    ({"type": "scroll", "dy": 1, "y": 3}, "'y' alone"),
    ({"type": "type"}, "'type' needs a member 'text': What to type"),
    ({"type": "type", "text": 5}, "'text' of 'type' is 5, must be a string, not integer"),
    ({"type": "type", "text": "x" * 5001}, "has 5001 characters, at most 5000"),
    ({"type": "type", "text": "a\0"}, "a NUL character at 1"),
    ({"type": "type", "text": "\ud800"}, "a lone surrogate at character 0"),
    ({"type": "type", "text": "x", "submit": "yes"}, "'yes', must be true or false"),
    ({"type": "fill", "ref": "e1", "text": "x" * 100_001}, "at most 100000"),
    ({"type": "press", "key": "ctrl+a"}, "no key 'ctrl': it is called 'Control', so 'Control+a'"),
    ({"type": "press", "key": "Return"}, "it is called 'Enter'"),
    ({"type": "press", "key": "Retrun"}, "did you mean 'Enter'?"),
    ({"type": "press", "key": "hello"}, "for words use the action 'type'"),
    ({"type": "press", "key": "é"}, "it is on no keyboard"),
    ({"type": "press", "key": ""}, "name a key"),
    ({"type": "press", "key": "a+"}, "there is no key ''"),
    ({"type": "press", "key": "a+b+c+d+e+f+g"}, "7 keys at once: at most 6"),
    ({"type": "press", "key": "x" * 65}, "for text use the action 'type'"),
    ({"type": "press", "key": "Tab", "count": 101}, "from 1 to 100"),
    ({"type": "select", "ref": "e1"}, "needs a member 'values'"),
    ({"type": "select", "ref": "e1", "values": "M"}, "must be a list: The options' labels or values"),
    ({"type": "select", "ref": "e1", "values": [1]}, "'values[0]' of 'select' is 1, must be a string"),
    ({"type": "select", "ref": "e1", "values": ["x"] * 101}, "has 101 items"),
    ({"type": "goto"}, "needs a member 'url'"),
    ({"type": "goto", "url": ""}, "must not be empty"),
    ({"type": "goto", "url": "https://" + "a" * 8000}, "at most 8000"),
    ({"type": "find", "text": " \t "}, "'text' of 'find' must not be blank: What to look for"),
    ({"type": "wait", "text": "  "}, "'text' of 'wait' must not be blank: Until this is seen"),
    ({"type": "wait", "text_gone": "\u3000"}, "must not be blank: Until this is not seen"),
    ({"type": "switch_tab", "tab": 0}, "must be from 1"),
    ({"type": "switch_tab", "tab": "2"}, "must be a whole number, not string"),
    ({"type": "dialog"}, "needs a member 'accept'"),
    ({"type": "dialog", "accept": False, "text": "x"}, "takes 'text' only when 'accept' is true, not false"),
    ({"type": "wait"}, "exactly one of 'time_s', 'text', 'text_gone', 'url'; it has none"),
    ({"type": "wait", "time_s": 1, "text": "x"}, "it has 'time_s', 'text'"),
    ({"type": "wait", "time_s": 30.5}, "must be from 0 to 30"),
    ({"type": "wait", "time_s": -1}, "must be from 0 to 30"),
    ({"type": "wait", "text": ""}, "must not be empty"),
    ({"type": "zoom", "x": 1000, "y": 0, "width": 281, "height": 5}, "there are 280 pixels of the viewport"),
    ({"type": "zoom", "x": 0, "y": 719, "width": 5, "height": 2}, "'height' of 'zoom' is 2"),
    ({"type": "zoom", "x": 0, "y": 0, "width": 0, "height": 5}, "must be from 1"),
    ({"type": "read_page", "what": "source"}, "must be one of 'snapshot', 'html', 'text', 'screenshot'"),
    ({"type": "read_page", "what": "html", "depth": 2}, "takes 'depth' only when 'what' is 'snapshot', not 'html'"),
    ({"type": "read_page", "what": "screenshot", "offset": 2}, "takes 'offset' only when"),
    ({"type": "read_page", "depth": 0}, "must be from 1 to 100"),
    ({"type": "back", "steps": 2}, "'back' has no member 'steps'; it takes none"),
    ({"type": "move", "x": 5}, "'move' needs a member 'y'"),
    ({"type": "key_hold", "key": "a", "time_s": 31}, "must be from 0 to 30"),
    ({"type": "infeasible"}, "needs a member 'reason'"),
    ({"type": "answer", "text": "x" * 20_001}, "at most 20000"),
]  # fmt: skip


@pytest.mark.parametrize("action", GOOD, ids=json.dumps)
def test_a_good_action_is_passed_on_as_it_is_and_fits_the_schema(action: dict[str, Any]) -> None:
    assert parse_action(action, VIEWPORT) == action
    VALIDATOR.validate(action)


@pytest.mark.parametrize(("action", "message"), BAD, ids=[str(action)[:60] for action, _ in BAD])
def test_a_malformed_action_is_explained(action: Any, message: str) -> None:
    with pytest.raises(ActionError) as error:
        parse_action(action, VIEWPORT)
    assert message in str(error.value)
    assert len(str(error.value)) < 700


def test_every_kind_has_an_example_above() -> None:
    assert {action["type"] for action in GOOD} | {"upload", "key_hold"} == set(KINDS)


def test_every_kind_is_a_tool_with_a_description_and_so_are_its_arguments() -> None:
    tools = {tool["name"]: tool for tool in tools_of(ACTION_SCHEMA)}
    assert list(tools) == list(KINDS)
    for tool in tools.values():
        assert tool["description"].endswith(".")
        for argument in tool["parameters"]["properties"].values():
            assert argument["description"]
    assert tools["fill"]["parameters"]["required"] == ["ref", "text"]


class TestWhatIsMadeForTheDriver:
    def test_space_around_an_address_is_taken_off(self) -> None:
        for kind in ("goto", "new_tab"):
            read = parse_action({"type": kind, "url": " \n https://a.example/x y\t"}, VIEWPORT)
            assert read["url"] == "https://a.example/x y"

    def test_a_whole_number_may_be_written_as_a_fraction(self) -> None:
        tab = parse_action({"type": "switch_tab", "tab": 2.0}, VIEWPORT)["tab"]
        assert (tab, type(tab)) == (2, int)

    def test_held_keys_are_named_one_by_one(self) -> None:
        read = parse_action({"type": "key_hold", "key": "Control++", "time_s": 1.5}, VIEWPORT)
        assert read == {"type": "key_hold", "keys": ["Control", "+"], "time_s": 1.5}

    @pytest.mark.parametrize(("asked", "pressed"), [("Shift+a", "Shift+A"), ("Shift+1", "Shift+!"), ("a", "a")])
    def test_shift_gives_what_it_gives_on_a_keyboard(self, asked: str, pressed: str) -> None:
        assert parse_action({"type": "press", "key": asked}, VIEWPORT)["key"] == pressed


class TestUploads:
    def read(self, *files: Any) -> Any:
        return parse_action({"type": "upload", "files": list(files)}, VIEWPORT)["files"]

    def test_text_and_bytes_come_out_alike(self) -> None:
        text, data = self.read(
            {"name": "a.CSV", "content": "ü,1"},
            {"name": "b.bin", "content_base64": base64.b64encode(b"\0\xff").decode(), "mime_type": "image/x-icon"},
        )
        assert base64.b64decode(text["content_base64"]) == "ü,1".encode()
        assert text["mime_type"] == "text/csv"
        assert data == {"name": "b.bin", "content_base64": "AP8=", "mime_type": "image/x-icon"}

    def test_an_unknown_ending_says_nothing_of_the_type(self) -> None:
        assert self.read({"name": "a.qqq", "content": ""})[0]["mime_type"] == "application/octet-stream"
        assert self.read({"name": "csv", "content": ""})[0]["mime_type"] == "application/octet-stream"

    @pytest.mark.parametrize(
        ("file", "message"),
        [
            ("a", "'files[0]' of 'upload' is 'a', must be an object"),
            ({"name": "a"}, "has neither 'content' nor 'content_base64': it needs one"),
            ({"name": "a", "content": "", "content_base64": ""}, "has both 'content' and 'content_base64': it takes"),
            ({"content": ""}, "'files[0].name' of 'upload' is null, must be a string"),
            ({"name": "", "content": ""}, "a file's name without folders"),
            ({"name": "../a", "content": ""}, "a file's name without folders"),
            ({"name": "..", "content": ""}, "a file's name without folders"),
            ({"name": "a\\b", "content": ""}, "a file's name without folders"),
            ({"name": "a\0b", "content": ""}, "NUL"),
            ({"name": "ü" * 128, "content": ""}, "longer than 255 bytes"),
            ({"name": "a", "content": 1}, "'files[0].content' of 'upload' is 1, must be a string"),
            ({"name": "a", "content": "\udc00"}, "a lone surrogate"),
            ({"name": "a", "content_base64": "!!"}, "is no base64"),
            ({"name": "a", "content_base64": 5}, "is no base64"),
            ({"name": "a", "content": "", "mime_type": "text"}, "must be such as 'text/csv'"),
            ({"name": "a", "content": "", "mime_type": "text/csv\r\nx: y"}, "must be such as 'text/csv'"),
            ({"name": "a", "content": "", "mimetype": "text/csv"}, "did you mean 'mime_type'?"),
        ],
    )
    def test_a_malformed_file_is_explained(self, file: Any, message: str) -> None:
        with pytest.raises(ActionError) as error:
            self.read(file)
        assert message in str(error.value)

    def test_all_files_together_have_a_limit(self) -> None:
        half = {"name": "a", "content": "x" * (1 << 19)}
        assert len(self.read(half, half)) == 2
        with pytest.raises(ActionError, match="1048577 bytes together, at most 1048576"):
            self.read(half, half, {"name": "b", "content": "x"})
        with pytest.raises(ActionError, match="at most 10 files"):
            self.read(*[{"name": "a", "content": ""}] * 11)


class TestKindsLeftOut:
    def test_an_episode_without_a_kind_has_neither_its_schema_nor_its_action(self) -> None:
        kinds = ("answer", "click")
        assert [tool["name"] for tool in tools_of(action_schema(kinds))] == ["click", "answer"]
        assert parse_action({"type": "answer"}, VIEWPORT, kinds) == {"type": "answer"}
        with pytest.raises(ActionError, match=r"no action 'goto' in this episode; there are 'click', 'answer'"):
            parse_action({"type": "goto", "url": "https://a.example"}, VIEWPORT, kinds)

    def test_a_kind_that_there_is_not_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(KeyError):
            action_schema(["clicks"])


_VALUES = st.sampled_from(
    [
        *(
            0,
            1,
            2,
            5.5,
            -1,
            700,
            True,
            False,
            None,
            "",
            "e1",
            "f2e3",
            "left",
            "snapshot",
            "html",
            "Enter",
            "x",
            "Shift",
        ),
        *([], ["Shift"], ["Shift", "Shift"], [[1, 2]], ["a", "b"], {}, {"a": 1}),
    ]
)


@st.composite
def _actions(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([name for name in KINDS if name not in ("upload", "press", "key_hold", "zoom")]))
    members = draw(st.lists(st.sampled_from([*KINDS[kind].members, "other"]), unique=True))
    return {"type": kind, **{name: draw(_VALUES) for name in members}}


@settings(deadline=None)
@given(_actions())
def test_the_schema_and_the_check_agree(action: dict[str, Any]) -> None:
    try:
        parse_action(action, VIEWPORT)
        accepted = True
    except ActionError:
        accepted = False
    assert VALIDATOR.is_valid(action) == accepted


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_nothing_but_an_action_error_comes_of_any_value(kind: str, data: st.DataObject) -> None:
    members = data.draw(st.dictionaries(st.sampled_from([*KINDS[kind].members, "other"]), _JSON, max_size=5))
    try:
        read = parse_action({"type": kind, **members}, VIEWPORT)
    except ActionError as error:
        str(error).encode()
    else:
        json.dumps(read, allow_nan=False).encode()
