"""Every environment that comes with the server has spaces, and they say what its schemas say."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # comes with mcp
import numpy as np
import pytest

from envserver.episodes.catalog import installed_environments
from envserver_sdk.gymnasium import space_for

SPECS = {name: environment.spec for name, environment in installed_environments().items()}


def spoilt(value: Any, rng: np.random.Generator) -> Any:
    """The same with one thing changed, somewhere."""
    whole = {"all": copy.deepcopy(value)}
    holder: Any = whole
    place: Any = "all"
    while isinstance(holder[place], dict | list) and holder[place] and rng.integers(3):
        inner: Any = holder[place]
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        holder, place = inner, keys[int(rng.integers(len(keys)))]
    others = [None, True, -1, 3.5, "", "e12", "e12\n", [], ["Alt", "Alt"], {}, {"type": "click", "ref": "e1", "x": 1}]
    what = int(rng.integers(len(others) + 2))
    if what < len(others):
        holder[place] = others[what]
    elif isinstance(holder, dict) and holder is not whole:
        if what == len(others):
            del holder[place]
        else:
            holder[("ref", "x", "y", "more")[int(rng.integers(4))]] = 1
    return whole["all"]


@pytest.mark.parametrize("kind", ["action_schema", "observation_schema"])
@pytest.mark.parametrize("name", SPECS)
def test_a_space_holds_what_its_schema_holds_and_nothing_else(name: str, kind: str) -> None:
    schema = getattr(SPECS[name], kind)
    space, validator, rng = space_for(schema), jsonschema.Draft202012Validator(schema), np.random.default_rng(1)
    space.seed(1)
    refused = 0
    for _ in range(100):
        sample = space.sample()
        assert sample in space
        assert validator.is_valid(sample), sample
        other = spoilt(sample, rng)
        assert (other in space) is validator.is_valid(other), other
        refused += other not in space
    assert refused > 5 or kind == "observation_schema"


def test_each_kind_of_action_of_a_browser_is_sampled() -> None:
    space = space_for(SPECS["browser"].action_schema)
    space.seed(1)
    samples: list[Any] = [space.sample() for _ in range(300)]
    kinds = {sample["type"] for sample in samples}
    assert kinds == {each["properties"]["type"]["const"] for each in SPECS["browser"].action_schema["oneOf"]}
