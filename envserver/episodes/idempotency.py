"""Idempotency keys: a call that changes something, sent again with the same key, happens once.

The first call with a key runs as a task of its own, detached from its request; later ones with the same key and
body attach to it or get the stored answer. A call that failed is forgotten, since trying again with the same
key is the reason for having one. Bounded by number, bytes and age: the oldest finished entries go first.

With a journal an answer is written down before anyone gets it, so that a repetition gets it from the next server too.
Where that fails, on a full disk, the call has happened all the same: a repetition tries again to write its answer down,
and does not make the call again.
A call that makes a checkpoint or a world is also written down before it begins: what it made bears its key, by which
the next server finds it and answers the repetition with it.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from envserver import clock, failpoints
from envserver.episodes.durable import written
from envserver.episodes.journal.journal import Journal
from envserver.episodes.journal.rows import CallRow
from envserver_sdk.errors import IdempotencyMismatch, InvalidRequest, Overloaded

MAX_KEY_LENGTH = 255
KEY_PATTERN = "^[!-~]{1,255}$"
"""Visible ASCII, which every transport carries unchanged."""
_SEPARATOR = "\x1f"


class Reply(NamedTuple):
    """What a call answers: an encoded body, and a status as in HTTP."""

    body: bytes
    status: int = 200


class Name(NamedTuple):
    """Whose call, which call on what, and its key."""

    tenant: str
    scope: str
    key: str

    @property
    def text(self) -> str:
        return _SEPARATOR.join(self)

    @classmethod
    def parse(cls, text: str) -> Name:
        return cls(*text.split(_SEPARATOR))


@dataclass
class _Entry:
    fingerprint: bytes
    born: float
    answer: asyncio.Future[Reply] = field(init=False)
    size_bytes: int = 0
    unwritten: Reply | None = None
    """What the call answered, as long as the journal does not have it."""


Call = Callable[[str | None], Coroutine[Any, Any, Reply]]
"""Given the key by which what it makes is found again."""


class IdempotencyStore:
    """One tenant's answers. Belongs to one event loop."""

    def __init__(self, journal: Journal, max_entries: int, max_bytes: int, max_age_s: float) -> None:
        self._journal = journal
        self._entries: OrderedDict[Name, _Entry] = OrderedDict()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._bytes = 0

    async def run(self, name: Name, fingerprint: bytes, call: Call, *, makes: bool = False) -> Reply:
        """The answer of `call`, run at most once for this name; `makes` says that what it makes bears its key.

        Raises: IdempotencyMismatch for another fingerprint; Overloaded when every kept entry still runs.
        """
        if not re.fullmatch(KEY_PATTERN, name.key):
            raise InvalidRequest(f"the idempotency key must have 1 to {MAX_KEY_LENGTH} visible ASCII characters")
        entry = self._entries.get(name)
        if entry is None:
            self._make_room()
            entry = self._entries[name] = _Entry(fingerprint, asyncio.get_running_loop().time())
            self._begin(name, entry, self._once(name, entry, call, makes))
        elif entry.fingerprint != fingerprint:
            raise IdempotencyMismatch("this idempotency key came with another request before")
        elif entry.unwritten is not None and entry.answer.done():
            self._begin(name, entry, self._write_down(name, entry, entry.unwritten))
        return await _attach(entry.answer)

    def know(self, name: Name, fingerprint: bytes, answer: Awaitable[Reply]) -> None:
        """A call that an earlier server began: its answer, or what will give it."""
        entry = self._entries[name] = _Entry(fingerprint, asyncio.get_running_loop().time())
        self._begin(name, entry, answer)

    def _begin(self, name: Name, entry: _Entry, answer: Awaitable[Reply]) -> None:
        entry.answer = asyncio.ensure_future(answer)
        entry.answer.add_done_callback(lambda answer: self._settle(name, entry, answer))

    async def _once(self, name: Name, entry: _Entry, call: Call, makes: bool) -> Reply:
        if not self._journal.journal_id:
            return await call(None)
        if makes:
            await written(self._journal.save_call(_row(name, entry.fingerprint, None)))
        failpoints.hit("server.call.begun")
        entry.unwritten = await call(name.text)
        return await self._write_down(name, entry, entry.unwritten)

    async def _write_down(self, name: Name, entry: _Entry, reply: Reply) -> Reply:
        """Raises: InfraError; the next repetition comes here again."""
        await written(self._journal.save_call(_row(name, entry.fingerprint, reply)))
        failpoints.hit("server.call.written")
        entry.unwritten = None
        return reply

    def _settle(self, name: Name, entry: _Entry, answer: asyncio.Future[Reply]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            if entry.unwritten is None:
                self._entries.pop(name, None)
            return
        entry.size_bytes = len(answer.result().body)
        self._bytes += entry.size_bytes
        self._trim()

    def _make_room(self) -> None:
        self._trim()
        if len(self._entries) >= self._max_entries and not self._forget_oldest():
            raise Overloaded("too many calls with idempotency keys are running", retry_after_s=1.0)

    def _trim(self) -> None:
        horizon = asyncio.get_running_loop().time() - self._max_age_s
        while self._entries:
            name, oldest = next(iter(self._entries.items()))
            if oldest.answer.done() and oldest.born < horizon:
                self._forget(name, oldest)
            elif self._bytes <= self._max_bytes or not self._forget_oldest():
                return

    def _forget_oldest(self) -> bool:
        """Whether there is one that may be forgotten before its time."""
        for name, entry in self._entries.items():
            if entry.answer.done() and entry.unwritten is None:
                self._forget(name, entry)
                return True
        return False

    def _forget(self, name: Name, entry: _Entry) -> None:
        del self._entries[name]
        self._bytes -= entry.size_bytes


def _row(name: Name, fingerprint: bytes, reply: Reply | None) -> CallRow:
    status, body = (None, None) if reply is None else (reply.status, reply.body)
    return CallRow(name.text, fingerprint, status, body, clock.wall(), clock.BOOT_ID, clock.steady())


async def _attach(answer: asyncio.Future[Reply]) -> Reply:
    """Wait for an answer that outlives its waiters: cancelling the wait does not cancel the call."""
    return await asyncio.shield(answer)


async def given(reply: Reply) -> Reply:
    """An answer that is there."""
    return reply
