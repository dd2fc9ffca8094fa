"""Spaces of text and of JSON values, since Gymnasium's own `Text` refuses spaces, accents and the empty string.

`space_for` makes the space of a schema that a server publishes. Both spaces are cheap to make, to copy and to compare;
samples are small whatever the bounds, and `to_jsonable` gives strict JSON that `from_jsonable` reads back exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Space

from envserver_sdk.gymnasium import codec
from envserver_sdk.gymnasium._schema import UnsupportedSchemaError, compile_schema, copy_json
from envserver_sdk.gymnasium._text import is_text, sample_text

__all__ = ["JsonSpace", "TextSpace", "UnsupportedSchemaError", "space_for"]

Seed = int | np.random.Generator | None

MAX_SAMPLE = 64
"""Characters of a sampled text."""
DEFAULT_MAX_LENGTH = 1 << 20


class TextSpace(Space[str]):
    """Any Unicode string of at most `max_length` characters without a lone surrogate, also the empty one."""

    def __init__(self, max_length: int = DEFAULT_MAX_LENGTH, *, seed: Seed = None) -> None:
        if max_length < 0:
            raise ValueError(f"max_length is {max_length}, must not be negative")
        self.max_length = int(max_length)
        super().__init__(dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        """At most `MAX_SAMPLE` characters, mostly ASCII. Masks have no meaning here. Raises: ValueError for one."""
        _refuse_masks(mask, probability)
        return sample_text(self.np_random, 0, min(self.max_length, MAX_SAMPLE))

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length and is_text(x)

    def to_jsonable(self, sample_n: Iterable[str]) -> list[Any]:
        return [codec.encode(sample) for sample in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[str]:
        return [codec.decode(document) for document in sample_n]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextSpace) and self.max_length == other.max_length

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TextSpace(max_length={self.max_length})"


class JsonSpace(Space[Any]):
    """The JSON values that fit a JSON Schema; `_schema.py` says which keywords.

    Raises: UnsupportedSchemaError for a keyword that could not be checked, or a schema that nothing fits.
    """

    def __init__(self, schema: Mapping[str, Any], *, seed: Seed = None) -> None:
        self.schema: dict[str, Any] = copy_json(dict(schema))
        self._node = compile_schema(self.schema)
        super().__init__(seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: None = None, probability: None = None) -> Any:
        """A small valid value; an optional member is there every other time. Raises: ValueError for a mask."""
        _refuse_masks(mask, probability)
        return self._node.sample(self.np_random)

    def contains(self, x: Any) -> bool:
        try:
            return self._node.contains(x)
        except RecursionError:
            return False

    def to_jsonable(self, sample_n: Iterable[Any]) -> list[Any]:
        return [codec.encode(sample) for sample in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[Any]:
        return [codec.decode(document) for document in sample_n]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonSpace) and self.schema == other.schema

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"JsonSpace({self.schema!r})"


def space_for(schema: Mapping[str, Any]) -> TextSpace | JsonSpace:
    """The space of a published schema: text where it asks for nothing but a string of bounded length."""
    bounds = set(schema) - {"title", "description", "maxLength"}
    if schema.get("type") == "string" and bounds == {"type"}:
        return TextSpace(schema.get("maxLength", DEFAULT_MAX_LENGTH))
    return JsonSpace(schema)


def _refuse_masks(mask: object, probability: object) -> None:
    if mask is not None or probability is not None:
        raise ValueError("text and JSON values are sampled without a mask or probabilities")
