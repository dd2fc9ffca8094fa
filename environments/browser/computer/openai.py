"""OpenAI's computer use: one action a call (`computer_use_preview`), or several (`computer`).

    {"type": "computer_call", "call_id": "call_1", "action": {"type": "click", "button": "left", "x": 5, "y": 6}}
    {"type": "computer_call", "call_id": "call_1", "actions": [{"type": "keypress", "keys": ["CTRL", "A"]}, ...]}
    {"type": "computer_call_output", "call_id": "call_1", "output": {"type": "computer_screenshot", "image_url": ...}}

An output is a picture and nothing else: what a picture does not show goes beside it, in a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from environments.browser.actions import ActionError
from environments.browser.actions.kinds import MAX_SCROLL, MAX_TYPED, MAX_VIA
from environments.browser.actions.members import read_number, read_text
from environments.browser.computer.keys import MAX_NAMES, chords_of_names, modifiers, presses
from environments.browser.computer.screen import BLANK_PNG, Screen, pictures, told
from environments.environment import JsonObject
from environments.protocols.hints import did_you_mean, names, quoted

TOOL = "computer"
VERSIONS = ("computer", "computer_use_preview")
"""The newest first."""
WAIT_S = 2.0
"""How long `wait` is: it says no time."""
MAX_ACTIONS = 50
MAX_PATH = 10_000
_BUTTONS: Mapping[str, JsonObject] = {
    "left": {"type": "click"},
    "right": {"type": "click", "button": "right"},
    "wheel": {"type": "click", "button": "middle"},
    "middle": {"type": "click", "button": "middle"},
    "back": {"type": "back"},
    "forward": {"type": "forward"},
}

MEMBERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "click": (("x", "y"), ("button", "keys")),
    "double_click": (("x", "y"), ("keys",)),
    "drag": (("path",), ("keys",)),
    "keypress": (("keys",), ()),
    "move": (("x", "y"), ("keys",)),
    "screenshot": ((), ()),
    "scroll": (("x", "y"), ("scroll_x", "scroll_y", "keys")),
    "type": (("text",), ()),
    "wait": ((), ()),
}
"""Of each action, what it needs and what it may have besides."""

_PLACE: JsonObject = {"type": "number", "minimum": 0}
_SCROLL: JsonObject = {"type": "number", "minimum": -MAX_SCROLL, "maximum": MAX_SCROLL}
_TYPES: Mapping[str, JsonObject] = {
    "x": {**_PLACE, "description": "Pixels from the left edge"},
    "y": {**_PLACE, "description": "Pixels from the top edge"},
    "button": {"type": "string", "enum": list(_BUTTONS), "description": "left when left out"},
    "keys": {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "description": "Keys such as ENTER, CTRL or A: pressed together, or held during what is done with the mouse",
    },
    "path": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"x": _PLACE, "y": _PLACE},
            "required": ["x", "y"],
            "additionalProperties": False,
        },
        "minItems": 2,
        "maxItems": MAX_PATH,
        "description": "Where the mouse goes, from the first point to the last",
    },
    "scroll_x": {**_SCROLL, "description": "Pixels to the right"},
    "scroll_y": {**_SCROLL, "description": "Pixels down; negative is up"},
    "text": {"type": "string", "maxLength": MAX_TYPED, "description": "What to type"},
}
_PRESSED: JsonObject = {"minItems": 1, "maxItems": MAX_NAMES}
"""There may be no keys to hold, but there are some to press."""


def tool(version: str, screen: Screen) -> JsonObject:
    """The entry in a request's `tools`. Raises: ValueError for a version that there is not."""
    if version == "computer":
        return {"type": version}
    if version == "computer_use_preview":
        size = {"display_width": screen.width, "display_height": screen.height}
        return {"type": version, **size, "environment": "browser"}
    raise ValueError(f"there is no version {version!r} of the computer tool")


def tool_schema(screen: Screen) -> JsonObject:
    """The same tool for models that were not taught it: name, description and parameters."""
    size = f"{screen.width}x{screen.height}"
    return {
        "name": TOOL,
        "description": f"Use the mouse and the keyboard of a screen of {size} pixels, and see it.",
        "parameters": {
            "type": "object",
            "properties": {"actions": _several()},
            "required": ["actions"],
        },
    }


def call_schema() -> JsonObject:
    """JSON Schema of what a `computer_call` says is to be done: several actions, or one."""
    return {
        "type": "object",
        "properties": {"actions": _several(), "action": _any()},
        "oneOf": [{"required": ["actions"]}, {"required": ["action"]}],
    }


def _several() -> JsonObject:
    return {
        "type": "array",
        "items": _any(),
        "minItems": 1,
        "maxItems": MAX_ACTIONS,
        "description": "Carried out one after the other; the screen is seen after the last",
    }


def _any() -> JsonObject:
    return {"oneOf": [_schema(kind) for kind in MEMBERS]}


def _schema(kind: str) -> JsonObject:
    needed, possible = MEMBERS[kind]
    members = {name: _TYPES[name] for name in (*needed, *possible)}
    if kind == "keypress":
        members["keys"] = {**members["keys"], **_PRESSED}
    return {
        "type": "object",
        "properties": {"type": {"const": kind}, **members},
        "required": ["type", *needed],
        "additionalProperties": False,
    }


def actions_of(call: Mapping[str, Any], screen: Screen) -> list[JsonObject]:
    """Ours, for a `computer_call`: to be carried out one after the other. Raises: ActionError."""
    return [
        action
        for each in parts({"actions": call.get("actions"), "action": call.get("action")})
        for action in read(each, screen)
    ]


def parts(members: Mapping[str, Any]) -> list[Any]:
    """The actions of a call, of which these are all members that say what to do. Raises: ActionError."""
    given = {name: value for name, value in members.items() if value is not None}
    if set(given) == {"action"}:
        return [given["action"]]
    listed = given.get("actions")
    if set(given) != {"actions"} or not isinstance(listed, list) or not 1 <= len(listed) <= MAX_ACTIONS:
        raise ActionError(
            f"{TOOL!r} has 'actions', a list of from 1 to {MAX_ACTIONS}, or one 'action'; and nothing else"
        )
    return listed


def mistaken(action: Any) -> str:
    """How an action is written, for `{"type": "click", ...}`."""
    kind = action.get("type") if isinstance(action, dict) else None
    known = isinstance(kind, str) and kind in MEMBERS
    return f'{{"type": "{TOOL}", "actions": [{{"type": "{kind}", ...}}]}}' if known else ""


def result(
    call: Mapping[str, Any],
    observation: Mapping[str, Any],
    screen: Screen,
    last_picture: tuple[str, str] = ("image/png", BLANK_PNG),
) -> list[JsonObject]:
    """The items that a `computer_call` gets. An action that was refused has no picture: then it is the last one."""
    kind, data = next(iter(pictures(observation)), last_picture)
    output: JsonObject = {
        "type": "computer_call_output",
        "call_id": call.get("call_id"),
        "output": {"type": "computer_screenshot", "image_url": f"data:{kind};base64,{data}"},
    }
    if checks := call.get("pending_safety_checks"):
        output["acknowledged_safety_checks"] = checks
    text = told(observation)
    return [output, *([{"role": "user", "content": [{"type": "input_text", "text": text}]}] if text else [])]


def read(given: Any, screen: Screen) -> list[JsonObject]:
    """Ours, for one action. Raises: ActionError."""
    if not isinstance(given, dict):
        raise ActionError(f"an action is an object with a member 'type', not {quoted(given)}")
    kind = given.get("type")
    if kind is None:
        raise ActionError(f"the member 'type' is missing; it is one of {names(MEMBERS)}")
    if not isinstance(kind, str) or kind not in MEMBERS:
        raise ActionError(f"there is no action {quoted(kind)}; {did_you_mean(kind, MEMBERS)}")
    given = {name: value for name, value in given.items() if value is not None and name != "type"}
    needed, possible = MEMBERS[kind]
    for name in given:
        if name not in (*needed, *possible):
            raise ActionError(f"{kind!r} has no member {quoted(name)}; it takes {names((*needed, *possible))}")
    for name in needed:
        if name not in given:
            raise ActionError(f"{kind!r} needs a member {name!r}")
    return _READERS[kind](given, screen)


def _at(given: Mapping[str, Any], screen: Screen) -> JsonObject:
    x, y = screen.point("the place", given["x"], given["y"])
    return {"x": x, "y": y}


def _click(given: Mapping[str, Any], screen: Screen) -> list[JsonObject]:
    button = given.get("button", "left")
    if not isinstance(button, str) or button not in _BUTTONS:
        raise ActionError(f"'button' is {quoted(button)}, must be one of {names(_BUTTONS)}")
    action, place, held = _BUTTONS[button], _at(given, screen), modifiers(given.get("keys"))
    if action["type"] == "click":
        return [{**action, **place, **held}]
    if held:
        raise ActionError(f"no keys are held during {button!r}, which is the browser's own")
    return [dict(action)]


def _drag(given: Mapping[str, Any], screen: Screen) -> list[JsonObject]:
    path = given["path"]
    if not isinstance(path, list) or not 2 <= len(path) <= MAX_PATH:
        raise ActionError(f"'path' must be a list of at least two points {{x, y}}, at most {MAX_PATH}")
    (x, y), *between, (to_x, to_y) = [_path_point(f"path[{number}]", each, screen) for number, each in enumerate(path)]
    if len(between) > MAX_VIA:  # as many as there may be, at even distances
        between = [between[number * len(between) // MAX_VIA] for number in range(MAX_VIA)]
    via = {"via": [list(point) for point in between]} if between else {}
    return [{"type": "drag", "x": x, "y": y, "to_x": to_x, "to_y": to_y, **via, **modifiers(given.get("keys"))}]


def _path_point(name: str, value: Any, screen: Screen) -> tuple[int, int]:
    if isinstance(value, dict) and set(value) == {"x", "y"}:
        return screen.point(name, value["x"], value["y"])
    if isinstance(value, list) and len(value) == 2:
        return screen.point(name, *value)
    raise ActionError(f"{name} is {quoted(value)}, must be a point {{x, y}}")


def _scroll(given: Mapping[str, Any], screen: Screen) -> list[JsonObject]:
    far = [read_number(f"{name!r}", given.get(name, 0)) for name in ("scroll_x", "scroll_y")]
    if any(abs(each) > MAX_SCROLL for each in far):
        raise ActionError(f"'scroll_x' and 'scroll_y' must be from -{MAX_SCROLL} to {MAX_SCROLL}")
    # The pixels of a screen that is smaller than the viewport are larger, and no action scrolls further than that.
    dx, dy = (max(-MAX_SCROLL, min(each, MAX_SCROLL)) for each in screen.distance(*far))
    return [{"type": "scroll", "dx": dx, "dy": dy, **_at(given, screen), **modifiers(given.get("keys"))}]


_READERS: Mapping[str, Callable[[Mapping[str, Any], Screen], list[JsonObject]]] = {
    "click": _click,
    "double_click": lambda given, screen: [
        {"type": "click", **_at(given, screen), "count": 2, **modifiers(given.get("keys"))}
    ],
    "drag": _drag,
    "keypress": lambda given, screen: presses(chords_of_names(given["keys"]), screen),
    "move": lambda given, screen: [{"type": "move", **_at(given, screen), **modifiers(given.get("keys"))}],
    "screenshot": lambda *_: [{"type": "read_page", "what": "screenshot"}],
    "scroll": _scroll,
    "type": lambda given, _: [{"type": "type", "text": read_text("'text'", given["text"])}],
    "wait": lambda *_: [{"type": "wait", "time_s": WAIT_S}],
}
