"""Where a replay differs from its record is named by the first place, in the record's order."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envserver.episodes.divergence import Difference, first_difference

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("recorded", "replayed", "path"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, None),
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "y"}]}, "/a/1/b"),
        ({"b": 1, "a": 1}, {"a": 2, "b": 2}, "/b"),
        ({"a": True}, {"a": 1}, "/a"),
        ({"a": None}, {"a": 0}, "/a"),
        ({"a/b~c": 1}, {"a/b~c": 2}, "/a~1b~0c"),
        ([], {}, ""),
        ("x", "y", ""),
    ],
)
def test_the_path_leads_to_the_first_difference(recorded: Any, replayed: Any, path: str | None) -> None:
    found = first_difference(recorded, replayed)
    assert (found.path if found else None) == path


def test_what_only_one_of_them_has_is_missing_in_the_other() -> None:
    assert first_difference({"a": 1}, {}) == Difference("/a", 1, None, "replayed")
    assert first_difference({}, {"a": None}) == Difference("/a", None, None, "recorded")
    assert first_difference({"l": [1]}, {"l": [1, 2]}) == Difference("/l/1", None, 2, "recorded")
    assert first_difference([1, 2], [1]) == Difference("/1", 2, None, "replayed")


def follow(value: Any, path: str) -> Any:
    for part in path.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


@given(JSON, JSON)
def test_the_path_can_be_followed_in_both(recorded: Any, replayed: Any) -> None:
    assert first_difference(recorded, copy.deepcopy(recorded)) is None
    found = first_difference(recorded, replayed)
    if found is not None:
        if found.missing != "recorded":
            assert follow(recorded, found.path) == found.recorded
        if found.missing != "replayed":
            assert follow(replayed, found.path) == found.replayed
