"""Actions as they arrive, made into members of a space: or refused, with what would be right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envserver_sdk.gymnasium import codec

Space = spaces.Space[Any]
Names = Sequence[str]

MAX_SHOWN = 200
MAX_STEPS = 100_000


class RefusedError(ValueError):
    """Nothing was done; the message says what was wrong and what would be right."""


def read(space: Space, document: Any, names: Names = ()) -> Any:
    """The action of a codec document. Plain JSON will do: a list for an array or a tuple. Raises: RefusedError."""
    return check(space, _decode(document), names)


def read_many(space: Space, documents: Any, names: Names = ()) -> list[Any]:
    """The actions of a list of documents, or of one array with an action a row. Raises: RefusedError, before any."""
    if isinstance(documents, list):
        if isinstance(space, spaces.Discrete) and all(type(value) is int for value in documents):
            return _numbers(space, documents, documents, names)
        return [_read_at(space, number, document, names) for number, document in enumerate(documents)]
    rows = _decode(documents)
    if not isinstance(rows, np.ndarray) or rows.ndim < 1 or len(rows) == 0:
        raise RefusedError("'actions' must be a list of actions, or one array with an action a row; one or more")
    if len(rows) > MAX_STEPS:
        raise RefusedError(f"'actions' has {len(rows)} rows, at most {MAX_STEPS} are allowed")
    whole = rows.ndim == 1 and rows.dtype.kind in "iu"
    if isinstance(space, spaces.Discrete) and whole and np.can_cast(rows.dtype, space.dtype):
        # In the space's own type, so that no environment computes with the few bits of what was sent.
        return _numbers(space, list(rows.astype(space.dtype)), rows.tolist(), names)
    return [_read_at(space, number, row, names, decoded=True) for number, row in enumerate(rows)]


def _numbers(space: spaces.Discrete, actions: list[Any], values: list[int], names: Names) -> list[Any]:
    """`actions`, whose values are integers, looked at all at once: one at a time costs more than a cheap step."""
    for value in set(values):
        if not space.start <= value < space.start + space.n:
            return [_read_at(space, number, each, names, decoded=True) for number, each in enumerate(values)]
    return actions


def _read_at(space: Space, number: int, value: Any, names: Names, *, decoded: bool = False) -> Any:
    try:
        return check(space, value, names) if decoded else read(space, value, names)
    except RefusedError as error:
        raise RefusedError(f"actions[{number}]: {error}; none was taken") from None


def _decode(document: Any) -> Any:
    try:
        return codec.decode(document)
    except (ValueError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        raise RefusedError(f"the action is no document of the codec: {error}") from None


def check(space: Space, value: Any, names: Names = ()) -> Any:
    """The value as a member of the space. Raises: RefusedError."""
    value = _coerced(space, value)
    level, gymnasium.logger.min_level = gymnasium.logger.min_level, gymnasium.logger.ERROR
    try:
        fits = bool(space.contains(value))
    except Exception:  # a space may choke on what is none of its own
        fits = False
    finally:
        gymnasium.logger.min_level = level
    if not fits:
        raise RefusedError(f"the action {_short(value)} is not in the action space; right is {legal(space, names)}")
    return value


def _coerced(space: Space, value: Any) -> Any:
    """Lists and dictionaries of plain JSON as what the space asks for, where that loses nothing."""
    if isinstance(space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary) and _is_list(value, (int, float)):
        return _array(space, value)
    if isinstance(space, spaces.Tuple) and type(value) in (list, tuple) and len(value) == len(space.spaces):
        return tuple(_coerced(inner, item) for inner, item in zip(space.spaces, value, strict=True))
    if isinstance(space, spaces.Dict) and type(value) is dict:
        return {key: _coerced(space.spaces[key], item) if key in space.spaces else item for key, item in value.items()}
    return value


def _is_list(value: Any, kinds: tuple[type, ...]) -> bool:
    return type(value) is list and all(_is_list(item, kinds) or type(item) in kinds for item in value)


def _array(space: Space, value: list[Any]) -> Any:
    try:
        array = np.array(value)
        cast = array.astype(space.dtype)
    except (ValueError, OverflowError):  # ragged, or too large
        return value
    whole = np.dtype(space.dtype).kind == "f" or (array.dtype.kind in "iub" and (cast == array).all())
    return cast if whole else value


def parse(space: Space, text: str, names: Names = ()) -> Any:
    """The action that a text names: by number or name where it is Discrete, else as JSON. Raises: RefusedError."""
    said = text.strip()
    lowered = " ".join(said.lower().replace("_", " ").split())
    if lowered in names and isinstance(space, spaces.Discrete):
        return check(space, int(space.start) + list(names).index(lowered))
    if isinstance(space, spaces.Text):
        return check(space, said)
    try:
        document = json.loads(said)
    except (ValueError, RecursionError):
        raise RefusedError(f"the text {_short(text)} names no action; right is {legal(space, names)}") from None
    return read(space, document, names)


def legal(space: Space, names: Names = ()) -> str:
    """What the space takes, in words."""
    if isinstance(space, spaces.Discrete):
        first, last = int(space.start), int(space.start + space.n - 1)
        named = "".join(f", {first + number} {name}" for number, name in enumerate(names))
        return f"an integer from {first} to {last}" + (f" ({named[2:]})" if named else "")
    if isinstance(space, spaces.Box) and space.shape is not None:
        low, high = space.low.min(initial=np.inf), space.high.max(initial=-np.inf)
        return f"{_nested(space.shape)} of {space.dtype} from {low:g} to {high:g}"
    if isinstance(space, spaces.MultiBinary):
        return f"{_nested(space.shape)} of 0 and 1"
    if isinstance(space, spaces.MultiDiscrete):
        last_ones = (space.start + space.nvec - 1).tolist()
        return _cut(f"{_nested(space.shape)} of integers from {space.start.tolist()} to {last_ones}")
    return _cut(f"a value of {space}")


def _nested(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"a list of {shape[0]} number{'s' * (shape[0] != 1)}"
    return f"an array of shape {list(shape)}"


def _short(value: Any) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
