"""Exported trajectories, as they come.

Each carries a cursor, so after a lost connection or a restart of the server the next request goes on behind the last
one that arrived whole; nothing comes twice. A Parquet file can only be had in one piece.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from envserver_sdk._lazy import lazy_import
from envserver_sdk._link import Link
from envserver_sdk._pauses import pauses
from envserver_sdk._settings import is_untrusted
from envserver_sdk.errors import ConnectionFailed, ShuttingDown, problem_from_document

if TYPE_CHECKING:
    import pydantic_core

    from envserver_sdk import models
    from envserver_sdk.models import Trajectory
else:
    models = lazy_import("envserver_sdk.models")
    pydantic_core = lazy_import("pydantic_core")

PATH = "/v1/trajectories"
WRITE_BYTES = 1 << 20
"""About so much is written to a file at a time."""


async def read_trajectories(link: Link, query: dict[str, Any]) -> AsyncGenerator[Trajectory, None]:
    """Raises: as `read_lines`; the Problem of a damaged one, with its `episode_id` and `cursor` in `extra`."""
    async with aclosing(read_lines(link, query)) as lines:
        async for line in lines:
            document = pydantic_core.from_json(line)
            if "problem" in document:
                problem = problem_from_document(document["problem"])
                problem.extra |= {"episode_id": document["episode_id"], "cursor": document["cursor"]}
                raise problem
            yield models.Trajectory.model_validate(document)


async def read_lines(link: Link, query: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    """Lines without their ends. Raises: Problem, CallTimeout, ConnectionFailed."""
    loop, left, last = asyncio.get_running_loop(), query.get("limit"), b""
    waiting, give_up_at = pauses(), loop.time() + link.timeouts.reconnect_s
    while True:
        try:
            async with aclosing(link.http.stream(PATH, query | {"limit": left})) as chunks:
                async for line in _lines(chunks):
                    yield line
                    left = None if left is None else left - 1
                    last, waiting, give_up_at = line, pauses(), loop.time() + link.timeouts.reconnect_s
            return
        except (ConnectionFailed, ShuttingDown) as error:
            pause_s = next(waiting)
            if loop.time() + pause_s > give_up_at or is_untrusted(error):
                raise
        if left == 0:
            return
        if last:
            query, last = query | {"cursor": pydantic_core.from_json(last)["cursor"]}, b""
        await asyncio.sleep(pause_s)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines alone: what breaks off is none."""
    held: list[bytes] = []
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            yield b"".join((*held, part))
            held = []
        held.append(rest)


async def write_export(link: Link, path: Path, query: dict[str, Any]) -> int:
    """Write an export to a file that appears once it is whole; its bytes. Raises: as `read_lines`; OSError."""
    resumable = query["format"] == "jsonl"
    pieces = _with_ends(read_lines(link, query)) if resumable else link.http.stream(PATH, query)
    temporary = await asyncio.to_thread(_open_beside, path)
    try:
        async with aclosing(pieces):
            written = await _write(temporary, pieces)
        await asyncio.to_thread(temporary.close)
        await asyncio.to_thread(Path(temporary.name).rename, path)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(_discard, temporary))
        raise
    return written


async def _with_ends(lines: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(lines):
        async for line in lines:
            yield line + b"\n"


async def _write(file: IO[bytes], pieces: AsyncIterator[bytes]) -> int:
    held: list[bytes] = []
    size = written = 0
    async for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= WRITE_BYTES:
            written += await asyncio.to_thread(file.write, b"".join(held))
            held, size = [], 0
    return written + await asyncio.to_thread(file.write, b"".join(held))


def _open_beside(path: Path) -> IO[bytes]:
    """A file that nobody sees yet, on the same file system."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}").open("xb")


def _discard(file: IO[bytes]) -> None:
    file.close()
    Path(file.name).unlink(missing_ok=True)
