"""From bytes to checked values: the only way in which anything a client sends gets further.

JSON here is strict (no NaN, no lone surrogates, no numbers beyond a float) and bounded in depth; MessagePack
is held to the same values, so that an action means the same over both.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from envserver_sdk.errors import InvalidRequest

M = TypeVar("M", bound=BaseModel)

SHOWN_ERRORS = 5


def parse_json(body: bytes | str, max_depth: int) -> Any:
    """Raises: InvalidRequest."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"this is no JSON: {error}") from None
    check_value(value, max_depth)
    return value


def check_value(value: Any, max_depth: int) -> None:
    """Hold a parsed value to JSON: types, finite numbers, depth. Raises: InvalidRequest."""
    level: list[Any] = [value]
    for _ in range(max_depth + 1):
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if not all(isinstance(key, str) for key in item):
                    raise InvalidRequest("the names of an object's members must be strings")
                deeper.extend(item.values())
            elif isinstance(item, list):
                deeper.extend(item)
            elif isinstance(item, float):
                if not math.isfinite(item):
                    raise InvalidRequest("a number is too large, or none")
            elif not (item is None or isinstance(item, (str, int))):
                raise InvalidRequest(f"{type(item).__name__} is no JSON value")
        if not deeper:
            return
        level = deeper
    raise InvalidRequest(f"values are nested more than {max_depth} deep")


def parse_model(model: type[M], value: Any) -> M:
    """Raises: InvalidRequest, naming the members that are wrong but never their values."""
    if not isinstance(value, dict):
        raise InvalidRequest("an object is expected")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequest(describe(error)) from None


def describe(error: ValidationError) -> str:
    """One line for a person: `step_index: Input should be greater than or equal to 1`."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    shown = [f"{'.'.join(str(part) for part in p['loc']) or 'body'}: {p['msg']}" for p in problems[:SHOWN_ERRORS]]
    more = len(problems) - SHOWN_ERRORS
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")
