"""Where two JSON values first differ: how a replay says what it saw otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Difference:
    """One place that differs."""

    path: str
    """A JSON Pointer (RFC 6901) into both; empty for the values themselves."""
    recorded: Any
    replayed: Any
    missing: Literal["recorded", "replayed"] | None = None
    """On which side there is nothing at that place; its value is then None."""


def first_difference(recorded: Any, replayed: Any) -> Difference | None:
    """In the order of the recorded one's members; None when they are equal.

    As JSON has them: 1 and 1.0 are one number, 1 and true are two values, members have no order.
    """
    return next(_differences(recorded, replayed, ""), None)


def _differences(recorded: Any, replayed: Any, path: str) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(replayed, dict):
        names = [*recorded, *(name for name in replayed if name not in recorded)]
        for name in names:
            yield from _member(recorded, replayed, name, f"{path}/{_escape(str(name))}")
    elif isinstance(recorded, list) and isinstance(replayed, list):
        one, two = dict(enumerate(recorded)), dict(enumerate(replayed))
        for place in range(max(len(one), len(two))):
            yield from _member(one, two, place, f"{path}/{place}")
    elif isinstance(recorded, bool) is not isinstance(replayed, bool) or recorded != replayed:
        yield Difference(path, recorded, replayed)


def _member(recorded: dict[Any, Any], replayed: dict[Any, Any], name: Any, path: str) -> Iterator[Difference]:
    if name not in replayed:
        yield Difference(path, recorded[name], None, "replayed")
    elif name not in recorded:
        yield Difference(path, None, replayed[name], "recorded")
    else:
        yield from _differences(recorded[name], replayed[name], path)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
