"""Whatever the codec writes is strict JSON, and reads back as exactly what it was."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envserver_sdk.gymnasium import codec
from envserver_sdk.models import Outcome

surrogates = st.text(st.characters(codec=None), max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | surrogates | st.binary(max_size=8)
)
hashable = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
dtypes = st.sampled_from(["?", "i1", "<u2", ">i4", "<i8", "<f2", ">f4", "<f8", "<c8", "<U3", "S3", "<M8[ms]"])


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    dtype = np.dtype(draw(dtypes))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    count = math.prod(shape)
    # From bytes, so that every bit pattern comes up; characters from numbers, since not every pattern is one.
    if dtype.kind == "U":
        return np.array([chr(draw(st.integers(0, 0xD7FF))) for _ in range(count)], dtype).reshape(shape)
    size = count * dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if dtype.kind == "b":
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, dtype).reshape(shape)


values = st.recursive(
    scalars | arrays() | arrays().filter(lambda array: array.size > 0).map(lambda array: array.flat[0]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashable | st.just(codec.TAG), inner, max_size=3)
    ),
    max_leaves=8,
)


def exactly(one: Any, other: Any) -> bool:
    """Equal in type, order, sign of zero and every bit of an array; NaN equals NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray | np.generic):
        return (one.dtype.str, one.shape, one.tobytes()) == (other.dtype.str, other.shape, other.tobytes())
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, dict):
        return exactly(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(exactly, one, other))
    return bool(one == other)


def _refuse(constant: str) -> None:
    pytest.fail(f"{constant} is not JSON")


@given(values)
def test_every_value_comes_back_as_itself_through_strict_json(value: Any) -> None:
    text = codec.dumps(value)
    strict = json.loads(text, parse_constant=_refuse)
    text.encode()  # no lone surrogate is left
    assert exactly(codec.loads(text), value)
    assert exactly(codec.decode(strict), value)


exact = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | exact | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(plain)
def test_plain_json_stands_for_itself(value: Any) -> None:
    assert codec.encode(value) == value


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**53 + 1, 10**5000], ids=lambda value: str(value.bit_length()))
def test_an_integer_that_a_double_may_not_hold_is_no_number_of_json(value: int) -> None:
    assert codec.encode(value) == {"$type": "int", "hex": hex(value)}
    assert codec.loads(codec.dumps([value])) == [value]


def test_an_array_of_objects_keeps_its_shape_and_their_types() -> None:
    array = np.empty((2, 1), dtype=object)
    array[0, 0], array[1, 0] = (1, b"x"), {2: None}
    back = codec.loads(codec.dumps(array))
    assert back.shape == (2, 1)
    assert (back[0, 0], back[1, 0]) == ((1, b"x"), {2: None})


@pytest.mark.parametrize(
    "value", [np.str_("a\0"), np.bytes_(b"\0"), np.str_(""), np.float64("nan"), np.bool_(True)], ids=repr
)
def test_a_scalar_of_numpy_stays_one_with_all_its_characters(value: Any) -> None:
    back = codec.loads(codec.dumps(value))
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_a_decoded_array_may_be_written_to() -> None:
    back = codec.loads(codec.dumps(np.zeros(3)))
    back[0] = 1.0


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [{1}, object(), Outcome.OK, Text("x"), np.zeros(1, dtype=[("a", "i4")]), [1 + 2j], bytearray(b"x")],
    ids=lambda value: type(value).__name__,
)
def test_what_could_not_come_back_as_itself_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        codec.encode(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="deeper"):
        codec.encode(value)


@pytest.mark.parametrize(
    "document",
    [
        {"$type": "os.system"},
        {"$type": ["list"]},
        {"$type": "bytes"},
        {"$type": "bytes", "base64": "?"},
        {"$type": "array", "dtype": "|O", "shape": [1], "base64": "AAAAAAAAAAA="},
        {"$type": "array", "dtype": "<f8", "shape": [2], "base64": "AAAAAAAAAAA="},
        {"$type": "scalar", "dtype": "none", "base64": ""},
        {"$type": "dict", "items": [[[], 1]]},
        {"$type": "str", "base64": "/w=="},
        {"$type": "int", "hex": "x"},
    ],
    ids=repr,
)
def test_a_document_of_someone_else_is_a_value_error(document: Any) -> None:
    with pytest.raises(ValueError):
        codec.decode(document)
