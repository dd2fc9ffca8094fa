"""Exported trajectories: finds one among the lines of a file of JSON Lines, which may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from envserver.view.reading import UnreadableError, parse, split

PIECE_BYTES = 256 << 10
NAMED = 5
"""So many of a file's episodes are named to whoever has to pick one."""


@dataclass(frozen=True)
class Line:
    """Where a record is."""

    offset: int
    episode_id: str
    generation: int


def find(file: BinaryIO, episode_id: str | None, generation: int | None) -> Line:
    """The line of an episode, of its last generation unless told otherwise; without an id that of the only one.

    Raises: UnreadableError where there is none, or several to choose from; OSError.
    """
    found: Line | None = None
    others: dict[str, None] = {}
    for line in _lines(file):
        others.setdefault(line.episode_id)
        if episode_id in (None, line.episode_id) and generation in (None, line.generation):
            found = line if found is None or line.generation >= found.generation else found
        if episode_id is None and len(others) > NAMED:
            break
    names = ", ".join(list(others)[:NAMED]) + (", ..." if len(others) > NAMED else "")
    if episode_id is None and len(others) > 1:
        raise UnreadableError(f"there are several episodes in it, name one: {names}")
    if found is None:
        wanted = " ".join(filter(None, (episode_id, f"generation {generation}" if generation else None)))
        raise UnreadableError(f"it has no {wanted or 'trajectory'}" + (f"; it has {names}" if names else ""))
    return found


def pieces_of(file: BinaryIO, line: Line) -> Iterator[bytes]:
    """Its bytes. Raises: OSError."""
    file.seek(line.offset)
    return _pieces(file)


def _lines(file: BinaryIO) -> Iterator[Line]:
    number = 0
    while True:
        number, offset, pieces = number + 1, file.tell(), _pieces(file)
        first = next(pieces, None)
        if first is None:
            return
        if first.strip():
            yield _read_head(first, pieces, number, offset)
        for _ in pieces:  # the rest of the line
            pass


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """Of one line."""
    while piece := file.readline(PIECE_BYTES):
        yield piece
        if piece.endswith(b"\n"):
            return


def _read_head(first: bytes, rest: Iterator[bytes], number: int, offset: int) -> Line:
    """No more of the line than has its name. The record of a damaged one has a cursor alone: place and generation."""
    try:
        episode_id = generation = None
        for name, value in split(chain((first,), rest)):
            if name == "episode_id":
                episode_id = parse(value)
            elif name == "generation":
                generation = parse(value)
            elif name == "cursor" and generation is None:
                generation = int(str(parse(value)).partition(".")[2] or 0)
            if isinstance(episode_id, str) and isinstance(generation, int):
                return Line(offset, episode_id, generation)
    except ValueError as error:
        raise UnreadableError(f"line {number} is no trajectory: {error}") from None
    raise UnreadableError(f"line {number} is no trajectory: it names no episode")
