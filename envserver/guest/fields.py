"""Takes typed, bounded fields out of what an untrusted agent sent. One exception for all that is wrong."""

from __future__ import annotations

from typing import Any


class MalformedError(ValueError):
    """A field is missing, of another type, or out of bounds."""


def _present(fields: dict[str, Any], key: str) -> Any:
    if key not in fields:
        raise MalformedError(f"{key} is missing")
    return fields[key]


def integer(fields: dict[str, Any], key: str, low: int = 0, high: int = 2**63) -> int:
    value = _present(fields, key)
    if type(value) is not int or not low <= value <= high:
        raise MalformedError(f"{key} is no integer from {low} to {high}")
    return value


def optional_integer(fields: dict[str, Any], key: str, low: int, high: int) -> int | None:
    return None if fields.get(key) is None else integer(fields, key, low, high)


def boolean(fields: dict[str, Any], key: str) -> bool:
    value = _present(fields, key)
    if type(value) is not bool:
        raise MalformedError(f"{key} is no boolean")
    return value


def binary(fields: dict[str, Any], key: str, limit: int) -> bytes:
    value = _present(fields, key)
    if type(value) is not bytes or len(value) > limit:
        raise MalformedError(f"{key} is no binary of at most {limit} bytes")
    return value


def optional_binary(fields: dict[str, Any], key: str, limit: int) -> bytes | None:
    return None if fields.get(key) is None else binary(fields, key, limit)


def text(fields: dict[str, Any], key: str, limit: int) -> str:
    value = _present(fields, key)
    if type(value) is not str or len(value) > limit:
        raise MalformedError(f"{key} is no string of at most {limit} characters")
    return value


def mapping(fields: dict[str, Any], key: str) -> dict[str, Any]:
    value = _present(fields, key)
    if type(value) is not dict:
        raise MalformedError(f"{key} is no map")
    return value


def sequence(fields: dict[str, Any], key: str, limit: int) -> list[Any]:
    value = _present(fields, key)
    if type(value) is not list or len(value) > limit:
        raise MalformedError(f"{key} is no list of at most {limit} entries")
    return value
