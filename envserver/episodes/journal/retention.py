"""What is kept, and for how long.

A closed episode is removed when it closed longer ago than `max_age_s`, or when there are more closed ones, or more
bytes, than the settings allow; the oldest closed goes first. Whatever they say, these stay:

- an open episode;
- one that a checkpoint was taken of which is not deleted: a fork of it needs its steps;
- one that another episode goes on from (a fork, begun or not), as long as that one is kept: its trajectory begins in
  the ancestor's steps.

Removing happens in slices of some rows, each a transaction among the episodes' own, so that no step waits long. An
episode's row goes first: a kill in between leaves the rest under a name that no read finds, and the next sweep goes
on with it. Payload files go last, after a sync: power that is lost must not bring back a row whose file is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from envserver import clock, failpoints
from envserver.episodes.journal.settings import JournalSettings
from envserver.episodes.journal.store import Reads, Writes

T = TypeVar("T")

CANDIDATES = 64
"""Episodes that one look at the table names."""
VACUUM_PAGES = 128
FREE_PAGES_KEPT = 256
"""A little room is left in the file, since the next steps want it."""

_REMOVABLE = """
episodes.closed_at IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM checkpoints
    WHERE checkpoints.episode_id = episodes.episode_id AND checkpoints.deleted_at IS NULL)
AND NOT EXISTS (SELECT 1 FROM generations
    WHERE generations.parent_episode = episodes.episode_id AND generations.episode_id <> episodes.episode_id)
AND NOT EXISTS (SELECT 1 FROM checkpoints JOIN episodes AS fork ON fork.parent_checkpoint = checkpoints.checkpoint_id
    WHERE checkpoints.episode_id = episodes.episode_id AND fork.episode_id <> episodes.episode_id)
"""


@dataclass(frozen=True)
class Sweep:
    """What one sweep removed, and what is left."""

    episodes: int = 0
    groups: int = 0
    calls: int = 0
    payloads: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    """Of the database's used pages and the payloads."""


@dataclass(frozen=True)
class Size:
    """How much there is."""

    used_bytes: int
    closed: int


class Removable(NamedTuple):
    """A closed episode that nothing keeps."""

    episode_id: str
    closed_at: float
    forked: bool


class Read(Protocol):
    """Runs something on the reading thread."""

    def __call__(self, run: Callable[[Reads], T]) -> Awaitable[T]: ...


class Write(Protocol):
    """Runs something in a transaction of the writer's."""

    def __call__(self, run: Callable[[Writes], T], durable: bool = ...) -> Awaitable[T]: ...


async def sweep(read: Read, write: Write, settings: JournalSettings, now: float) -> Sweep:
    """One sweep, as of the Unix time `now`."""
    rows = settings.slice_rows
    before: Size = await read(measure)
    for name in await read(unfinished):
        await _remove_rest(write, name, rows)
    episodes = await _remove_episodes(read, write, settings, now)
    groups = await _repeat(write, partial(remove_groups, rows=rows), rows)
    calls = await _repeat(write, partial(remove_calls, now=now, age_s=settings.call_age_s, rows=rows), rows)
    payloads = await _remove_payloads(write, rows)
    while await write(vacuum):
        pass
    after: Size = await read(measure)
    return Sweep(episodes, groups, calls, payloads, before.used_bytes, after.used_bytes)


async def _remove_episodes(read: Read, write: Write, settings: JournalSettings, now: float) -> int:
    removed, before = 0, -1
    while removed > before:
        before = removed
        size = await read(measure)
        for found in await read(removable):
            if not (_is_over(size, settings) or found.closed_at < now - settings.max_age_s):
                return removed
            removed += await write(partial(begin_removal, episode_id=found.episode_id))
            await _remove_rest(write, found.episode_id, settings.slice_rows)
            if found.forked:
                break  # it may have kept ancestors, which are older than the others found here
            size = replace(size, closed=size.closed - 1)
            if size.used_bytes > settings.max_bytes:
                size = await read(measure)
    return removed


def _is_over(size: Size, settings: JournalSettings) -> bool:
    return size.used_bytes > settings.max_bytes or size.closed > settings.max_closed_episodes


async def _remove_rest(write: Write, name: str, rows: int) -> None:
    while await write(partial(remove_slice, episode_id=name, rows=rows)):
        pass


async def _remove_payloads(write: Write, rows: int) -> int:
    removed = 0
    while digests := await write(partial(forget_payloads, rows=rows), durable=True):
        removed += await write(partial(remove_files, digests=digests))
    return removed


async def _repeat(write: Write, run: Callable[[Writes], int], rows: int) -> int:
    """Until a slice is not full."""
    total = removed = await write(run)
    while removed >= rows:
        removed = await write(run)
        total += removed
    return total


def measure(reads: Reads) -> Size:
    """How much the journal holds now."""

    def number(statement: str) -> int:
        return int(reads.connection.execute(statement).fetchone()[0])

    pages = number("PRAGMA page_count") - number("PRAGMA freelist_count")
    payloads = number("SELECT coalesce(sum(bytes), 0) FROM payloads WHERE refs > 0")
    closed = number("SELECT count(*) FROM episodes WHERE closed_at IS NOT NULL")
    return Size(pages * number("PRAGMA page_size") + payloads, closed)


def unfinished(reads: Reads) -> list[str]:
    """Episodes whose rows are gone, and not all of the rest."""
    return [row[0] for row in reads.connection.execute("SELECT episode_id FROM removals")]


def removable(reads: Reads) -> list[Removable]:
    """Some closed episodes that nothing keeps, the first closed first."""
    statement = (
        "SELECT episode_id, closed_at, parent_checkpoint IS NOT NULL OR EXISTS (SELECT 1 FROM generations WHERE "
        "generations.episode_id = episodes.episode_id AND parent_episode IS NOT NULL) "
        f"FROM episodes WHERE {_REMOVABLE} ORDER BY closed_at, position LIMIT ?"
    )
    return [Removable(*row) for row in reads.connection.execute(statement, (CANDIDATES,))]


def begin_removal(writes: Writes, episode_id: str) -> int:
    """Remove an episode's row, and note that the rest is to go: 1, or 0 when it is wanted again."""
    deleted = writes.connection.execute(f"DELETE FROM episodes WHERE episode_id = ? AND {_REMOVABLE}", (episode_id,))
    if deleted.rowcount:
        writes.connection.execute("INSERT INTO removals VALUES (?)", (episode_id,))
    return deleted.rowcount


def remove_slice(writes: Writes, episode_id: str, rows: int) -> bool:
    """Some of what is left of a removed episode; whether there may be more."""
    for table in ("steps", "checkpoints", "generations"):
        statement = f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE episode_id = ? LIMIT ?)"
        if writes.connection.execute(statement, (episode_id, rows)).rowcount:
            failpoints.hit("journal.sweep_slice")
            return True
    writes.connection.execute("DELETE FROM removals WHERE episode_id = ?", (episode_id,))
    return False


def remove_groups(writes: Writes, rows: int) -> int:
    """Closed groups none of whose episodes is left."""
    return writes.connection.execute(
        "DELETE FROM groups WHERE group_id IN (SELECT group_id FROM groups WHERE closed_at IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM episodes WHERE episodes.group_id = groups.group_id) LIMIT ?)",
        (rows,),
    ).rowcount


def remove_calls(writes: Writes, now: float, age_s: float, rows: int) -> int:
    """Keyed calls past their age: by the steady clock, or by the wall clock where another boot wrote them.

    A wall clock that is set ahead by a day must not make the repetition of a call its second execution.
    """
    return writes.connection.execute(
        "DELETE FROM calls WHERE call_key IN (SELECT call_key FROM calls WHERE boot = ? AND steady_at < ? "
        "UNION ALL SELECT call_key FROM calls WHERE created_at < ? AND boot <> ? LIMIT ?)",
        (clock.BOOT_ID, clock.steady() - age_s, now - age_s, clock.BOOT_ID, rows),
    ).rowcount


def forget_payloads(writes: Writes, rows: int) -> list[bytes]:
    """The digests of payloads that nothing refers to; their rows are gone, their files not yet."""
    found = writes.connection.execute("SELECT digest FROM payloads WHERE refs = 0 LIMIT ?", (rows,)).fetchall()
    writes.connection.executemany("DELETE FROM payloads WHERE digest = ?", found)
    strays = writes.payloads.strays if writes.payloads is not None else ()
    return [*(row[0] for row in found), *strays]


def remove_files(writes: Writes, digests: list[bytes]) -> int:
    """Remove payload files, but those that were written again meanwhile."""
    removed = 0
    for digest in digests:
        taken = writes.connection.execute("SELECT 1 FROM payloads WHERE digest = ?", (digest,)).fetchone()
        if writes.payloads is not None:
            removed += writes.payloads.remove(digest) if taken is None else writes.payloads.keep(digest)
    return removed


def vacuum(writes: Writes) -> bool:
    """Give some free pages back to the file system; whether there are more."""
    free = int(writes.connection.execute("PRAGMA freelist_count").fetchone()[0])
    if free <= FREE_PAGES_KEPT:
        return False
    for _ in range(min(VACUUM_PAGES, free - FREE_PAGES_KEPT)):
        # A page each: sqlite3 takes one step of a statement without columns, and this one takes a step a page.
        writes.connection.execute("PRAGMA incremental_vacuum(1)")
    return free > FREE_PAGES_KEPT + VACUUM_PAGES
