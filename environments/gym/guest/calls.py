"""Calls of an environment's own tools, held against their schemas before anything is done.

Understood is what tools of simulators need: objects of numbers, integers, booleans and strings, with bounds and
choices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from environments.gym.guest.actions import RefusedError

Tool = Mapping[str, Any]

TYPES: Mapping[str, Callable[[Any], bool]] = {
    "number": lambda value: type(value) in (int, float),
    "integer": lambda value: type(value) is int,
    "boolean": lambda value: type(value) is bool,
    "string": lambda value: type(value) is str,
}


def check_call(tools: Sequence[Tool], name: str, arguments: Mapping[str, Any]) -> None:
    """Raises: RefusedError for another tool, and for arguments that do not fit."""
    known = {tool["name"]: tool["parameters"] for tool in tools}
    if name not in known:
        there = f"there are {', '.join(known)}" if known else "this environment has none"
        raise RefusedError(f"there is no tool {name[:64]!r}; {there}")
    properties = known[name]["properties"]
    for argument in known[name].get("required", ()):
        if argument not in arguments:
            raise RefusedError(f"{name!r} needs the argument {argument!r}: {_right(properties[argument])}")
    for argument, value in arguments.items():
        if argument not in properties:
            takes = ", ".join(properties) or "none"
            raise RefusedError(f"{name!r} has no argument {argument[:64]!r}; it takes {takes}")
        if not _fits(properties[argument], value):
            raise RefusedError(
                f"{argument!r} of {name!r} is {str(value)[:64]!r}; right is {_right(properties[argument])}"
            )


def _fits(schema: Mapping[str, Any], value: Any) -> bool:
    if not TYPES[schema["type"]](value):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


def _right(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if "minimum" in schema or "maximum" in schema:
        low, high = schema.get("minimum", "any"), schema.get("maximum", "any")
        return f"{_a(schema['type'])} from {low} to {high}"
    return _a(schema["type"])


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "integer" else f"a {kind}"
