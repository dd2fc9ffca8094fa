"""Step records: what makes a step happen exactly once.

A record is made before its step runs and holds the encoded result afterwards, so that a retry attaches to
the running step or gets the same bytes. Records belong to one generation and are kept by index; their bytes in
memory are bounded an episode, the oldest go first, and the newest always stays, which is the only one that a
client without its answer can ask for. The journal has them all.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from envserver.episodes.journal.rows import StepRow
from envserver.runtimes.base import OutputListener
from envserver_sdk.errors import NotFound, Problem


def fingerprint(value: Any) -> bytes:
    """Identifies a JSON value, whatever the order of its members."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class StepRecord:
    """One step by name. Waiters use `wait` and then `result`."""

    __slots__ = ("_body", "_done", "_problem", "action", "generation", "index", "listeners", "metadata")

    def __init__(self, generation: int, index: int, action: bytes, metadata: dict[str, Any]) -> None:
        self.generation = generation
        self.index = index
        self.action = action
        """Fingerprint of the action."""
        self.metadata = metadata
        self.listeners: list[OutputListener] = []
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._body: bytes | None = None
        self._problem: Problem | None = None

    @classmethod
    def of(cls, row: StepRow) -> StepRecord:
        """As the journal has it; done, if it has a result."""
        record = cls(row.generation, row.step_index, row.fingerprint, json.loads(row.metadata))
        if row.result is not None:
            record.finish(row.result)
        return record

    @property
    def done(self) -> bool:
        return self._done.done()

    @property
    def size_bytes(self) -> int:
        return len(self._body or b"")

    def finish(self, body: bytes) -> None:
        self._body = body
        self._settle()

    def fail(self, problem: Problem) -> None:
        """The step has no result: its episode was closed or reset under it. One that has a result keeps it."""
        if not self.done:
            self._problem = problem
            self._settle()

    def _settle(self) -> None:
        self.listeners.clear()
        if not self._done.done():
            self._done.set_result(None)

    def output(self, stream: str, data: bytes) -> None:
        """An `OutputListener` that reaches everyone who streams this step."""
        for listener in self.listeners:
            listener(stream, data)

    async def wait(self, timeout_s: float) -> bool:
        """Whether the step is done within `timeout_s`. Cancelling the wait leaves the step alone."""
        if not self._done.done() and timeout_s > 0:
            await asyncio.wait((self._done,), timeout=timeout_s)
        return self._done.done()

    @property
    def result(self) -> bytes:
        """The encoded result. Raises: the problem that took the step's place."""
        if self._problem is not None:
            raise self._problem
        assert self._body is not None
        return self._body


class Records:
    """The step records of one generation."""

    def __init__(self, max_bytes: int) -> None:
        self._records: dict[int, StepRecord] = {}
        self._bytes = 0
        self._max_bytes = max_bytes
        self._unbegun: StepRecord | None = None
        """The last that never began: whoever was told to wait for it is told why."""

    def add(self, record: StepRecord) -> None:
        self._records[record.index] = record
        self._unbegun = None

    def get(self, index: int) -> StepRecord | None:
        return self._records.get(index)

    def discard(self, record: StepRecord) -> None:
        """The name of a step that never began is free again."""
        if self._records.get(record.index) is record:
            del self._records[record.index]
            self._unbegun = record

    def recall(self, record: StepRecord) -> None:
        """Hold a finished one again, beside the newest."""
        self._records = {record.index: record, **self._records}
        self._bytes += record.size_bytes

    def finish(self, record: StepRecord, body: bytes) -> None:
        """Store a result, and forget the oldest ones for which there is no room."""
        record.finish(body)
        self._bytes += record.size_bytes
        while self._bytes > self._max_bytes and len(self._records) > 1:
            oldest = self._records.pop(next(iter(self._records)))
            self._bytes -= oldest.size_bytes

    def find(self, index: int, next_index: int) -> StepRecord:
        """Raises: NotFound, saying whether the step never was or is no longer kept."""
        record = self._records.get(index)
        if record is None and self._unbegun is not None and self._unbegun.index == index:
            return self._unbegun
        if record is None:
            why = "its record is no longer kept" if index < next_index else "it has not been sent"
            raise NotFound(f"step {index}: {why}")
        return record
