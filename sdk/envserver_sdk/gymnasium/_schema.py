"""A JSON Schema as something that checks values and makes them: what `JsonSpace` stands on.

Understood are the keywords that servers publish: `type`, `const`, `enum`, `oneOf`, `anyOf`, `allOf`, `not`,
`properties`, `required`, `additionalProperties`, `items`, the bounds of numbers, strings and arrays, `uniqueItems`,
`pattern`, and `$ref` into `$defs`. Annotations are passed over. Any other keyword is an error where the schema is
compiled: passed over, it would let wrong values in.

A schema compiles to `Node`s. A value is made by the keyword that says most about it (`const` before `enum`,
alternatives before `type`, unless they are alternatives of the object's own members; of a `pattern`, one of the
`examples` where there are any) and then checked against the whole schema, so that a made value is always a valid one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from envserver_sdk.gymnasium._text import is_text, sample_text

Schema = Mapping[str, Any]
Rng = np.random.Generator

ANNOTATIONS = frozenset(
    "$schema $id $comment $defs title description default examples deprecated readOnly writeOnly format "
    "contentEncoding contentMediaType discriminator".split()
)
ASSERTIONS = frozenset(
    "type const enum oneOf anyOf allOf not $ref properties required additionalProperties items minItems maxItems "
    "uniqueItems minLength maxLength pattern minimum maximum exclusiveMinimum exclusiveMaximum".split()
)
TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) is int or (type(value) is float and math.isfinite(value)),
    "string": lambda value: isinstance(value, str) and is_text(value),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict) and all(TYPES["string"](key) for key in value),
}

TRIES = 100
"""How often a value is made before the schema counts as one that nothing fits."""
MAX_DEPTH = 6
"""Of made values: deeper, optional members and items are left out."""
MAX_ITEMS = 3
MAX_CHARACTERS = 32
SPAN = 1000
"""Numbers without bounds are made between -SPAN and SPAN."""


class UnsupportedSchemaError(ValueError):
    """The schema says something that this module cannot check; the message names where and what."""


@dataclass
class Node:
    """One schema, with the schemas inside it compiled."""

    types: tuple[str, ...]
    keywords: Schema
    properties: dict[str, Node] = field(default_factory=dict)
    additional: Node | None = None
    items: Node | None = None
    one_of: list[Node] = field(default_factory=list)
    any_of: list[Node] = field(default_factory=list)
    all_of: list[Node] = field(default_factory=list)
    excluded: Node | None = None
    """Of `not`."""
    pattern: re.Pattern[str] | None = None
    examples: list[str] = field(default_factory=list)
    """Strings that fit the pattern, to make values of."""
    ref: Node | None = None

    def contains(self, value: Any) -> bool:
        keywords = self.keywords
        if not any(TYPES[name](value) for name in self.types):
            return False
        if "const" in keywords and not same(value, keywords["const"]):
            return False
        if "enum" in keywords and not any(same(value, choice) for choice in keywords["enum"]):
            return False
        if self.ref is not None and not self.ref.contains(value):
            return False
        if self.one_of and sum(node.contains(value) for node in self.one_of) != 1:
            return False
        if self.any_of and not any(node.contains(value) for node in self.any_of):
            return False
        if not all(node.contains(value) for node in self.all_of):
            return False
        if self.excluded is not None and self.excluded.contains(value):
            return False
        return self._fits(value)

    def _fits(self, value: Any) -> bool:
        keywords = self.keywords
        if isinstance(value, str):
            fits = self.pattern is None or self.pattern.search(value) is not None
            return fits and bool(keywords.get("minLength", 0) <= len(value) <= keywords.get("maxLength", math.inf))
        if isinstance(value, list):
            if not keywords.get("minItems", 0) <= len(value) <= keywords.get("maxItems", math.inf):
                return False
            if keywords.get("uniqueItems", False) and _repeats(value):
                return False
            return all(_node_or_any(self.items).contains(item) for item in value)
        if isinstance(value, dict):
            return self._fits_object(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return bool(
                keywords.get("minimum", -math.inf) <= value <= keywords.get("maximum", math.inf)
                and ("exclusiveMinimum" not in keywords or keywords["exclusiveMinimum"] < value)
                and ("exclusiveMaximum" not in keywords or value < keywords["exclusiveMaximum"])
            )
        return True

    def _fits_object(self, value: dict[str, Any]) -> bool:
        if any(key not in value for key in self.keywords.get("required", ())):
            return False
        others = [key for key in value if key not in self.properties]
        if others and self.keywords.get("additionalProperties") is False:
            return False
        return all(self.properties[key].contains(value[key]) for key in value if key in self.properties) and all(
            _node_or_any(self.additional).contains(value[key]) for key in others
        )

    def sample(self, rng: Rng, depth: int = 0) -> Any:
        """A valid value. Raises: ValueError when `TRIES` were not enough to make one."""
        for _ in range(TRIES):
            value = self._make(rng, depth)
            if self.contains(value):
                return value
        raise ValueError(f"no value was found that fits {dict(self.keywords)!r}")

    def _make(self, rng: Rng, depth: int) -> Any:
        keywords = self.keywords
        if "const" in keywords:
            return copy_json(keywords["const"])
        if "enum" in keywords:
            return copy_json(keywords["enum"][int(rng.integers(len(keywords["enum"])))])
        if self.ref is not None:
            return self.ref.sample(rng, depth + 1)
        if (alternatives := self.one_of or self.any_of) and not self.properties:
            return alternatives[int(rng.integers(len(alternatives)))].sample(rng, depth + 1)
        usual = [name for name in self.types if depth < MAX_DEPTH or name not in ("array", "object")] or self.types
        return getattr(self, f"_make_{usual[int(rng.integers(len(usual)))]}")(rng, depth)

    def _make_null(self, rng: Rng, depth: int) -> None:
        return None

    def _make_boolean(self, rng: Rng, depth: int) -> bool:
        return bool(rng.integers(2))

    def _make_integer(self, rng: Rng, depth: int) -> int:
        low, high = self._range()
        return math.ceil(low) + int(rng.integers(max(1, math.floor(high) - math.ceil(low) + 1)))

    def _make_number(self, rng: Rng, depth: int) -> float:
        low, high = self._range()
        return float(low + (high - low) * rng.random())

    def _range(self) -> tuple[float, float]:
        keywords = self.keywords
        low = keywords.get("minimum", keywords.get("exclusiveMinimum"))
        high = keywords.get("maximum", keywords.get("exclusiveMaximum"))
        if low is None:
            low = -SPAN if high is None else high - 2 * SPAN
        return low, min(high, low + 2 * SPAN) if high is not None else low + 2 * SPAN

    def _make_string(self, rng: Rng, depth: int) -> str:
        if self.examples:
            return self.examples[int(rng.integers(len(self.examples)))]
        least = self.keywords.get("minLength", 0)
        return sample_text(rng, least, min(self.keywords.get("maxLength", math.inf), least + MAX_CHARACTERS))

    def _make_array(self, rng: Rng, depth: int) -> list[Any]:
        least = self.keywords.get("minItems", 0)
        most = min(self.keywords.get("maxItems", math.inf), least + MAX_ITEMS) if depth < MAX_DEPTH else least
        return [_node_or_any(self.items).sample(rng, depth + 1) for _ in range(int(rng.integers(least, int(most) + 1)))]

    def _make_object(self, rng: Rng, depth: int) -> dict[str, Any]:
        wanted, unwanted = self._members(rng)
        value = {}
        for key, node in self.properties.items():
            if key in wanted or (key not in unwanted and depth < MAX_DEPTH and rng.integers(2)):
                value[key] = node.sample(rng, depth + 1)
        for key in wanted:
            if key not in value:
                value[key] = _node_or_any(self.additional).sample(rng, depth + 1)
        return value

    def _members(self, rng: Rng) -> tuple[list[str], set[str]]:
        """What an object must have and must not have in one of the ways that there are to fit; made by chance alone,
        few objects would fit a schema with several alternatives."""
        wanted, unwanted = list(self.keywords.get("required", ())), set[str]()
        chosen = [ways[int(rng.integers(len(ways)))] for ways in (self.one_of, self.any_of) if ways]
        for node in [*self.all_of, *chosen]:
            more, less = node._members(rng)
            wanted += more
            unwanted |= less
        if self.excluded is not None:
            for node in self.excluded.any_of or [self.excluded]:
                unwanted.update(node.keywords.get("required", ()))
        return list(dict.fromkeys(wanted)), unwanted


def _repeats(values: list[Any]) -> bool:
    return any(same(one, other) for place, one in enumerate(values) for other in values[:place])


def _node_or_any(node: Node | None) -> Node:
    return ANYTHING if node is None else node


ANYTHING = Node(tuple(TYPES), {})
"""Any JSON value."""


def compile_schema(schema: Any) -> Node:
    """The schema's node; that a value fits it has been tried. Raises: UnsupportedSchemaError."""
    node = _Compiler(schema).compile(schema, "#")
    try:
        node.sample(np.random.default_rng(0))
    except (ValueError, RecursionError) as error:
        raise UnsupportedSchemaError(f"#: {error}") from error
    return node


class _Compiler:
    def __init__(self, root: Any) -> None:
        self._definitions = root.get("$defs", {}) if isinstance(root, dict) else {}
        self._compiled: dict[str, Node] = {}

    def compile(self, schema: Any, place: str) -> Node:
        if schema is True:
            return Node(tuple(TYPES), {})
        if not isinstance(schema, dict):
            raise UnsupportedSchemaError(f"{place} is {schema!r}, must be an object")
        node = Node((), {})
        self._fill(node, schema, place)
        return node

    def _fill(self, node: Node, schema: Schema, place: str) -> None:
        for keyword in schema:
            if keyword not in ASSERTIONS | ANNOTATIONS:
                raise UnsupportedSchemaError(f"{place}: the keyword {keyword!r} is not understood")
        node.keywords = {keyword: schema[keyword] for keyword in schema if keyword in ASSERTIONS}
        node.types = self._types(schema, place)
        self._check_lists(schema, place)
        properties = schema.get("properties", {})
        node.properties = {key: self.compile(inner, f"{place}/properties/{key}") for key, inner in properties.items()}
        for keyword, into in (("oneOf", node.one_of), ("anyOf", node.any_of), ("allOf", node.all_of)):
            branches = enumerate(schema.get(keyword, ()))
            into += [self.compile(branch, f"{place}/{keyword}/{number}") for number, branch in branches]
        if schema.get("additionalProperties", False) is not False:
            node.additional = self.compile(schema["additionalProperties"], f"{place}/additionalProperties")
        if "items" in schema:
            node.items = self.compile(schema["items"], f"{place}/items")
        if "not" in schema:
            node.excluded = self.compile(schema["not"], f"{place}/not")
        if "pattern" in schema:
            self._fill_pattern(node, schema, place)
        if "$ref" in schema:
            node.ref = self._resolve(schema["$ref"], place)

    def _types(self, schema: Schema, place: str) -> tuple[str, ...]:
        named = schema.get("type", list(TYPES))
        names = tuple(named) if isinstance(named, list) else (named,)
        unknown = [name for name in names if name not in TYPES]
        if unknown or not names:
            raise UnsupportedSchemaError(f"{place}/type is {named!r}, must be of {', '.join(TYPES)}")
        return names

    def _fill_pattern(self, node: Node, schema: Schema, place: str) -> None:
        try:
            node.pattern = re.compile(schema["pattern"])
        except (re.error, TypeError) as error:
            raise UnsupportedSchemaError(f"{place}/pattern: {error}") from error
        node.examples = [each for each in schema.get("examples", ()) if isinstance(each, str) and node.contains(each)]
        texts = Node(("string",), node.keywords, pattern=node.pattern, examples=node.examples)
        try:
            texts.sample(np.random.default_rng(0))
        except ValueError as error:
            raise UnsupportedSchemaError(
                f"{place}/pattern has no examples that fit it, and text made by chance does not"
            ) from error

    def _check_lists(self, schema: Schema, place: str) -> None:
        for keyword in ("enum", "oneOf", "anyOf", "allOf"):
            if keyword in schema and not (isinstance(schema[keyword], list) and schema[keyword]):
                raise UnsupportedSchemaError(
                    f"{place}/{keyword} is {schema[keyword]!r}, must be a list of at least one"
                )

    def _resolve(self, ref: str, place: str) -> Node:
        name = ref.removeprefix("#/$defs/")
        if name == ref or name not in self._definitions:
            raise UnsupportedSchemaError(f"{place}/$ref is {ref!r}, must be '#/$defs/' and a name that is there")
        if ref not in self._compiled:
            self._compiled[ref] = Node((), {})  # before its inside, which may lead back to it
            self._fill(self._compiled[ref], self._definitions[name], ref)
        return self._compiled[ref]


def same(one: Any, other: Any) -> bool:
    """Equal as JSON values: 1 and True differ, 1 and 1.0 do not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def copy_json(value: Any) -> Any:
    """A copy that shares nothing: whoever gets a made value may change it."""
    return json.loads(json.dumps(value))
