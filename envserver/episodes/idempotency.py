"""Idempotency keys: a call that changes something, sent again with the same key, happens once.

The first call with a key runs as a task of its own, detached from its request; later ones with the same key and
body attach to it or get the stored answer. A call that failed is forgotten, since trying again with the same
key is the reason for having one. Bounded by number, bytes and age: the oldest finished entries go first.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from envserver_sdk.errors import IdempotencyMismatch, InvalidRequest, Overloaded

T = TypeVar("T")

MAX_KEY_LENGTH = 255
KEY_PATTERN = "^[!-~]{1,255}$"
"""Visible ASCII, which every transport carries unchanged."""


@dataclass
class _Entry:
    fingerprint: bytes
    task: asyncio.Task[Any]
    born: float
    size_bytes: int = 0


class IdempotencyStore:
    """Answers by (scope, key); the scope says which call on what."""

    def __init__(self, max_entries: int, max_bytes: int, max_age_s: float) -> None:
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._bytes = 0

    async def run(
        self,
        scope: str,
        key: str,
        fingerprint: bytes,
        call: Callable[[], Coroutine[Any, Any, T]],
        size: Callable[[T], int],
    ) -> T:
        """The answer of `call`, run at most once for this scope and key.

        Raises: IdempotencyMismatch for another fingerprint; Overloaded when every kept entry still runs.
        """
        if not re.fullmatch(KEY_PATTERN, key):
            raise InvalidRequest(f"the idempotency key must have 1 to {MAX_KEY_LENGTH} visible ASCII characters")
        name = (scope, key)
        entry = self._entries.get(name)
        if entry is None:
            self._make_room()
            task = asyncio.get_running_loop().create_task(call())
            entry = self._entries[name] = _Entry(fingerprint, task, asyncio.get_running_loop().time())
            task.add_done_callback(lambda task: self._settle(name, entry, task, size))
        elif entry.fingerprint != fingerprint:
            raise IdempotencyMismatch("this idempotency key came with another request before")
        return await _attach(entry.task)

    def _settle(
        self, name: tuple[str, str], entry: _Entry, task: asyncio.Task[Any], size: Callable[[Any], int]
    ) -> None:
        if task.cancelled() or task.exception() is not None:
            self._entries.pop(name, None)
            return
        entry.size_bytes = size(task.result())
        self._bytes += entry.size_bytes
        self._trim()

    def _make_room(self) -> None:
        self._trim()
        if len(self._entries) >= self._max_entries and not self._forget_oldest():
            raise Overloaded("too many calls with idempotency keys are running", retry_after_s=1.0)

    def _trim(self) -> None:
        horizon = asyncio.get_running_loop().time() - self._max_age_s
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if oldest.task.done() and oldest.born < horizon:
                self._forget_oldest()
            elif self._bytes <= self._max_bytes or not self._forget_oldest():
                return

    def _forget_oldest(self) -> bool:
        for name, entry in self._entries.items():
            if entry.task.done():
                del self._entries[name]
                self._bytes -= entry.size_bytes
                return True
        return False


async def _attach(task: asyncio.Task[T]) -> T:
    """Wait for a task that outlives its waiters: cancelling the wait does not cancel the task."""
    waiter: Awaitable[T] = asyncio.shield(task)
    return await waiter
