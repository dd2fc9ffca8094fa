"""Spaces hold what they should, sample what they hold, and keep Gymnasium's own promises for spaces."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Dict, Space, Tuple
from gymnasium.vector.utils import batch_space, create_shared_memory
from hypothesis import given
from hypothesis import strategies as st

from environments.code.actions import ActionError, action_schema, parse_action
from environments.code.observations import OBSERVATION_SCHEMA
from envserver_sdk.gymnasium import JsonSpace, TextSpace, UnsupportedSchemaError, space_for

NESTED = {
    "type": "object",
    "properties": {
        "names": {
            "type": "array",
            "items": {"type": "string", "minLength": 2, "maxLength": 3},
            "minItems": 1,
            "maxItems": 2,
        },
        "count": {"type": "integer", "minimum": 3, "exclusiveMaximum": 5},
        "ratio": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
        "flag": {"type": "boolean"},
        "either": {"anyOf": [{"const": 1}, {"enum": ["a", "b"]}]},
        "tree": {"$ref": "#/$defs/tree"},
    },
    "required": ["names", "count", "tree", "unlisted"],
    "additionalProperties": {"type": "integer"},
    "$defs": {
        "tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}, "additionalProperties": False}
    },
}
VALID = {"names": ["ab"], "count": 4, "ratio": None, "flag": True, "either": "b", "tree": {"left": {}}, "unlisted": 7}
SPACES: list[Space[Any]] = [
    TextSpace(9),
    TextSpace(0),
    JsonSpace(action_schema()),
    JsonSpace(OBSERVATION_SCHEMA),
    JsonSpace(NESTED),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: repr(space)[:40])
def test_every_sample_is_in_the_space_and_comes_back_from_json(space: Space[Any]) -> None:
    samples = [space.sample() for _ in range(200)]
    assert all(sample in space for sample in samples)
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(samples)))) == samples


@pytest.mark.parametrize("space", SPACES, ids=lambda space: repr(space)[:40])
def test_a_seed_repeats_and_copies_are_equal(space: Space[Any]) -> None:
    assert space.seed(3) == 3
    first = [space.sample() for _ in range(20)]
    for other in (space, copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert other == space
        other.seed(3)
        assert [other.sample() for _ in range(20)] == first
    space.seed(4)
    assert [space.sample() for _ in range(20)] != first or space == TextSpace(0)
    assert space != TextSpace(8)


def test_a_pickled_space_goes_on_where_it_was() -> None:
    space = TextSpace(seed=1)
    space.sample()
    assert pickle.loads(pickle.dumps(space)).sample() == space.sample()


@given(st.text(st.characters(codec=None), max_size=5))
def test_text_is_all_of_unicode_but_lone_surrogates(text: str) -> None:
    space = TextSpace(4)
    has_surrogate = any(0xD800 <= ord(character) < 0xE000 for character in text)
    assert (text in space) == (len(text) <= 4 and not has_surrogate)
    assert (text in JsonSpace({"type": "string", "maxLength": 4})) == (text in space)


def test_texts_are_sampled_short_and_of_many_scripts() -> None:
    samples = [TextSpace(10**6, seed=0).sample(), *(TextSpace(10**6, seed=n).sample() for n in range(300))]
    assert max(map(len, samples)) <= 64
    assert "" in samples
    assert any(character > "\u3000" for sample in samples for character in sample)
    assert "é" in TextSpace()
    assert b"x" not in TextSpace()


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({}, True),
        ({"ratio": 0.5}, True),
        ({"names": ["abc", "de"]}, True),
        ({"names": []}, False),
        ({"names": ["ab", "cd", "ef"]}, False),
        ({"names": ["a"]}, False),
        ({"names": ("ab",)}, False),
        ({"count": 5}, False),
        ({"count": 4.0}, False),
        ({"count": True}, False),
        ({"count": np.int64(4)}, False),
        ({"ratio": 0}, False),
        ({"ratio": float("nan")}, False),
        ({"flag": 1}, False),
        ({"either": True}, False),
        ({"either": "c"}, False),
        ({"tree": {"right": {}}}, False),
        ({"tree": {"left": {"left": 1}}}, False),
        ({"more": 3}, True),
        ({"more": "3"}, False),
        ({"more\ud800": 3}, False),
    ],
    ids=repr,
)
def test_a_schema_says_what_is_in(change: dict[str, Any], valid: bool) -> None:
    assert ({**VALID, **change} in JsonSpace(NESTED)) is valid


@pytest.mark.parametrize("name", NESTED["required"])
def test_what_is_required_must_be_there(name: str) -> None:
    assert {key: value for key, value in VALID.items() if key != name} not in JsonSpace(NESTED)


def test_actions_are_told_apart_by_their_type() -> None:
    space = JsonSpace(action_schema(), seed=2)
    kinds = set()
    for _ in range(300):
        sample = space.sample()
        kinds.add(sample["type"])
        try:
            parse_action(sample)
        except ActionError as error:
            assert "NUL" in str(error)  # the one rule that the schema leaves to words
    assert kinds == {"python", "bash", "run", "write_file", "read_file", "edit", "submit"}
    assert {"type": "python"} not in space
    assert {"type": "python", "code": "1", "more": ""} not in space
    assert {"type": "fly"} not in space
    assert {"type": "submit"} in space


def test_one_of_means_exactly_one() -> None:
    space = JsonSpace({"oneOf": [{"type": "integer", "minimum": 0}, {"type": "integer", "maximum": 10}]}, seed=0)
    assert -1 in space
    assert 5 not in space
    assert all(not 0 <= space.sample() <= 10 for _ in range(100))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "pattern": "^[a-f]{9}$"}, "#/pattern has no examples"),
        ({"type": "string", "pattern": r"\S", "maxLength": 0}, "#/pattern has no examples"),
        ({"type": "string", "pattern": "a(", "examples": ["a"]}, "#/pattern"),
        ({"not": {}}, "no value"),
        ({"allOf": []}, "allOf"),
        ({"properties": {"a": {"if": {}}}}, "#/properties/a: the keyword 'if'"),
        ({"oneOf": [{"type": "text"}]}, "#/oneOf/0/type"),
        ({"$ref": "http://elsewhere"}, r"\$ref"),
        ({"$ref": "#/$defs/none"}, r"\$ref"),
        ({"enum": []}, "enum"),
        ({"items": [1]}, "items"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "no value"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/a"}}}},
            },
            "#",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_schema_that_could_not_be_kept_is_refused_where_the_space_is_made(
    schema: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnsupportedSchemaError, match=message):
        JsonSpace(schema)


def test_the_space_of_a_bounded_string_is_text() -> None:
    assert space_for({"type": "string", "maxLength": 7, "description": "x"}) == TextSpace(7)
    assert isinstance(space_for({"type": "string", "minLength": 1}), JsonSpace)


def test_a_pattern_that_text_by_chance_fits_needs_no_examples() -> None:
    space = JsonSpace({"type": "string", "pattern": r"\S", "maxLength": 3}, seed=0)
    samples = [space.sample() for _ in range(100)]
    assert all(sample.strip() and len(sample) <= 3 for sample in samples)
    assert len(set(samples)) > 50


def test_examples_that_do_not_fit_are_none() -> None:
    space = JsonSpace({"type": "string", "pattern": "^[a-f]+$", "maxLength": 3, "examples": ["abcd", "abc", 1]}, seed=0)
    assert {space.sample() for _ in range(20)} == {"abc"}


def test_a_space_shares_nothing_with_its_schema_or_its_samples() -> None:
    schema = {"const": {"a": [1]}}
    space = JsonSpace(schema)
    schema["const"]["a"].append(2)
    space.sample()["a"].append(3)
    assert space.sample() == {"a": [1]}


def test_spaces_fit_into_gymnasium_s_own() -> None:
    both: Space[Any] = Dict({"text": TextSpace(5), "value": Tuple([JsonSpace(NESTED)])}, seed=1)
    sample: Any = both.sample()
    assert sample in both
    batched = batch_space(TextSpace(5), 3)
    assert batched.sample() in batched
    with pytest.raises(ValueError, match="mask"):
        TextSpace().sample(mask=1)  # type: ignore[arg-type]


def test_no_shared_memory_is_made_for_them() -> None:
    with pytest.raises(CustomSpaceError):
        create_shared_memory(TextSpace(5), 2)
