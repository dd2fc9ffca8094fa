"""The same key and body: one call, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from envserver.episodes.idempotency import IdempotencyStore, Name, Reply
from envserver.episodes.journal.errors import JournalUnavailableError
from envserver.episodes.journal.journal import Journal
from envserver.episodes.journal.rows import CallRow
from envserver_sdk.errors import IdempotencyMismatch, InfraError, InvalidRequest, Overloaded
from tests.unit.episodes.helpers import until


class Work:
    """Counts its runs; each waits for `go`."""

    def __init__(self) -> None:
        self.runs = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, _: str | None) -> Reply:
        self.runs += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Reply(b"answer %d" % self.runs)


async def run(store: IdempotencyStore, key: str, work: Work, body: bytes = b"x") -> bytes:
    return (await store.run(Name("default", "create", key), body, work)).body


@pytest.fixture
async def journal() -> AsyncIterator[Journal]:
    made = await asyncio.to_thread(Journal.open, None)
    yield made
    await made.close()


@pytest.fixture
def store(journal: Journal) -> IdempotencyStore:
    return IdempotencyStore(journal, 3, 1000, 60.0)


async def test_repetitions_attach_to_the_running_call_and_then_get_its_answer(store: IdempotencyStore) -> None:
    work = Work()
    calls = [asyncio.ensure_future(run(store, "k", work)) for _ in range(3)]
    await until(lambda: work.runs == 1)
    work.go.set()
    assert await asyncio.gather(*calls) == [b"answer 1"] * 3
    assert await run(store, "k", work) == b"answer 1"


async def test_a_call_outlives_the_request_that_began_it(store: IdempotencyStore) -> None:
    work = Work()
    first = asyncio.ensure_future(run(store, "k", work))
    await until(lambda: work.runs == 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.go.set()
    assert await run(store, "k", work) == b"answer 1"


async def test_another_body_is_a_mismatch_and_another_scope_is_another_call(store: IdempotencyStore) -> None:
    work = Work()
    work.go.set()
    await run(store, "k", work)
    with pytest.raises(IdempotencyMismatch):
        await run(store, "k", work, b"y")
    assert (await store.run(Name("default", "close", "k"), b"y", work)).body == b"answer 2"


async def test_a_failed_call_is_forgotten_so_that_it_can_be_tried_again(store: IdempotencyStore) -> None:
    work = Work()
    work.go.set()
    work.error = InfraError()
    with pytest.raises(InfraError):
        await run(store, "k", work)
    work.error = None
    assert await run(store, "k", work) == b"answer 2"


async def test_the_oldest_answers_go_first_and_running_calls_never(store: IdempotencyStore) -> None:
    done, running = Work(), Work()
    done.go.set()
    waiting = asyncio.ensure_future(run(store, "running", running))
    await until(lambda: running.runs == 1)
    for key in ("a", "b", "c", "d"):
        await run(store, key, done)
    assert await run(store, "d", done) == b"answer 4"
    assert await run(store, "a", done) == b"answer 5", "it was forgotten, and runs again"
    running.go.set()
    assert await waiting == b"answer 1"


async def test_bytes_and_age_are_bounded(journal: Journal) -> None:
    work = Work()
    work.go.set()
    small = IdempotencyStore(journal, 100, 20, 60.0)
    for key in ("a", "b", "c", "d"):
        await run(small, key, work)
    assert await run(small, "a", work) == b"answer 5"
    aged = IdempotencyStore(journal, 100, 1000, 0.0)
    await run(aged, "a", work)
    await run(aged, "b", work)
    assert await run(aged, "a", work) == b"answer 8"


async def test_too_many_running_calls_are_refused(store: IdempotencyStore) -> None:
    work = Work()
    calls = [asyncio.ensure_future(run(store, str(n), work)) for n in range(3)]
    await until(lambda: work.runs == 3)
    with pytest.raises(Overloaded):
        await run(store, "4", work)
    work.go.set()
    await asyncio.gather(*calls)


async def test_a_call_whose_answer_cannot_be_written_down_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, real = True, Journal.save_call

    async def save_call(self: Journal, row: CallRow, **options: Any) -> None:
        if full and row.body is not None:
            raise JournalUnavailableError("database or disk is full")
        await real(self, row, **options)

    monkeypatch.setattr(Journal, "save_call", save_call)
    journal = await asyncio.to_thread(Journal.open, tmp_path)
    try:
        store, work = IdempotencyStore(journal, 2, 1000, 60.0), Work()
        work.go.set()
        for _ in range(2):
            with pytest.raises(InfraError):
                await run(store, "k", work)
        with pytest.raises(IdempotencyMismatch):
            await run(store, "k", work, b"y")
        with pytest.raises(InfraError):
            await run(store, "l", work)
        with pytest.raises(Overloaded):
            await run(store, "m", work)
        full = False
        assert [await run(store, key, work) for key in ("k", "l", "k")] == [b"answer 1", b"answer 2", b"answer 1"]
        assert work.runs == 2
        kept = {Name.parse(call.call_key).key: call.body for call in await journal.calls(0.0)}
        assert kept == {"k": b"answer 1", "l": b"answer 2"}
    finally:
        await journal.close()


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb"])
async def test_a_key_is_short_and_printable(store: IdempotencyStore, key: str) -> None:
    with pytest.raises(InvalidRequest):
        await run(store, key, Work())
