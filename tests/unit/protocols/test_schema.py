"""Arguments are checked against the tool's parameters, in sentences that a policy can act on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from environments.protocols.schema import check_arguments

NESTED = {
    "type": "object",
    "$defs": {
        "Point": {
            "type": "object",
            "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
            "required": ["x", "y"],
            "additionalProperties": False,
        }
    },
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "points": {"type": "array", "items": {"$ref": "#/$defs/Point"}, "maxItems": 3},
        "where": {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "share": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "color": {"enum": ["red", "green", 1, None]},
        "kind": {"const": "circle"},
        "two": {"type": ["string", "boolean"]},
        "any": {},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["name"],
}

GOOD: list[dict[str, Any]] = [
    {"name": "a"},
    {"name": "a", "points": [{"x": 1, "y": 2.5}]},
    {"name": "a", "where": None},
    {"name": "a", "where": {"x": 0, "y": 0}},
    {"name": "a", "either": 1},
    {"name": "a", "either": "1"},
    {"name": "a", "share": 0},
    {"name": "a", "color": None},
    {"name": "a", "kind": "circle", "two": True},
    {"name": "a", "any": [{}]},
    {"name": "a", "labels": {"x": "y"}},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "the argument 'name' is missing"),
    ({"nam": "a", "name": "b"}, "there is no argument 'nam'; did you mean 'name'? it takes 'name', 'points', "),
    ({"name": 5}, "'name' is 5, must be a string"),
    ({"name": "a" * 99}, "'name' has 99 characters, at most 5 are allowed"),
    ({"name": ""}, "'name' has 0 characters, at least 1 are needed"),
    ({"name": "a", "points": {}}, "'points' is an object, must be an array"),
    ({"name": "a", "points": [{"x": 1}]}, "the argument 'points[0].y' is missing"),
    ({"name": "a", "points": [{"x": 1, "y": "2"}]}, "'points[0].y' is the string '2', must be a number"),
    ({"name": "a", "points": [{}] * 4}, "'points' has 4 items, at most 3 are allowed"),
    ({"name": "a", "where": {"x": 0}}, "the argument 'where.y' is missing"),
    ({"name": "a", "where": "here"}, "'where' is the string 'here', must be object or null"),
    ({"name": "a", "either": []}, "'either' is a list, must be integer or string"),
    ({"name": "a", "either": 1.0}, "'either' is 1.0, must be integer or string"),
    ({"name": "a", "share": True}, "'share' is true, must be a number"),
    ({"name": "a", "share": 1}, "'share' is 1, must be less than 1"),
    ({"name": "a", "share": -0.5}, "'share' is -0.5, must be at least 0"),
    ({"name": "a", "color": "blue"}, "'color' is the string 'blue', must be one of 'red', 'green', 1, null"),
    ({"name": "a", "color": True}, "'color' is true, must be one of"),
    ({"name": "a", "kind": "square"}, "'kind' is the string 'square', must be 'circle'"),
    ({"name": "a", "two": None}, "'two' is null, must be a string or a boolean"),
    ({"name": "a", "labels": {"x": 1}}, "'labels.x' is 1, must be a string"),
]


def _kind(name: str, **members: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"type": {"const": name}, **members},
        "required": ["type", *members],
        "additionalProperties": False,
    }


_NUMBER = {"type": "number", "minimum": 0}
ALTERNATIVES: dict[str, Any] = {
    "type": "object",
    "$defs": {"Click": _kind("click", x=_NUMBER, y=_NUMBER)},
    "properties": {
        "actions": {
            "type": "array",
            "items": {
                "oneOf": [
                    {"$ref": "#/$defs/Click"},
                    _kind("type", text={"type": "string"}),
                    _kind("press", key={"type": "string"}),
                    _kind("press", keys={"type": "array"}),
                    {"type": "null"},
                ]
            },
        },
        "shape": {
            "anyOf": [
                {"type": "object", "properties": {"r": _NUMBER}, "required": ["r"]},
                {"type": "object", "properties": {"w": _NUMBER, "h": _NUMBER}, "required": ["w", "h"]},
            ]
        },
        "place": {"oneOf": [{"required": ["ref"]}, {"required": ["x", "y"]}]},
        "size": {"anyOf": [{"const": "small"}, {"const": "large"}, {"type": "integer"}]},
        "level": {"anyOf": [{"type": "number", "maximum": 3}, {"type": "string"}]},
        "plain": {
            "oneOf": [
                {"type": "object", "properties": {"kind": {"enum": ["a"], "default": "a"}, "n": _NUMBER}},
                {"type": "object", "properties": {"kind": {"const": "b"}, "m": _NUMBER}},
            ]
        },
    },
}
KINDS = "there are 'click', 'type', 'press'"
MEANT: list[tuple[dict[str, Any], str | None]] = [
    ({"actions": [{"type": "click", "x": 1, "y": 2}, None, {"type": "press", "keys": []}]}, None),
    ({"actions": [{"type": "click", "x": "1", "y": 2}]}, "'actions[0].x' is the string '1', must be a number"),
    ({"actions": [{"type": "click", "x": -1, "y": 2}]}, "'actions[0].x' is -1, must be at least 0"),
    ({"actions": [None, {"type": "click", "x": 1}]}, "the argument 'actions[1].y' is missing"),
    ({"actions": [{"type": "type", "text": "a", "txt": 1}]}, "there is no argument 'actions[0].txt'; did you mean"),
    ({"actions": [{"type": "clik", "x": 1}]}, "'actions[0].type' is the string 'clik'; did you mean 'click'?"),
    ({"actions": [{"type": "swim"}]}, f"'actions[0].type' is the string 'swim'; {KINDS}"),
    ({"actions": [{"type": ["click"]}]}, f"'actions[0].type' is a list; {KINDS}"),
    ({"actions": [{"x": 1}]}, f"the argument 'actions[0].type' is missing: {KINDS}"),
    ({"actions": [{"type": "press", "keys": "a"}]}, "'actions[0].keys' is the string 'a', must be an array"),
    ({"actions": ["click"]}, "'actions[0]' is the string 'click', must be object or null"),
    ({"shape": {"w": 1}}, "the argument 'shape.h' is missing"),
    ({"shape": {"r": "1"}}, "'shape.r' is the string '1', must be a number"),
    ({"place": {"x": 1}}, "the argument 'place.y' is missing"),
    ({"size": "medium"}, "'size' is the string 'medium', must be one of 'small', 'large'"),
    ({"level": 4}, "'level' is 4, must be at most 3"),
    ({"plain": {"n": 1}}, None),
    ({"plain": {"kind": "c"}}, "'plain.kind' is the string 'c'; there are 'a', 'b'"),
]


@pytest.mark.parametrize(("arguments", "message"), MEANT)
def test_of_alternatives_the_one_that_was_meant_is_told_of(arguments: dict[str, Any], message: str | None) -> None:
    errors = check_arguments(arguments, ALTERNATIVES)
    assert len(errors) == (message is not None)
    assert all(error.startswith(str(message)) for error in errors)


def test_of_many_choices_the_nearest_come_first_and_the_rest_is_counted() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [f"choice {n:03}" for n in range(100)]}}}
    (error,) = check_arguments({"a": "choice 099x"}, schema)
    assert "must be one of 'choice 099', " in error
    assert error.endswith(" and 40 more")


@pytest.mark.parametrize("arguments", GOOD)
def test_what_fits_is_taken(arguments: dict[str, Any]) -> None:
    assert check_arguments(arguments, NESTED) == []


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_what_does_not_fit_is_told(arguments: dict[str, Any], message: str) -> None:
    errors = check_arguments(arguments, NESTED)
    assert len(errors) == 1
    assert errors[0].startswith(message)


def test_only_some_errors_are_told() -> None:
    assert len(check_arguments({f"a{n}": 1 for n in range(1000)}, NESTED)) == 3


def test_without_properties_any_are_taken() -> None:
    assert check_arguments({"x": 1}, {"type": "object"}) == []
    assert check_arguments({"x": 1}, {"type": "object", "additionalProperties": False}) != []
    assert check_arguments({"x": 1}, {"type": "object", "properties": {"y": {}}, "additionalProperties": True}) == []


def test_no_pattern_is_ever_run() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}
    assert check_arguments({"a": "a" * 64 + "b"}, schema) == []


@pytest.mark.parametrize(
    "reference", [{"$ref": "#/$defs/Loop"}, {"anyOf": [{"$ref": "#/$defs/Loop"}] * 2}, {"$ref": "#/nowhere"}]
)
def test_schemas_that_go_in_circles_end(reference: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"a": reference}, "$defs": {"Loop": reference}}
    check_arguments({"a": 1}, schema)


def test_alternatives_of_alternatives_end_soon() -> None:
    loop: dict[str, Any] = {"type": "object", "properties": {"a": {"$ref": "#/$defs/Loop"}}, "required": ["a"]}
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/Loop"}},
        "$defs": {"Loop": {"anyOf": [loop, loop, {**loop, "required": ["a", "b"]}]}},
    }
    value: Any = 1
    for _ in range(60):
        value = {"a": value}
    began = time.process_time()
    assert check_arguments(value, schema) != []
    assert time.process_time() - began < 20
