"""Calls whose arguments are JSON, as several text formats write them.

    {"name": "search", "arguments": {"query": "rain"}}        read_object_call
    search{"query": "rain"}                                   read_named_call

A JSON object tells by itself where it ends, so tags inside of its strings are no tags, and one that is followed by
nothing but the end of the text is complete though its closing tag is missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from environments.protocols.hints import MAX_SHOWN_CHARS, quoted
from environments.protocols.jsontext import JsonError, decode_at, skip_whitespace
from environments.protocols.schema import kind_of

_FENCE = re.compile(r"[ \t\r\n]*+```(?:json|JSON)?+[ \t]*+\r?\n")
_FENCE_END = re.compile(r"[ \t\r\n]*+```")


class CallError(ValueError):
    """The call cannot be read. `code` is the problem's, the message is fit for the policy."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class ReadCall:
    """A call as it stands in the text, not checked against any tool."""

    name: str
    arguments: dict[str, Any]
    end: int
    """Where its text ends."""
    forgiven: list[tuple[str, str]] = field(default_factory=list)
    """Codes and messages of what was wrong with its form alone."""


def read_object_call(text: str, start: int, arguments_key: str = "arguments") -> ReadCall:
    """The object with name and arguments that begins at `start`. Raises: CallError."""
    value, end, forgiven = _read_json(text, start)
    form = f'{{"name": ..., "{arguments_key}": {{...}}}}'
    if not isinstance(value, dict):
        raise CallError("bad_call", f"a call is one object {form}, not {_a(value)}")
    if not isinstance(value.get("name"), str):
        raise CallError("bad_call", f"the call has no 'name' that is a string; write {form}")
    if not isinstance(value.get(arguments_key), dict):
        found = f"is {_a(value[arguments_key])}" if arguments_key in value else "is missing"
        raise CallError("bad_call", f"'{arguments_key}' {found}, must be an object; write {form}")
    if others := [name for name in value if name not in ("name", arguments_key)]:
        forgiven.append(("bad_call", f"a call has no {quoted(others[0])}; write {form}"))
    return ReadCall(value["name"], value[arguments_key], end, forgiven)


def read_named_call(text: str, start: int, closer: str, separator: str = "") -> ReadCall:
    """The name and the object of arguments behind it that begin at `start`. Raises: CallError."""
    form = f"name{separator}{{...}}"
    mark = separator or "{"
    ends = [place for place in (text.find(mark, start), text.find(closer, start) if closer else -1) if place >= 0]
    end = min(ends, default=len(text))
    name = text[start:end].strip()
    if not name or len(name) > MAX_SHOWN_CHARS * 2 or len(name.split()) > 1 or "(" in name:
        raise CallError("bad_call", f"{quoted(name)} is no name of a tool; write {form}")
    if not text.startswith(mark, end):
        raise CallError("bad_call", f"{quoted(name)} has no object of arguments; write {form}")
    return ReadCall(name, *read_arguments(text, end + len(separator)))


def read_arguments(text: str, start: int) -> tuple[dict[str, Any], int, list[tuple[str, str]]]:
    """The object of arguments that begins at `start`, where it ends, and what was forgiven. Raises: CallError."""
    value, end, forgiven = _read_json(text, start)
    if not isinstance(value, dict):
        raise CallError("bad_call", f"the arguments are {_a(value)}, must be an object")
    return value, end, forgiven


def _read_json(text: str, start: int) -> tuple[Any, int, list[tuple[str, str]]]:
    problems: list[tuple[str, str]] = []
    fence = _FENCE.match(text, start)
    try:
        value, end, forgiven = decode_at(text, fence.end() if fence else start)
    except JsonError as error:
        raise CallError("bad_json", str(error)) from None
    if forgiven:
        problems.append(("bad_json", forgiven))
    if fence:
        problems.append(("stray_text", "the JSON is wrapped in a Markdown fence: write it alone"))
        closing = _FENCE_END.match(text, end)
        end = closing.end() if closing else end
    return value, skip_whitespace(text, end), problems


def _a(value: Any) -> str:
    kind = kind_of(value)
    return kind if kind == "null" else f"an {kind}" if kind[0] in "aio" else f"a {kind}"
