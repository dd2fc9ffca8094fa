"""JSON Lines: a trajectory a line, and a problem in the place of one that is damaged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from pydantic_core import to_json

from envserver.episodes.trajectory import encode_record
from envserver.export.selection import Damaged, Selection
from envserver_sdk.errors import InfraError

MEDIA_TYPE = "application/x-ndjson"
PIECE_BYTES = 256 * 1024
"""About so much is sent at a time, so that a slow reader fills no socket's buffer with a whole trajectory."""


async def write_jsonl(selection: Selection) -> AsyncGenerator[bytes, None]:
    """Each line in pieces. Raises: JournalError."""
    async with aclosing(selection.records()) as records:
        async for each in records:
            if isinstance(each, Damaged):
                yield encode_damaged(each)
                continue
            for piece in in_pieces(encode_record(each)):
                yield piece
            yield b"\n"
            del each


def in_pieces(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, joined to about `PIECE_BYTES`."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def encode_damaged(damaged: Damaged) -> bytes:
    problem = InfraError(damaged.detail).document()
    return to_json({"episode_id": damaged.episode_id, "cursor": damaged.cursor, "problem": problem}) + b"\n"
