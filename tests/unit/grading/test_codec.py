"""The call codec: what it carries arrives exactly, what it refuses it explains, and no bytes can break it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envserver.grading.codec import Call, CandidateError, Verdict, parse_answer, parse_harness, parse_loaded
from envserver.grading.guest.channel import make_error, name_of
from envserver.grading.guest.codec import (
    EXCEPTIONS,
    MAX_DEPTH,
    MAX_KEYS,
    Refused,
    check,
    decode,
    dump,
    encode,
    load,
)

text = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
hashable_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.complex_numbers()
    | text
    | st.binary(max_size=20)
    | st.builds(range, st.integers(), st.integers(), st.integers().filter(bool))
)
hashables = st.recursive(
    hashable_scalars,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
values = st.recursive(
    hashables | st.binary(max_size=20).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(hashables, max_size=4)
        | st.dictionaries(hashables, inner, max_size=4)
    ),
    max_leaves=20,
)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text | st.sampled_from([*"ifcbBltszdr", "0x1p+0", "nan"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=2),
    max_leaves=15,
)


def exact(value: Any) -> str:
    """A text that tells types, zeros' signs and orders apart, NaN from nothing, and knows no order of sets."""
    kind = type(value)
    if kind in (set, frozenset):
        parts = sorted(map(exact, value))
    elif kind in (list, tuple):
        parts = [exact(item) for item in value]
    elif kind is dict:
        parts = [exact(pair) for pair in value.items()]
    elif kind is int:
        parts = [hex(value)]
    else:
        parts = [repr(value)]
    return f"{kind.__name__}({', '.join(parts)})"


@given(values)
def test_values_survive_the_journey_with_their_types(value: Any) -> None:
    tree = load(dump(encode(value)))
    check(tree)
    assert exact(decode(tree)) == exact(value)


@given(trees)
def test_what_the_check_accepts_is_decoded_and_encoded_again(tree: Any) -> None:
    try:
        check(tree)
    except Refused:
        with pytest.raises(Refused):
            decode(tree)
    else:
        encode(decode(tree))


@given(st.binary(max_size=200) | trees.map(lambda tree: json.dumps(tree).encode()))
def test_a_candidates_bytes_yield_a_frame_or_its_failure(data: bytes) -> None:
    try:
        frame = parse_answer(data, 2)
    except CandidateError:
        return
    assert set(frame) in ({"value", "changed"}, {"raised", "text"})


@given(st.binary(max_size=200) | trees.map(lambda tree: json.dumps(tree).encode()))
def test_a_harness_that_says_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        parse_harness(data)


class Sub(list[int]):
    """Equal to nothing that matters."""


class Key(str):
    __slots__ = ()


def generator() -> Any:
    yield 1


def cycle() -> Any:
    inner: list[Any] = []
    inner.append((inner,))
    return inner


def nested(depth: int) -> Any:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (generator(), "generator objects"),
        (len, "builtin_function_or_method objects"),
        (Sub([1]), "Sub objects"),
        ({Key("a"): 1}, "Key objects"),
        ([object()], "object objects"),
        (cycle(), "contains itself"),
        (nested(MAX_DEPTH + 1), "deeper than 64"),
        (set(range(MAX_KEYS + 1)), "more than 10000 entries"),
        (16**100_000, "more than 100000 hexadecimal digits"),
    ],
    ids=lambda argument: argument if isinstance(argument, str) else type(argument).__name__,
)
def test_what_cannot_travel_is_refused_with_the_reason(value: Any, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        encode(value)


def test_the_same_list_twice_is_no_cycle() -> None:
    inner = [1]
    assert decode(encode([inner, inner])) == [[1], [1]]


def test_the_deepest_allowed_value_travels() -> None:
    assert decode(load(dump(encode(nested(MAX_DEPTH))))) == nested(MAX_DEPTH)


def test_a_frame_that_is_too_long_is_refused_at_both_ends() -> None:
    with pytest.raises(Refused, match="more than 800000 bytes"):
        dump("x" * 800_000)
    with pytest.raises(Refused, match="too long"):
        load(b" " * 800_001)


@pytest.mark.parametrize(
    "tree",
    [
        1.5,
        math.inf,
        2**63,
        {},
        [],
        ["q", 1],
        ["i", "0x1"],
        ["i", "-"],
        ["i", "1_0"],
        ["i", 5],
        ["i", "f" * 200_000],
        ["f", "1.5"],
        ["f", "infinity"],
        ["f", "0x1p+99999"],
        ["b", "abc"],
        ["b", "é "],
        ["r", 0, 1, 0],
        ["r", 0, True, 1],
        ["l", "abc"],
        ["s", [["l", []]]],
        ["s", [["t", [["B", "00"]]]]],
        ["d", [["l", []], 1]],
        ["d", [[1]]],
        ["z", [None] * (MAX_KEYS + 1)],
        ["c", "0x1p+0"],
        [["l"], []],
    ],
)
def test_malformed_values_are_refused(tree: Any) -> None:
    with pytest.raises(Refused):
        decode(tree)
    with pytest.raises(Refused):
        check(tree)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200_000,
        b"1" * 10_000,
        b'{"value": 1}',
        b'{"value": 1, "changed": {"2": 1}}',
        b'{"value": 1, "changed": []}',
        b'{"value": 1, "changed": {}, "more": 1}',
        b'{"raised": "SystemExit", "text": ""}',
        b'{"raised": "eval", "text": ""}',
        b'{"raised": "ValueError", "text": 1}',
        b'{"verdict": "passed"}',
        b'{"refused": "because"}',
        b"\xff\xfe",
    ],
)
def test_a_candidates_frame_beyond_what_is_known_fails_it(data: bytes) -> None:
    with pytest.raises(CandidateError):
        parse_answer(data, 2)


def test_a_harness_says_calls_and_verdicts() -> None:
    call = parse_harness(b'{"call": "f", "args": [1], "kwargs": {"x": 2}}')
    assert isinstance(call, Call)
    assert call.arguments == 2
    assert parse_harness(b'{"verdict": "passed"}') == Verdict(True)
    assert parse_harness(b'{"verdict": "failed", "error": "TypeError"}') == Verdict(False, "TypeError")
    with pytest.raises(Refused, match="because"):
        parse_harness(b'{"broken": "because"}')


def test_a_solution_that_did_not_load_is_named_by_exception() -> None:
    parse_loaded(b'{"loaded": true}')
    with pytest.raises(CandidateError, match="NameError"):
        parse_loaded(b'{"fatal": "NameError"}')
    with pytest.raises(CandidateError, match="an exit"):
        parse_loaded(b'{"fatal": ["x"]}')


@pytest.mark.parametrize("name", sorted(EXCEPTIONS))
def test_every_exception_that_may_cross_can_be_raised_by_name(name: str) -> None:
    error = make_error(name, "text")
    assert type(error).__name__ == name
    assert name_of(error) == name
