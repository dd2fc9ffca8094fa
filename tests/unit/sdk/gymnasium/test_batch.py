"""Infos of many episodes become arrays without a value being bent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from envserver_sdk.gymnasium._batch import batch_infos


@pytest.mark.parametrize(
    ("values", "kind", "shown"),
    [
        ([True, False], "b", [True, False]),
        ([1, 2], "i", [1, 2]),
        ([0, 1.5], "f", [0.0, 1.5]),
        ([1, None], "O", [1, None]),
        ([1, "a"], "O", [1, "a"]),
        ([True, 2], "O", [True, 2]),
        ([1, 2**63], "O", [1, 2**63]),
        ([[1], [1, 2]], "O", [[1], [1, 2]]),
        ([{"a": 1}, 2], "O", [{"a": 1}, 2]),
    ],
    ids=repr,
)
def test_all_values_decide_the_type(values: list[Any], kind: str, shown: list[Any]) -> None:
    batched = batch_infos({0: {"x": values[0]}, 1: {"x": values[1]}}, 2)
    assert (batched["x"].dtype.kind, batched["x"].tolist()) == (kind, shown)
    assert batched["_x"].tolist() == [True, True]


def test_who_has_none_is_masked() -> None:
    batched = batch_infos({2: {"x": 5, "inner": {"y": 1.0}}, 0: {"x": 4}}, 3)
    assert batched["x"].tolist() == [4, 0, 5]
    assert batched["_x"].tolist() == [True, False, True]
    assert batched["inner"]["y"].tolist() == [0.0, 0.0, 1.0]
    assert batched["inner"]["_y"].tolist() == batched["_inner"].tolist() == [False, False, True]


def test_final_observations_are_kept_whole() -> None:
    batched = batch_infos({1: {"final_obs": {"prompt": "x"}}}, 2)
    assert isinstance(batched["final_obs"], np.ndarray)
    assert batched["final_obs"].tolist() == [None, {"prompt": "x"}]


def test_nobody_has_nothing() -> None:
    assert batch_infos({}, 2) == {}
