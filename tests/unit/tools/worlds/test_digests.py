"""Digests of states: equal states have one digest, whatever path led there."""

from __future__ import annotations

import datetime
import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.tools.guest.world_session import digest

NOTHING: frozenset[str] = frozenset()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


class Colour(enum.Enum):
    RED = "red"


class Node:
    def __init__(self, name: str, parent: Node | None = None) -> None:
        self.name = name
        self.parent = parent
        self.contents: dict[str, Node] = {}
        self._touched = object()

    def add(self, name: str) -> Node:
        self.contents[name] = Node(name, self)
        return self.contents[name]


def of(part: Any, skipped: frozenset[str] = NOTHING) -> str:
    return digest(part, skipped)


@given(JSON, JSON)
def test_two_values_have_one_digest_exactly_if_they_are_equal(one: Any, other: Any) -> None:
    assert (of(one) == of(other)) == _equal(one, other)


def _equal(one: Any, other: Any) -> bool:
    """Python's equality, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    return bool(one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ((1, 2), [1, 2]),
        (3, 3.0),
        ({3, 1, 2}, {1, 2, 3}),
        (datetime.date(2025, 2, 3), datetime.date(2025, 2, 3)),
        (Colour.RED, "red"),
    ],
)
def test_the_form_does_not_matter(one: Any, other: Any) -> None:
    assert of(one) == of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [({1: "a"}, {"1": "a"}), ([1, 2], [2, 1]), (True, 1), (None, "None"), ({"a"}, ["a"]), (0.1, 0.2), ([], {})],
)
def test_what_differs_differs(one: Any, other: Any) -> None:
    assert of(one) != of(other)


def test_an_object_is_its_public_members() -> None:
    one, other = Node("top"), Node("top")
    one.add("a"), one.add("b")
    other.add("b"), other.add("a")
    assert of(one) == of(other)
    other.contents["a"].name = "c"
    assert of(one) != of(other)


def test_a_member_that_is_skipped_does_not_count() -> None:
    inside, outside = Node("x", Node("top")), Node("x")
    assert of(inside) != of(outside)
    assert of(inside, frozenset({"parent"})) == of(outside, frozenset({"parent"}))


def test_a_cycle_ends() -> None:
    top: list[Any] = []
    top.append(top)
    assert of(top) == of(top)


def test_a_state_that_is_too_deep_has_a_digest_of_its_own() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert of(deep) != of([])
