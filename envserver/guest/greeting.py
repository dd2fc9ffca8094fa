"""The first frame of a connection: who the agent is, and which requests of the past it knows of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from envserver.guest import fields
from envserver.guest.series import LOOSE, MAX_SERIES

_MAX_IDS = 100_000
_SERIES_END = MAX_SERIES << 20
_LOOSE_END = LOOSE + (1 << 61)
"""Ids end far above any that a server has given out, and far below what a later one could not exceed."""


@dataclass(frozen=True)
class Hello:
    version: str
    boot_id: str
    sessions: tuple[str, ...]
    acknowledged: int
    running: tuple[int, ...]
    kept: tuple[int, ...]

    @classmethod
    def parse(cls, hello: dict[str, Any]) -> Hello:
        """Raises: MalformedError."""
        names = fields.sequence(hello, "sessions", 10_000)
        if not all(type(name) is str and len(name) < 256 for name in names):
            raise fields.MalformedError("sessions are no names")
        return cls(
            fields.text(hello, "version", 64),
            fields.text(hello, "boot_id", 64),
            tuple(names),
            fields.integer(hello, "acknowledged", high=_SERIES_END - 1),
            _ids(hello, "running"),
            _ids(hello, "kept"),
        )


def _ids(hello: dict[str, Any], key: str) -> tuple[int, ...]:
    ids = fields.sequence(hello, key, _MAX_IDS)
    if not all(type(number) is int and _is_possible(number) for number in ids):
        raise fields.MalformedError(f"{key} are no ids")
    return tuple(ids)


def _is_possible(number: int) -> bool:
    return 0 <= number < _SERIES_END or LOOSE <= number < _LOOSE_END
