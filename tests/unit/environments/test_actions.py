"""Malformed actions are explained, well-formed ones understood, and the published schema says the same."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.code.actions import MAX_TEXT_BYTES, ActionError, action_schema, parse_action

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
members = st.sampled_from(["type", "code", "command", "language", "stdin", "path", "content", "old", "new"])
types = st.sampled_from(["python", "bash", "run", "write_file", "read_file", "edit", "submit"])
near_actions = st.dictionaries(members, st.text(max_size=4) | types | json_values).flatmap(
    lambda action: types.map(lambda name: {**action, "type": name})
)


@given(json_values | near_actions)
def test_any_json_value_is_an_action_or_a_format_error(value: Any) -> None:
    try:
        action = parse_action(value)
    except ActionError as error:
        assert str(error)
    else:
        assert action.type == value["type"]
        assert set(action.members) <= set(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "an action is an object with a member 'type', not an array"),
        (None, "not null"),
        ({}, "no member 'type'; one of 'python', 'bash', 'run', 'write_file', 'read_file', 'edit', 'submit' is needed"),
        ({"type": "pyhton"}, "'type' is 'pyhton', must be one of 'python', "),
        ({"type": 1}, "'type' is a number"),
        ({"type": "python"}, "'python' needs a member 'code': Python source"),
        ({"type": "python", "code": 3}, "'code' of 'python' must be a string, not a number"),
        ({"type": "python", "code": "1", "cod": "2"}, "'python' has no member 'cod'; it takes 'code'"),
        ({"type": "submit", "answer": "1"}, "'submit' has no member 'answer'; it takes none"),
        ({"type": "python", "code": "\ud800"}, "no valid Unicode: a lone surrogate at character 0"),
        ({"type": "python", "code": "é" * (MAX_TEXT_BYTES // 2 + 1)}, "has 800002 bytes of UTF-8, at most 800000"),
        ({"type": "bash", "command": "echo \0"}, "holds a NUL character at 5"),
        ({"type": "run", "language": "ruby", "code": ""}, "'language' is 'ruby', must be one of 'python', 'bash', "),
        ({"type": "read_file", "path": ""}, "'path' must not be empty"),
        ({"type": "read_file", "path": "a" * 5000}, "has 5000 bytes of UTF-8, at most 4096"),
        ({"type": "edit", "path": "a", "old": "", "new": ""}, "'old' must not be empty"),
    ],
)
def test_a_malformed_action_is_told_what_is_wrong_and_what_would_be_right(value: Any, message: str) -> None:
    with pytest.raises(ActionError, match=re.escape(message)):
        parse_action(value)


@pytest.mark.parametrize(
    ("path", "absolute"),
    [("a/b", "/workspace/a/b"), ("/etc/x", "/etc/x"), ("../tmp/./x", "/tmp/x"), ("./a//b/", "/workspace/a/b")],
)
def test_paths_are_relative_to_the_workspace(path: str, absolute: str) -> None:
    assert parse_action({"type": "read_file", "path": path})["path"] == absolute


def test_the_schema_tells_actions_apart_by_a_constant_type() -> None:
    variants = action_schema()["oneOf"]
    names = [variant["properties"]["type"]["const"] for variant in variants]
    assert names == ["python", "bash", "run", "write_file", "read_file", "edit", "submit"]
    assert all(variant["additionalProperties"] is False for variant in variants)
    run = variants[2]
    assert run["required"] == ["type", "language", "code"]
    assert run["properties"]["language"]["enum"] == ["python", "bash", "javascript", "c", "cpp"]
