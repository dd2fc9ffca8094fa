"""Any space of Gymnasium's own, however nested, comes back equal, samples alike, and so do its members."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from envserver_sdk.gymnasium import codec
from envserver_sdk.gymnasium.descriptions import describe, rebuild
from tests.unit.sdk.gymnasium.test_codec import exactly

Space = spaces.Space[Any]

FLOATS = ("<f2", "<f4", "<f8")
INTEGERS = ("|i1", "|u1", "<i2", "<u2", "<i4", "<i8")
shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
keys: st.SearchStrategy[Any] = st.text(max_size=4) | st.integers(-5, 5)


@st.composite
def float_boxes(draw: st.DrawFn) -> Space:
    dtype: Any = np.dtype(draw(st.sampled_from(FLOATS)))
    shape = draw(shapes)
    finite = st.floats(-1000, 1000, width=16)
    low = draw(arrays.arrays(dtype, shape, elements=finite))
    high = np.asarray(low + draw(arrays.arrays(dtype, shape, elements=st.floats(0, 1000, width=16))))
    low[draw(arrays.arrays(np.bool_, shape))] = -np.inf
    high[draw(arrays.arrays(np.bool_, shape))] = np.inf
    return spaces.Box(low, high, shape, dtype)


@st.composite
def integer_boxes(draw: st.DrawFn) -> Space:
    dtype: Any = np.dtype(draw(st.sampled_from(INTEGERS)))
    info = np.iinfo(dtype)
    low = draw(st.integers(int(info.min), int(info.max) - 1))
    high = draw(st.integers(low, int(info.max) - 1))
    bounds: tuple[Any, Any] = (low, high)
    if dtype.kind == "i":
        bounds = (draw(st.sampled_from([low, -np.inf])), draw(st.sampled_from([high, np.inf])))
    return spaces.Box(bounds[0], bounds[1], draw(shapes), dtype)


discretes = st.builds(
    lambda n, start, dtype: spaces.Discrete(n, start=start, dtype=dtype),
    st.integers(1, 50), st.integers(-50, 50), st.sampled_from([np.int64, np.int32, np.int8]),
)  # fmt: skip
binaries = st.integers(1, 4) | st.lists(st.integers(1, 3), min_size=1, max_size=3)


@st.composite
def multi_discretes(draw: st.DrawFn) -> Space:
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple))
    dtype: Any = draw(st.sampled_from([np.int64, np.int32, np.uint8]))
    nvec = draw(arrays.arrays(dtype, shape, elements=st.integers(1, 9)))
    return spaces.MultiDiscrete(nvec, dtype, start=draw(arrays.arrays(dtype, shape, elements=st.integers(0, 9))))


@st.composite
def texts(draw: st.DrawFn) -> Space:
    least = draw(st.integers(0, 3))
    charset = draw(st.lists(st.characters(codec=None), min_size=1, max_size=6, unique=True))
    return spaces.Text(least + draw(st.integers(1, 4)), min_length=least, charset="".join(charset))


leaves = float_boxes() | integer_boxes() | discretes | binaries.map(spaces.MultiBinary) | multi_discretes() | texts()
graphs = st.builds(spaces.Graph, float_boxes() | discretes, st.none() | float_boxes() | discretes)


def _containers(inner: st.SearchStrategy[Space]) -> st.SearchStrategy[Space]:
    some = st.lists(inner, min_size=1, max_size=3)
    return (
        some.map(spaces.Tuple)
        | some.map(spaces.OneOf)
        | st.lists(st.tuples(keys, inner), max_size=3, unique_by=lambda pair: pair[0]).map(
            lambda pairs: spaces.Dict(pairs)
        )
        | inner.map(spaces.Sequence)
    )


everything = st.recursive(leaves | graphs, _containers, max_leaves=6)


def parts(space: Space) -> list[Space]:
    """The space and all that it is made of."""
    inner: list[Any] = []
    if isinstance(space, spaces.Tuple | spaces.OneOf):
        inner = list(space.spaces)
    elif isinstance(space, spaces.Dict):
        inner = list(space.spaces.values())
    elif isinstance(space, spaces.Sequence):
        inner = [space.feature_space]
    elif isinstance(space, spaces.Graph):
        inner = [space.node_space, space.edge_space]
    return [space, *(part for each in inner if each is not None for part in parts(each))]


def over_the_wire(document: Any) -> Any:
    return json.loads(json.dumps(document, allow_nan=False))


@pytest.mark.filterwarnings("ignore:.*Casting input x to numpy array")  # a Box without axes of its own samples
@settings(deadline=None)
@given(everything, st.integers(0, 2**31 - 1))
def test_a_space_comes_back_equal_and_samples_alike(space: Space, seed: int) -> None:
    again = rebuild(over_the_wire(describe(space)))
    assert again == space
    assert describe(again) == describe(space)
    for one, other in zip(parts(space), parts(again), strict=True):
        assert (type(one), one.dtype, one.shape) == (type(other), other.dtype, other.shape)
    space.seed(seed)
    again.seed(seed)
    for _ in range(3):
        value = space.sample()
        assert exactly(again.sample(), value)
        back = codec.decode(over_the_wire(codec.encode(value)))
        assert exactly(back, value)
        assert (back in again) == (value in space)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.bool_])
def test_stacked_sequences_and_boxes_of_booleans(dtype: Any) -> None:
    box = spaces.Box(0, 1, (2,), dtype)
    space: Space = spaces.Sequence(box, stack=True)
    again = rebuild(over_the_wire(describe(space)))
    assert again == space
    assert isinstance(again, spaces.Sequence)
    assert again.stack
    space.seed(3)
    value = space.sample()
    assert codec.decode(over_the_wire(codec.encode(value))) in again


def test_bounds_that_are_alike_are_written_once_and_bit_for_bit() -> None:
    picture = spaces.Box(0, 255, (210, 160, 3), np.uint8)
    assert len(json.dumps(describe(picture))) < 300
    zeros = spaces.Box(np.array([0.0, -0.0]), np.array([1.0, 1.0]), dtype=np.float64)
    again = rebuild(over_the_wire(describe(zeros)))
    assert isinstance(again, spaces.Box)
    assert np.signbit(again.low).tolist() == [False, True]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0])
def test_values_that_json_has_no_word_for_come_back(value: float) -> None:
    array = np.array([value, 1.0], np.float32)
    assert exactly(codec.decode(over_the_wire(codec.encode(array))), array)
    assert exactly(codec.decode(over_the_wire(codec.encode(value))), value)


def test_another_s_space_is_refused_by_name() -> None:
    class Own(spaces.Space[int]):
        pass

    with pytest.raises(TypeError, match=r"Own is none of Gymnasium's own spaces: Box, Discrete"):
        describe(spaces.Tuple([Own()]))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"space": "Own"},
        {"space": "Box"},
        {"space": "Box", "dtype": "<f4", "shape": [2], "low": 1, "high": {"$type": "nonsense"}},
        {"space": "Discrete", "dtype": "<i8", "n": -1, "start": 0},
        {"space": "Tuple", "spaces": [None]},
        [],
    ],
)
def test_what_is_no_description_is_a_value_error(document: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        rebuild(document)
