"""Anthropic's computer use: `computer_20250124`, `computer_20251124` and the toolset `computer_toolset_20260801`.

    {"type": "tool_use", "id": "toolu_1", "name": "computer", "input": {"action": "left_click", "coordinate": [5, 6]}}
    {"type": "tool_use", "id": "toolu_1", "toolset_name": "computer", "name": "left_click", "input": {...}}

Coordinates are pixels of the pictures that the model is shown; a key's `text` is xdotool's. The toolset has the same
actions under their names as tools, and wants its name back with each result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from environments.browser.actions import ActionError
from environments.browser.actions.kinds import MAX_TYPED
from environments.browser.actions.members import read_number, read_text
from environments.browser.computer.keys import chords_of_text, modifiers, presses
from environments.browser.computer.screen import Screen, pictures, told
from environments.environment import JsonObject
from environments.protocols.hints import did_you_mean, names, quoted

TOOL = "computer"
VERSIONS = ("computer_20251124", "computer_20250124", "computer_toolset_20260801")
"""Those with a size of the screen first, the newest of them before the others."""
SCROLL_PIXELS = 100
"""Of one click of the wheel."""
MAX_SCROLL_CLICKS = 100
MAX_REPEAT = 100
MAX_S = 30.0
"""Of waiting and holding: a step has its time. The tool's own limit is 300."""

CLICKS: Mapping[str, JsonObject] = {
    "left_click": {},
    "right_click": {"button": "right"},
    "middle_click": {"button": "middle"},
    "double_click": {"count": 2},
    "triple_click": {"count": 3},
}
_DIRECTIONS: Mapping[str, tuple[int, int]] = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}

MEMBERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "key": (("text",), ("repeat",)),
    "hold_key": (("text", "duration"), ()),
    "type": (("text",), ()),
    "cursor_position": ((), ()),
    "mouse_move": (("coordinate",), ()),
    "left_mouse_down": ((), ()),
    "left_mouse_up": ((), ()),
    **dict.fromkeys(CLICKS, ((), ("coordinate", "text", "key"))),
    "left_click_drag": (("coordinate",), ("start_coordinate", "text")),
    "scroll": (("scroll_direction", "scroll_amount"), ("coordinate", "text")),
    "wait": (("duration",), ()),
    "screenshot": ((), ()),
    "zoom": (("region",), ()),
}
"""Of each action, what it needs and what it may have besides."""


def tool(version: str, screen: Screen) -> JsonObject:
    """The entry in a request's `tools`. Raises: ValueError for a version that there is not."""
    if version == "computer_toolset_20260801":
        return {"type": version}
    size = {"display_width_px": screen.width, "display_height_px": screen.height}
    if version == "computer_20250124":
        return {"type": version, "name": TOOL, **size}
    if version == "computer_20251124":
        return {"type": version, "name": TOOL, **size, "enable_zoom": True}
    raise ValueError(f"there is no version {version!r} of the computer tool")


def tool_schema(screen: Screen) -> JsonObject:
    """The same tool for models that were not taught it: name, description and parameters."""
    point = {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 2, "maxItems": 2}
    members = {
        "action": {"type": "string", "enum": list(MEMBERS), "description": "What to do"},
        "coordinate": {**point, "description": "[x, y]; where the pointer is when left out"},
        "start_coordinate": {**point, "description": "Where left_click_drag begins"},
        "text": {
            "type": "string",
            "maxLength": MAX_TYPED,
            "description": "What to type; a key such as Return or ctrl+a; or keys held during a click or scroll",
        },
        "key": {"type": "string", "description": "Keys held during a click, as text says them"},
        "repeat": {**_whole_from(1, MAX_REPEAT), "description": "How many times the key is pressed"},
        "scroll_direction": {"type": "string", "enum": list(_DIRECTIONS), "description": "For scroll"},
        "scroll_amount": {
            **_whole_from(0, MAX_SCROLL_CLICKS),
            "description": f"Clicks of the wheel, {SCROLL_PIXELS} pixels each",
        },
        "duration": {"type": "number", "minimum": 0, "maximum": MAX_S, "description": "Seconds, for wait and hold_key"},
        "region": {**point, "minItems": 4, "maxItems": 4, "description": "[x0, y0, x1, y1], for zoom"},
    }
    size = f"{screen.width}x{screen.height}"
    return {
        "name": TOOL,
        "description": f"Use the mouse and the keyboard of a screen of {size} pixels, and see it.",
        "parameters": {"type": "object", "properties": members, "required": ["action"]},
    }


def _whole_from(low: int, high: int) -> JsonObject:
    return {"type": "integer", "minimum": low, "maximum": high}


def actions_of(use: Mapping[str, Any], screen: Screen) -> list[JsonObject]:
    """Ours, for a `tool_use` block: to be carried out one after the other. Raises: ActionError."""
    given = use.get("input")
    if not isinstance(given, dict):
        raise ActionError(f"the input is {quoted(given)}, must be an object")
    return read({**given, "action": use.get("name")} if use.get("toolset_name") is not None else given, screen)


def read(given: Mapping[str, Any], screen: Screen) -> list[JsonObject]:
    """Ours, for an `input` with the action's name in it: to be carried out one after the other. Raises: ActionError."""
    given = {name: value for name, value in given.items() if value is not None}
    action = given.pop("action", None)
    if action is None:
        raise ActionError(f"the member 'action' is missing; it is one of {names(MEMBERS)}")
    if not isinstance(action, str) or action not in MEMBERS:
        raise ActionError(f"there is no action {quoted(action)}; {did_you_mean(action, MEMBERS)}")
    needed, possible = MEMBERS[action]
    for name in given:
        if name not in (*needed, *possible):
            raise ActionError(f"{action!r} has no member {quoted(name)}; it takes {names((*needed, *possible))}")
    for name in needed:
        if name not in given:
            raise ActionError(f"{action!r} needs a member {name!r}")
    if action in CLICKS:
        held = modifiers(given.get("text"), given.get("key"))
        return [{"type": "click", **_at(given, screen), **CLICKS[action], **held}]
    return _READERS[action](given, screen)


def mistaken(action: Any) -> str:
    """How an action is written, for `{"action": "key", ...}` and `{"type": "key", ...}`."""
    given = [action.get(name) for name in ("action", "type")] if isinstance(action, dict) else []
    named = [name for name in given if isinstance(name, str) and name in MEMBERS]
    return f'{{"type": "{TOOL}", "action": "{named[0]}", ...}}' if named else ""


def result(use: Mapping[str, Any], observation: Mapping[str, Any], screen: Screen) -> JsonObject:
    """The `tool_result` block that a `tool_use` block gets; `screen` is as it is after the observation."""
    action = use.get("name") if use.get("toolset_name") is not None else (use.get("input") or {}).get("action")
    text = told(observation)
    if action == "cursor_position" and not observation.get("error"):
        x, y = screen.cursor_of_model
        shown = [f"X={x},Y={y}", text]
    else:
        shown = [text]
    blocks: list[JsonObject] = [{"type": "text", "text": each} for each in shown if each]
    blocks += [
        {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
        for kind, data in pictures(observation)
    ]
    block: JsonObject = {
        "type": "tool_result",
        "tool_use_id": use.get("id"),
        "content": blocks or [{"type": "text", "text": "Done."}],
    }
    if use.get("toolset_name") is not None:
        block["toolset_name"] = use["toolset_name"]
    return block | ({"is_error": True} if observation.get("error") else {})


def _at(given: Mapping[str, Any], screen: Screen, name: str = "coordinate") -> JsonObject:
    """Where, or where the pointer is."""
    if name not in given:
        return {"x": screen.cursor[0], "y": screen.cursor[1]}
    x, y = _point(given, name, screen)
    return {"x": x, "y": y}


def _point(given: Mapping[str, Any], name: str, screen: Screen) -> tuple[int, int]:
    value = given[name]
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ActionError(f"{name!r} is {quoted(value)}, must be two numbers [x, y]")
    return screen.point(name, *value)


def _seconds(given: Mapping[str, Any]) -> float:
    duration = read_number("'duration'", given["duration"])
    if not 0 <= duration <= MAX_S:
        raise ActionError(f"'duration' is {quoted(duration)}, must be from 0 to {MAX_S:g} seconds")
    return duration


def _whole(given: Mapping[str, Any], name: str, low: int, high: int) -> int:
    number = read_number(f"{name!r}", given[name], whole=True)
    if not low <= number <= high:
        raise ActionError(f"{name!r} is {quoted(number)}, must be from {low} to {high}")
    return int(number)


def _key(given: Mapping[str, Any], screen: Screen) -> list[JsonObject]:
    count = _whole(given, "repeat", 1, MAX_REPEAT) if "repeat" in given else 1
    return presses(chords_of_text(given["text"]), screen, count)


def _hold_key(given: Mapping[str, Any], screen: Screen) -> list[JsonObject]:
    chords = chords_of_text(given["text"])
    if len(chords) > 1:
        raise ActionError("'hold_key' holds one key or one combination, such as shift or ctrl+a")
    return [{"type": "key_hold", "key": chords[0], "time_s": _seconds(given)}]


def _scroll(given: Mapping[str, Any], screen: Screen) -> list[JsonObject]:
    direction = given["scroll_direction"]
    if not isinstance(direction, str) or direction not in _DIRECTIONS:
        raise ActionError(f"'scroll_direction' is {quoted(direction)}, must be one of {names(_DIRECTIONS)}")
    pixels = SCROLL_PIXELS * _whole(given, "scroll_amount", 0, MAX_SCROLL_CLICKS)
    across, down = _DIRECTIONS[direction]
    place = _at(given, screen) if "coordinate" in given else {}
    return [{"type": "scroll", "dx": across * pixels, "dy": down * pixels, **place, **modifiers(given.get("text"))}]


def _drag(given: Mapping[str, Any], screen: Screen) -> list[JsonObject]:
    to_x, to_y = _point(given, "coordinate", screen)
    start = _at(given, screen, "start_coordinate")
    return [{"type": "drag", **start, "to_x": to_x, "to_y": to_y, **modifiers(given.get("text"))}]


_READERS: Mapping[str, Callable[[Mapping[str, Any], Screen], list[JsonObject]]] = {
    "key": _key,
    "hold_key": _hold_key,
    "type": lambda given, _: [{"type": "type", "text": read_text("'text'", given["text"])}],
    "cursor_position": lambda *_: [{"type": "wait", "time_s": 0}],
    "mouse_move": lambda given, screen: [{"type": "move", **_at(given, screen)}],
    "left_mouse_down": lambda *_: [{"type": "mouse_down"}],
    "left_mouse_up": lambda *_: [{"type": "mouse_up"}],
    "left_click_drag": _drag,
    "scroll": _scroll,
    "wait": lambda given, _: [{"type": "wait", "time_s": _seconds(given)}],
    "screenshot": lambda *_: [{"type": "read_page", "what": "screenshot"}],
    "zoom": lambda given, screen: [{"type": "zoom", **screen.region(given["region"])}],
}
