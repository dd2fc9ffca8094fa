"""What the program in the sandbox saw, read with care: whoever breaks the browser speaks in its place.

Types and sizes are checked here, and nothing else is believed of it: no reward is made of what is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from environments.environment import JsonObject
from environments.programs import JunkError

_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}

_IMAGES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"format": {"enum": ["png", "webp"]}, "data": {**_TEXT, "contentEncoding": "base64"}},
    },
}

OBSERVATION_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "prompt": {**_TEXT, "description": "What is to be done; in the first observation"},
        "goal": {**_TEXT, "description": "What the first page says is to be done; in the first observation"},
        "computer": {"type": "object", "description": "The provider's own tool; in the first observation"},
        "url": _TEXT,
        "title": _TEXT,
        "tab": {**_WHOLE, "description": "The number of the tab that actions act on"},
        "tabs": {"type": "array", "items": {"type": "object"}, "description": "Each with tab, url and title"},
        "focus": {"type": ["object", "null"], "description": "What has the keyboard: tag and name"},
        "cursor": {"type": "object", "description": "x and y of the pointer, once coordinates have moved it"},
        "scroll": {"type": "object", "description": "x, y, and the document's width and height, in CSS pixels"},
        "text": {**_TEXT, "description": "The page as an outline with refs"},
        "changes": {**_TEXT, "description": "In place of the text: what is not as it was"},
        "html": _TEXT,
        "text_content": _TEXT,
        "found": {**_TEXT, "description": "What `find` has found"},
        "read": {**_TEXT, "description": "What `read_page` has read"},
        "cut": {**_TEXT, "description": "What was left out, and how to see it"},
        "images": _IMAGES,
        "dialog": {"type": "object", "description": "A page's question: type, message, default"},
        "file_chooser": {"type": "object", "description": "The page asks for a file; multiple: or for several"},
        "dialogs": {"type": "array", "description": "Questions that were answered since"},
        "downloads": {"type": "array", "description": "Each with name, url, and path and bytes, or error"},
        "console_errors": {"type": "array", "items": _TEXT},
        "notices": {"type": "array", "items": _TEXT, "description": "What happened by itself"},
        "left_out": {**_WHOLE, "description": "How many more of these happened than are listed"},
        "loading": {"type": "boolean", "description": "The page was still loading when it was looked at"},
        "error": {**_TEXT, "description": "Why the action did not work"},
    },
}

MAX_TEXT = 500_000
MAX_PICTURE = 12_000_000


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _is_small(value: Any) -> bool:
    """JSON that is not large; the rest of its shape is nobody's business."""
    return len(str(value)) <= MAX_TEXT


def _are_images(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 4
        and all(isinstance(each, dict) and set(each) == {"format", "data"} for each in value)
        and all(each["format"] in ("png", "webp") and isinstance(each["data"], str) for each in value)
        and all(len(each["data"]) <= MAX_PICTURE for each in value)
    )


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("url", "title", "text", "changes", "html", "text_content", "found", "read", "cut", "error"), _is_text
    ),
    **dict.fromkeys(("tab", "left_out"), lambda value: type(value) is int),
    **dict.fromkeys(
        ("tabs", "dialogs", "downloads", "console_errors", "notices"), lambda v: isinstance(v, list) and _is_small(v)
    ),
    **dict.fromkeys(
        ("focus", "scroll", "cursor", "dialog", "file_chooser"),
        lambda v: (v is None or isinstance(v, dict)) and _is_small(v),
    ),
    "loading": lambda value: isinstance(value, bool),
    "images": _are_images,
}


def observation(done: Mapping[str, Any]) -> JsonObject:
    """What the policy is shown. Raises: JunkError."""
    said = done.get("observation")
    if not isinstance(said, dict):
        raise JunkError("there is no observation")
    for name, value in said.items():
        if name not in _KINDS or not _KINDS[name](value):
            raise JunkError(f"{str(name)[:64]!r} is not what an observation holds")
    return dict(said)


def refused(done: Mapping[str, Any]) -> list[str]:
    """Addresses that tabs had and must not have. Raises: JunkError."""
    said = done.get("refused", [])
    if not isinstance(said, list) or len(said) > 100 or not all(_is_text(each) for each in said):
        raise JunkError("what was refused is no list of addresses")
    return said
