"""Checks arguments against a tool's parameters: the part of JSON Schema that function signatures need.

Types, required and unknown names, `enum`, `const`, bounds, `items`, `anyOf`, `oneOf`, `allOf` and local `$ref`, never
`pattern` or `format`: a regular expression on a policy's text is not known to end. Three things are stricter than JSON
Schema, since arguments are handed to typed functions: 1.0 is no integer, `oneOf` is `anyOf`, and names that
`properties` does not list are refused unless `additionalProperties` says otherwise. What is not understood is not
checked.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from environments.protocols.hints import MAX_NAMED, did_you_mean, names, nearest, quoted, there_are

MAX_ERRORS = 3
_MAX_CHECKS = 100_000
"""Schemas that refer to themselves in alternatives could make checking exponential: it ends here."""
_MAX_DEPTH = 200
_MAX_NAMED_DEPTH = 8
"""Types are looked for in alternatives of alternatives, so deep."""

Schema = Mapping[str, Any]

_KINDS: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def kind_of(value: Any) -> str:
    """JSON Schema's name of the value's type."""
    return _KINDS.get(type(value)) or type(value).__name__


def check_arguments(arguments: Mapping[str, Any], parameters: Schema) -> list[str]:
    """What does not fit, in sentences for the policy; at most `MAX_ERRORS`."""
    return _Checker(parameters).check(arguments, parameters, "", 0)[:MAX_ERRORS]


def allowed_kinds(schema: Any, root: Schema) -> frozenset[str]:
    """The types that a value may have, where the schema names any."""
    checker = _Checker(root)
    return frozenset(checker.kinds(schema, 0))


def schema_like(arguments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A schema that such arguments fit, with the types that they have."""
    kinds: dict[str, list[str]] = {}
    for each in arguments:
        for name, value in each.items():
            kinds.setdefault(name, []).append(kind_of(value))
    return {"type": "object", "properties": {name: {"type": sorted(set(found))} for name, found in kinds.items()}}


_BOUNDS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least", operator.ge),
    "maximum": ("at most", operator.le),
    "exclusiveMinimum": ("more than", operator.gt),
    "exclusiveMaximum": ("less than", operator.lt),
}


class _Checker:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._checks_left = _MAX_CHECKS

    def check(self, value: Any, schema: Any, path: str, depth: int) -> list[str]:
        self._checks_left -= 1
        if self._checks_left < 0 or depth > _MAX_DEPTH:
            return [f"{_named(path)} is too intricate to be checked"]
        schema = self._resolved(schema)
        if not isinstance(schema, Mapping):
            return [f"{_named(path)} is not allowed"] if schema is False else []
        return (
            _check_kind(value, schema, path)
            or _check_choice(value, schema, path)
            or _check_bounds(value, schema, path)
            or self._check_alternatives(value, schema, path, depth)
            or self._check_members(value, schema, path, depth)
        )

    def kinds(self, schema: Any, depth: int) -> list[str]:
        self._checks_left -= 1
        schema = self._resolved(schema)
        if not isinstance(schema, Mapping) or depth > _MAX_NAMED_DEPTH or self._checks_left < 0:
            return []
        found = list(_types(schema))
        for alternative in _alternatives(schema):
            found += self.kinds(alternative, depth + 1)
        return found or [kind_of(choice) for choice in schema.get("enum", ())]

    def _resolved(self, schema: Any) -> Any:
        for _ in range(16):  # a chain of references that is longer is a circle
            if not (isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str)):
                return schema
            target: Any = self._root
            for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
                target = target.get(step) if isinstance(target, Mapping) and step else target
            schema = target
        return True

    def _check_alternatives(self, value: Any, schema: Schema, path: str, depth: int) -> list[str]:
        for part in schema.get("allOf", ()):
            if errors := self.check(value, part, path, depth + 1):
                return errors
        alternatives = [self._resolved(each) for each in _alternatives(schema)]
        if not alternatives:
            return []
        tag = _tag(value, alternatives) if isinstance(value, dict) else None
        if tag is not None:
            objects = _objects(alternatives)
            if errors := _check_tag(value, tag, [text for each in objects for text in _texts(each, tag)], path):
                return errors
            alternatives = [each for each in objects if value[tag] in _texts(each, tag)]
        found = [self.check(value, each, path, depth + 1) for each in alternatives]
        if [] in found:
            return []
        meant = [pair for pair in zip(alternatives, found, strict=True) if self._may_mean(value, pair[0])]
        if len(meant) > 1 and all(map(_choices, (each for each, _ in meant))):
            return _check_choice(value, {"enum": [choice for each, _ in meant for choice in _choices(each)]}, path)
        if meant:
            return min(meant, key=lambda pair: (-_common(value, pair[0]), len(pair[1])))[1]
        wanted = " or ".join(dict.fromkeys(self.kinds(schema, 0))) or "one of the alternatives"
        return [f"{_named(path)} is {_shown(value)}, must be {wanted}"]

    def _may_mean(self, value: Any, alternative: Any) -> bool:
        """Whether a value of this type may fit at all."""
        kinds, kind = self.kinds(alternative, 0), kind_of(value)
        if not kinds and (choices := _choices(alternative)):
            kinds = [kind_of(choice) for choice in choices]
        return not kinds or kind in kinds or (kind == "integer" and "number" in kinds)

    def _check_members(self, value: Any, schema: Schema, path: str, depth: int) -> list[str]:
        if isinstance(value, dict):
            return self._check_object(value, schema, path, depth)
        items = schema.get("items")
        if not isinstance(value, list) or items is None:
            return []
        errors: list[str] = []
        for number, item in enumerate(value):
            errors += self.check(item, items, f"{path}[{number}]", depth + 1)
            if len(errors) >= MAX_ERRORS:
                break
        return errors

    def _check_object(self, value: dict[str, Any], schema: Schema, path: str, depth: int) -> list[str]:
        members = schema.get("properties", {})
        others = schema.get("additionalProperties", not members)
        errors = [_missing(path, name, members) for name in schema.get("required", ()) if name not in value]
        for name, member in value.items():
            if name in members:
                errors += self.check(member, members[name], _join(path, name), depth + 1)
            elif others is False:
                errors.append(_unknown(path, name, members))
            else:
                errors += self.check(member, others, _join(path, name), depth + 1)
            if len(errors) >= MAX_ERRORS:
                break
        return errors


def _types(schema: Schema) -> Sequence[str]:
    kind = schema.get("type", ())
    return (kind,) if isinstance(kind, str) else kind


def _alternatives(schema: Schema) -> list[Any]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _objects(alternatives: Sequence[Any]) -> list[Schema]:
    """Those that an object may fit."""
    found = [each for each in alternatives if isinstance(each, Mapping)]
    return [each for each in found if "object" in (_types(each) or ("object",))]


def _texts(alternative: Schema, name: str) -> list[str]:
    """The texts that the member `name` may have in this alternative; none where it may be something else."""
    choices = _choices(alternative.get("properties", {}).get(name))
    return list(choices) if all(isinstance(choice, str) for choice in choices) else []


def _tag(value: Mapping[str, Any], alternatives: Sequence[Any]) -> str | None:
    """The member by which objects are told apart, such as `type`: each has it, with texts of its own."""
    objects = _objects(alternatives)
    for name in objects[0].get("properties", ()) if len(objects) > 1 else ():
        first = _texts(objects[0], name)
        if not first or not all(_texts(each, name) for each in objects):
            continue
        needed = name in value or all(name in each.get("required", ()) for each in objects)
        if needed and any(_texts(each, name) != first for each in objects):
            return str(name)
    return None


def _check_tag(value: Mapping[str, Any], tag: str, kinds: Sequence[str], path: str) -> list[str]:
    member = _join(path, tag)
    known = dict.fromkeys(kinds)
    if tag not in value:
        return [f"the argument {member!r} is missing: {there_are(known)}"]
    if isinstance(value[tag], str) and value[tag] in known:
        return []
    return [f"{_named(member)} is {_shown(value[tag])}; {did_you_mean(value[tag], known)}"]


def _choices(schema: Any) -> Sequence[Any]:
    """The values that there are, where the schema lists them."""
    if not isinstance(schema, Mapping):
        return ()
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _common(value: Any, alternative: Any) -> int:
    """How many members of an object the alternative names."""
    if not isinstance(value, dict) or not isinstance(alternative, Mapping):
        return 0
    return len(value.keys() & {*alternative.get("properties", ()), *alternative.get("required", ())})


def _check_kind(value: Any, schema: Schema, path: str) -> list[str]:
    wanted = _types(schema)
    kind = kind_of(value)
    if not wanted or kind in wanted or (kind == "integer" and "number" in wanted):
        return []
    return [f"{_named(path)} is {_shown(value)}, must be {' or '.join(_with_article(each) for each in wanted)}"]


def _check_choice(value: Any, schema: Schema, path: str) -> list[str]:
    choices = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    if choices is None or any(kind_of(value) == kind_of(choice) and value == choice for choice in choices):
        return []
    if len(choices) > MAX_NAMED and isinstance(value, str):
        near = nearest(value, [choice for choice in choices if isinstance(choice, str)])
        choices = [*near, *(choice for choice in choices if choice not in near)]
    return [f"{_named(path)} is {_shown(value)}, must be {'one of ' if len(choices) > 1 else ''}{names(choices)}"]


def _check_bounds(value: Any, schema: Schema, path: str) -> list[str]:
    kind = kind_of(value)
    if kind in ("integer", "number"):
        return _check_number(value, schema, path)
    sized = {"string": ("Length", "characters"), "array": ("Items", "items"), "object": ("Properties", "members")}
    if kind not in sized:
        return []
    suffix, unit = sized[kind]
    low, high = schema.get(f"min{suffix}"), schema.get(f"max{suffix}")
    if low is not None and len(value) < low:
        return [f"{_named(path)} has {len(value)} {unit}, at least {low} are needed"]
    if high is not None and len(value) > high:
        return [f"{_named(path)} has {len(value)} {unit}, at most {high} are allowed"]
    return []


def _check_number(value: float, schema: Schema, path: str) -> list[str]:
    for name, (words, holds) in _BOUNDS.items():
        bound = schema.get(name)
        if bound is not None and not holds(value, bound):
            return [f"{_named(path)} is {_shown(value)}, must be {words} {bound}"]
    return []


def _missing(path: str, name: str, members: Mapping[str, Any]) -> str:
    about = members.get(name)
    description = about.get("description") if isinstance(about, Mapping) else None
    return f"the argument {_join(path, name)!r} is missing{f': {description}' if description else ''}"


def _unknown(path: str, name: str, members: Mapping[str, Any]) -> str:
    hint = did_you_mean(name, members)
    listed = f" it takes {names(members)}" if hint.startswith("did") else ""
    return f"there is no argument {quoted(_join(path, name))}; {hint}{listed}"


def _named(path: str) -> str:
    return f"{path[:64]!r}" if path else "the object of arguments"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    return f"the string {quoted(value)}" if isinstance(value, str) else quoted(value)


def _with_article(kind: str) -> str:
    return kind if kind == "null" else f"an {kind}" if kind[0] in "aio" else f"a {kind}"
