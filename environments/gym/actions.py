"""What a policy may ask of the gym environment: parsed here as far as that needs no space, the rest in the sandbox.

An action of the space is a document of the typed codec, or plain JSON where that says enough (2, [0.5]). What it means
is decided by the sandbox, which has the space; so nothing that a policy sent is decoded in the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MAX_ACTION_BYTES = 4 << 20
MAX_STEPS = 100_000
MAX_TEXT = 100_000
FORMATS = ("png", "array")

_ANY = {"description": "A value of the action space: plain JSON, or a document of the typed codec"}
_FLAG = {"type": "boolean"}

MEMBERS: Mapping[str, tuple[str, tuple[str, ...], Mapping[str, Any]]] = {
    "step": ("Take one step.", ("action",), {"action": _ANY}),
    "step_many": (
        "Take steps one after another, to the end of the environment's episode or of the actions.",
        ("actions",),
        {
            "actions": {
                "oneOf": [{"type": "array", "minItems": 1, "maxItems": MAX_STEPS}, {"type": "object"}],
                "description": "A list of values, or one array of the typed codec with an action a row",
            },
            "autoreset": {**_FLAG, "description": "Begin the environment's episode again after its end, and go on"},
            "infos": {**_FLAG, "description": "Observe every step's info, not the last one's alone"},
        },
    ),
    "text": (
        "Take the step that a text names: by number, by name or as JSON.",
        ("text",),
        {"text": {"type": "string", "maxLength": MAX_TEXT}},
    ),
    "call": (
        "Call a tool that the environment has of its own.",
        ("name",),
        {
            "name": {"type": "string", "description": "The tool's name"},
            "arguments": {"type": "object", "description": "Its arguments by name; none when left out"},
        },
    ),
    "render": (
        "Draw the environment as it stands; needs the option `render`.",
        (),
        {"format": {"enum": list(FORMATS), "description": "png (default), or the array itself"}},
    ),
}


class ActionError(ValueError):
    """The action is malformed; the message is fit for the policy."""


def action_schema() -> dict[str, Any]:
    """JSON Schema of every action."""
    return {"oneOf": [_schema(name, *MEMBERS[name]) for name in MEMBERS]}


def _schema(name: str, description: str, required: tuple[str, ...], members: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": {"type": {"const": name}, **members},
        "required": ["type", *required],
        "additionalProperties": False,
    }


def parse_action(value: Any) -> dict[str, Any]:
    """The request to the sandbox that `value`, any JSON value, stands for. Raises: ActionError."""
    name = value.get("type") if isinstance(value, dict) else None
    if not isinstance(name, str) or name not in MEMBERS:
        raise ActionError(f"an action is an object whose 'type' is one of {', '.join(MEMBERS)}")
    _, required, members = MEMBERS[name]
    for key in required:
        if key not in value:
            raise ActionError(f"{name!r} needs a member {key!r}: {members[key].get('description', 'a text')}")
    for key in value:
        if key != "type" and key not in members:
            raise ActionError(f"{name!r} has no member {str(key)[:64]!r}; it takes {', '.join(members)}")
    return {"op": name, **_PARSERS[name](value)}


def encode_request(request: Mapping[str, Any]) -> bytes:
    """As the sandbox is sent it. Raises: ActionError when it is too large or nested too deeply."""
    try:
        data = json.dumps(request).encode()
    except RecursionError:
        raise ActionError("the action is nested too deeply") from None
    if len(data) > MAX_ACTION_BYTES:
        raise ActionError(f"the action has {len(data)} bytes as JSON, at most {MAX_ACTION_BYTES} are allowed")
    return data


def _step_many(value: dict[str, Any]) -> dict[str, Any]:
    actions = value["actions"]
    if not isinstance(actions, list | dict):
        raise ActionError("'actions' must be a list, or one array of the typed codec")
    if isinstance(actions, list) and not 1 <= len(actions) <= MAX_STEPS:
        raise ActionError(f"'actions' has {len(actions)} actions, must be from 1 to {MAX_STEPS}")
    return {"actions": actions, "how": {name: _flag(value, name) for name in ("autoreset", "infos")}}


def _flag(value: dict[str, Any], name: str) -> bool:
    flag = value.get(name, False)
    if not isinstance(flag, bool):
        raise ActionError(f"{name!r} must be true or false")
    return flag


def _text(value: dict[str, Any]) -> dict[str, Any]:
    text = value["text"]
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise ActionError(f"'text' must be a string of at most {MAX_TEXT} characters")
    return {"text": text}


def _call(value: dict[str, Any]) -> dict[str, Any]:
    name, arguments = value["name"], value.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ActionError("'name' must be a string and 'arguments' an object")
    return {"name": name, "arguments": arguments}


def _render(value: dict[str, Any]) -> dict[str, Any]:
    if value.get("format", "png") not in FORMATS:
        raise ActionError(f"'format' must be one of {', '.join(FORMATS)}")
    return {"format": value.get("format", "png")}


_PARSERS = {
    "step": lambda value: {"action": value["action"]},
    "step_many": _step_many,
    "text": _text,
    "call": _call,
    "render": _render,
}
