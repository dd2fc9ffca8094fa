"""What the program in the sandbox saw, read with care: whoever breaks the browser speaks in its place.

Types and sizes are checked here, and nothing else is believed of it: no reward is made of what is seen.
"""

from __future__ import annotations

import binascii
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
        "cursor": {"type": "object", "description": "x and y of the pointer, where that is known"},
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
        "permissions": {"type": "array", "description": "What pages asked for: permission, origin, and the answer"},
        "console_errors": {"type": "array", "items": _TEXT},
        "notices": {"type": "array", "items": _TEXT, "description": "What happened by itself"},
        "left_out": {**_WHOLE, "description": "How many more of these happened than are listed"},
        "loading": {"type": "boolean", "description": "A page was still loading when this was looked at"},
        "error": {**_TEXT, "description": "Why the action did not work"},
    },
}

LONG = frozenset({"text", "changes", "html", "text_content", "found", "read"})
"""As long as the episode's options say."""
MAX_SHORT = 4000
"""Characters of any other text."""
MAX_LISTED = 64
MAX_PICTURES, MAX_PICTURE = 2, 12_000_000
MAX_NUMBER = 2**53

Shape = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_SHORT


def _whole(value: Any) -> bool:
    return type(value) is int and abs(value) < MAX_NUMBER


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < MAX_NUMBER


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _none(value: Any) -> bool:
    return value is None


def _either(*shapes: Shape) -> Shape:
    return lambda value: any(shape(value) for shape in shapes)


def _list(shape: Shape, most: int = MAX_LISTED) -> Shape:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(shape, value))


def _object(**members: Shape) -> Shape:
    """Of these members; not each has to be there."""

    def fits(value: Any) -> bool:
        return isinstance(value, dict) and all(name in members and members[name](each) for name, each in value.items())

    return fits


def _base64(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > MAX_PICTURE:
        return False
    try:
        binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        return False
    return True


def _is_picture(value: Any) -> bool:
    kind = _object(format=lambda said: said in ("png", "webp"), data=_base64)
    return kind(value) and len(value) == 2


_KINDS: Mapping[str, Shape] = {
    **dict.fromkeys(("url", "title", "cut", "error"), _text),
    **dict.fromkeys(("tab", "left_out"), _whole),
    **dict.fromkeys(("console_errors", "notices"), _list(_text)),
    "tabs": _list(_object(tab=_whole, url=_text, title=_text)),
    "dialogs": _list(_object(type=_text, message=_text, answer=_text)),
    "downloads": _list(_object(name=_text, url=_text, path=_text, bytes=_whole, error=_text)),
    "permissions": _list(_object(permission=_text, origin=_text, answer=_text)),
    "focus": _either(_none, _object(tag=_text, name=_text)),
    "scroll": _object(x=_whole, y=_whole, width=_whole, height=_whole),
    "cursor": _object(x=_number, y=_number),
    "dialog": _object(type=_text, message=_text, default=_text),
    "file_chooser": _object(multiple=_flag),
    "loading": _flag,
    "images": _list(_is_picture, MAX_PICTURES),
}


def observation(done: Mapping[str, Any], max_chars: int) -> JsonObject:
    """What the policy is shown. Raises: JunkError."""
    said = done.get("observation")
    if not isinstance(said, dict):
        raise JunkError("there is no observation")
    for name, value in said.items():
        if name in LONG:
            fits = isinstance(value, str) and len(value) <= max_chars
        else:
            fits = name in _KINDS and _KINDS[name](value)
        if not fits:
            raise JunkError(f"{str(name)[:64]!r} is not what an observation holds")
    return dict(said)


def refused(done: Mapping[str, Any]) -> list[str]:
    """Addresses that tabs had and must not have. Raises: JunkError."""
    said: list[str] = done.get("refused", [])
    if not _list(_text)(said):
        raise JunkError("what was refused is no list of addresses")
    return said


def starts(done: Mapping[str, Any]) -> int:
    """How often the browser has been started. Raises: JunkError."""
    said: int = done.get("starts", 1)
    if not _whole(said):
        raise JunkError("how often the browser was started is no number")
    return said
