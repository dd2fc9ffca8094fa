"""Many `info`s as one dictionary of arrays, the way that Gymnasium's vector environments show them.

Each key has an array of one entry a slot and, under its name with an underscore before it, a mask of who has it.
Gymnasium's own `_add_info` takes an array's type from the first value that it meets: an integer there cuts the
fractions off the others, and a text raises. Here all values of a key decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

TYPED = (bool, int, float)
INT64 = range(-(2**63), 2**63)


def batch_infos(infos: Mapping[int, Mapping[str, Any]], size: int) -> dict[str, Any]:
    """`infos` by slot, of `size` slots. Members that are objects in all slots become dictionaries of arrays too."""
    batched: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos.values() for key in info):
        values = {index: info[key] for index, info in infos.items() if key in info}
        mask = np.zeros(size, dtype=np.bool_)
        mask[list(values)] = True
        if key != "final_obs" and all(isinstance(value, dict) for value in values.values()):
            batched[key] = batch_infos(values, size)
        else:
            batched[key] = _array(values, size)
        batched[f"_{key}"] = mask
    return batched


def _array(values: Mapping[int, Any], size: int) -> np.ndarray[Any, Any]:
    kinds = {type(value) for value in values.values()}
    fits = all(type(value) is not int or value in INT64 for value in values.values())
    if len(kinds) == 1 and kinds <= set(TYPED) and fits:
        array = np.zeros(size, dtype=kinds.pop())
    elif kinds == {int, float} and fits:
        array = np.zeros(size, dtype=np.float64)
    else:
        array = np.full(size, None, dtype=object)
    for index, value in values.items():
        array[index] = value
    return array
