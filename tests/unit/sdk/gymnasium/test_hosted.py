"""What a hosted environment's actions look like on their way, and what is made of what comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from hypothesis import given
from hypothesis import strategies as st

from envserver_sdk.gymnasium import codec
from envserver_sdk.gymnasium.hosted import encode_actions, hosted_options
from envserver_sdk.gymnasium.hosted_vector import _opened


@given(st.integers(1, 1000), st.integers(-1000, 1000), st.lists(st.integers(-3000, 3000), min_size=1), st.booleans())
def test_many_numbers_are_sent_in_few_bits_and_none_is_changed(
    n: int, start: int, actions: list[int], as_array: bool
) -> None:
    document = encode_actions(Discrete(n, start=start), np.array(actions) if as_array else actions)
    decoded = codec.decode(document)
    assert [int(action) for action in decoded] == actions, "also those that are not in the space: they are refused"
    if all(start <= action < start + n for action in actions):
        assert decoded.dtype.itemsize <= 2


def test_arrays_are_sent_whole_and_everything_else_one_by_one() -> None:
    rows = np.zeros((5, 2), np.float32)
    assert codec.decode(encode_actions(Box(-1, 1, (2,)), rows)).shape == (5, 2)
    one_by_one = encode_actions(MultiDiscrete([2, 3]), [np.array([1, 2]), np.array([0, 0])])
    assert [codec.decode(document).tolist() for document in one_by_one] == [[1, 2], [0, 0]]
    assert encode_actions(Discrete(2), [0.5, True]) == [0.5, True]
    with pytest.raises(TypeError, match="must be an array or a sequence"):
        encode_actions(Box(-1, 1, (2,)), 3)


def test_options_say_what_is_played_and_how_it_is_seen() -> None:
    assert hosted_options("A-v0", {"size": 3}, {"score": [0, 1]}, "rgb_array") == {
        "id": "A-v0", "kwargs": {"size": 3}, "render": True, "text": False, "score": [0, 1],
    }  # fmt: skip
    assert hosted_options(None, None, None, "ansi") == {"kwargs": {}, "render": False, "text": True}


def test_an_info_is_the_environment_s_own_and_the_servers_beside_it() -> None:
    last: dict[str, Any] = {"env_info": {"prob": 1.0}, "outcome": "ok"}
    final_obs = {"observation": codec.encode(np.array([1.5]))}
    opened = _opened({"env_info": {"a": 1}, "seed": 3, "final_obs": final_obs, "final_info": last})
    assert (opened["a"], opened["server"]) == (1, {"seed": 3})
    assert opened["final_obs"].tolist() == [1.5]
    assert opened["final_info"] == {"prob": 1.0, "server": {"outcome": "ok"}}
    failed = {"outcome": "infra_error", "trainable": False, "problem": ValueError()}
    assert _opened(failed) is failed
