"""Typed fields out of untrusted maps: a value of the right type and within bounds, or MalformedError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envserver.guest import fields

ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
Take = Callable[[dict[str, Any], str], Any]
TAKERS: dict[str, tuple[Take, Callable[[Any], bool]]] = {
    "integer": (fields.integer, lambda v: type(v) is int and 0 <= v <= 2**63),
    "boolean": (fields.boolean, lambda v: type(v) is bool),
    "binary": (lambda f, k: fields.binary(f, k, 3), lambda v: type(v) is bytes and len(v) <= 3),
    "text": (lambda f, k: fields.text(f, k, 3), lambda v: type(v) is str and len(v) <= 3),
    "mapping": (fields.mapping, lambda v: type(v) is dict),
    "sequence": (lambda f, k: fields.sequence(f, k, 2), lambda v: type(v) is list and len(v) <= 2),
    "optional integer": (
        lambda f, k: fields.optional_integer(f, k, 1, 64),
        lambda v: v is None or (type(v) is int and 1 <= v <= 64),
    ),
    "optional binary": (
        lambda f, k: fields.optional_binary(f, k, 3),
        lambda v: v is None or (type(v) is bytes and len(v) <= 3),
    ),
}


@pytest.mark.parametrize("kind", TAKERS)
@given(value=ANYTHING)
def test_a_value_is_taken_as_it_is_or_refused(kind: str, value: Any) -> None:
    take, right = TAKERS[kind]
    if right(value):
        assert take({"field": value}, "field") is value
    else:
        with pytest.raises(fields.MalformedError, match="field"):
            take({"field": value}, "field")


@pytest.mark.parametrize("kind", [kind for kind in TAKERS if not kind.startswith("optional")])
def test_a_missing_field_is_named(kind: str) -> None:
    with pytest.raises(fields.MalformedError, match="there is missing"):
        TAKERS[kind][0]({"here": 1}, "there")
