"""Tools as data files describe them: their JSON Schemas, and whether arguments fit.

The check is linear in the size of the arguments: no patterns, no references, no combinations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from environments.environment import JsonObject

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
MAX_DEPTH = 32
MAX_PROBLEMS = 5


def problems(schema: Mapping[str, Any], arguments: JsonObject) -> list[str]:
    """What is wrong with the arguments of a tool, in sentences that a model can act on; none if they fit."""
    found = []
    for problem in _check(schema, arguments, "", 0):
        found.append(problem)
        if len(found) == MAX_PROBLEMS:
            break
    return found


def _check(schema: Mapping[str, Any], value: Any, place: str, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        yield f"{place}: it is nested more than {MAX_DEPTH} deep"
        return
    for combined in ("anyOf", "oneOf"):
        if combined in schema and all(any(_check(each, value, place, depth + 1)) for each in schema[combined]):
            yield f"{_name(place)} is {_shown(value)}, which none of its alternatives takes"
    kind = schema.get("type")
    kinds = [kind] if isinstance(kind, str) else kind or []
    if kinds and not any(_is(value, each) for each in kinds):
        yield f"{_name(place)} is {_shown(value)}, must be of type {' or '.join(kinds)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{_name(place)} is {_shown(value)}, must be one of {', '.join(map(_shown, schema['enum'][:20]))}"
    if isinstance(value, dict):
        yield from _check_members(schema, value, place, depth)
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for number, item in enumerate(value):
            yield from _check(schema["items"], item, f"{place}[{number}]", depth + 1)


def _check_members(schema: Mapping[str, Any], value: JsonObject, place: str, depth: int) -> Iterator[str]:
    known = schema.get("properties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{_name(_inner(place, name))} is missing"
    if known is None:
        return
    for name, member in value.items():
        if name in known:
            yield from _check(known[name], member, _inner(place, name), depth + 1)
        elif schema.get("additionalProperties", bool(place)) is False:
            yield f"there is no argument {_inner(place, name[:64])!r}; it takes {', '.join(map(repr, known)) or 'none'}"


def _is(value: Any, kind: str) -> bool:
    types = TYPES.get(kind)
    if types is None:
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, types)


def _inner(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _name(place: str) -> str:
    return f"the argument {place!r}" if place else "what it is given"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 64 else f"{text[:64]}…"


def names(tools: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of described tools. Raises: ValueError where two have one name."""
    found = [tool["name"] for tool in tools]
    if len(set(found)) != len(found):
        raise ValueError(f"two tools have one name: {sorted(name for name in found if found.count(name) > 1)[0]}")
    return found
