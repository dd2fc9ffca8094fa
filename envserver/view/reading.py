"""A trajectory's JSON, taken apart while it comes: its members whole, its steps one by one.

A record may be many times as large as what is wanted of it at a time, and its largest member is a list. So the text is
cut where values end, which takes a look at nothing but strings and brackets; what has been cut out is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from envserver_sdk.models import Trajectory, TrajectoryStep

M = TypeVar("M", bound=BaseModel)

STEPS = "steps"
MAX_VALUE_BYTES = 256 << 20
"""Of one member or step: far beyond what a server takes, and below what hurts a machine."""

_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_NOTABLE = re.compile(rb'["{}\[\]]')
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb'[^ \t\r\n,:{}\[\]"]*+')


class UnreadableError(ValueError):
    """This is no trajectory, or not a whole one."""


def read_trajectory(pieces: Iterable[bytes], take: Callable[[TrajectoryStep], None]) -> Trajectory:
    """Hand over each step as it comes; returns the record without its steps. Raises: UnreadableError."""
    members: dict[str, Any] = {}
    for name, value in split(pieces):
        if name == STEPS:
            take(_valid(TrajectoryStep, parse(value), "a step"))
        else:
            members[name] = parse(value)
    if "problem" in members:
        raise UnreadableError(f"the server's disk has not kept it whole: {members['problem']}"[:500])
    return _valid(Trajectory, {**members, STEPS: []}, "the record")


def split(pieces: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Each member of one JSON object, its value as it stands; of `steps` each element. Raises: UnreadableError."""
    text = Cutter(pieces)
    text.take(b"{")
    more = text.peek() != b"}"
    if not more:
        text.take(b"}")
    while more:
        name = parse(text.value())
        if not isinstance(name, str):
            raise UnreadableError("no JSON: the name of a member is no string")
        text.take(b":")
        if name == STEPS:
            yield from ((name, element) for element in _elements(text))
        else:
            yield name, text.value()
        more = text.take(b",}") == b","
    if behind := text.peek():
        raise UnreadableError(f"no JSON: {behind!r} behind its end")


def _elements(text: Cutter) -> Iterator[bytes]:
    text.take(b"[")
    more = text.peek() != b"]"
    if not more:
        text.take(b"]")
    while more:
        yield text.value()
        more = text.take(b",]") == b","


def parse(value: bytes) -> Any:
    """Raises: UnreadableError."""
    try:
        return from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableError(f"no JSON: {error}") from None


def _valid(model: type[M], value: Any, what: str) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UnreadableError(f"{what} is none of a trajectory: {place}: {first['msg']}") from None


class Cutter:
    """Cuts values out of a JSON text that comes in pieces; never looks at a byte twice."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = bytearray()

    def peek(self) -> bytes:
        """The next byte that is no space; nothing at the end."""
        while True:
            del self._held[: self._end_of(_SPACE, 0)]
            if self._held or not self._more():
                return bytes(self._held[:1])

    def take(self, expected: bytes) -> bytes:
        """The next byte, one of `expected`. Raises: UnreadableError."""
        found = self.peek()
        if not found or found not in expected:
            wanted = " or ".join(map(chr, expected))
            raise UnreadableError(f"no JSON: {found!r} where {wanted} belongs" if found else "it breaks off")
        del self._held[:1]
        return found

    def value(self) -> bytes:
        """The next value. Raises: UnreadableError."""
        first = self.peek()
        if first == b'"':
            end = self._string_end(1)
        elif first and first in b"{[":
            end = self._container_end()
        else:
            end = self._scalar_end()
        found = bytes(self._held[:end])
        del self._held[:end]
        return found

    def _string_end(self, place: int) -> int:
        """Of the string whose first character is at `place`, behind its quote."""
        while True:
            place = self._end_of(_IN_STRING, place)
            if place < len(self._held) and self._held[place] == ord('"'):
                return place + 1
            self._need_more()  # it stands at the end, or at a backslash whose character has not come

    def _container_end(self) -> int:
        depth = place = 0
        while True:
            found = _NOTABLE.search(self._held, place)
            if found is None:
                place = len(self._held)
                self._need_more()
                continue
            place, sign = found.end(), found[0]
            if sign == b'"':
                place = self._string_end(place)
            else:
                depth += 1 if sign in b"{[" else -1
            if depth == 0:
                return place

    def _scalar_end(self) -> int:
        place = 0
        while True:
            place = self._end_of(_SCALAR, place)
            if place < len(self._held) or not self._more():
                return place

    def _end_of(self, pattern: re.Pattern[bytes], place: int) -> int:
        found = pattern.match(self._held, place)
        return found.end() if found else place

    def _need_more(self) -> None:
        if not self._more():
            raise UnreadableError("it breaks off")

    def _more(self) -> bool:
        """Raises: UnreadableError for a value without an end."""
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._held += piece
        if len(self._held) > MAX_VALUE_BYTES:
            raise UnreadableError(f"one of its values has more than {MAX_VALUE_BYTES >> 20} MiB")
        return True
