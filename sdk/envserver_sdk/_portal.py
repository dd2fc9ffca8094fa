"""From synchronous code into an event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

from envserver_sdk.errors import ConnectionFailed

T = TypeVar("T")

_END: Any = object()


async def _next(items: AsyncIterator[T]) -> T:
    """`_END` after the last one."""
    return await anext(items, _END)


class Portal:
    """One daemon thread with one event loop, started with the first call; safe to use from many threads."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. An interrupt of the waiting thread (Ctrl-C) cancels it."""
        try:
            loop = self._running_loop()
        except ConnectionFailed:
            coroutine.close()
            raise
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """The same items, each made when it is asked for; closed with this one, should that be left early."""
        try:
            while (item := self.run(_next(items))) is not _END:
                yield item
        finally:
            close = getattr(items, "aclose", None)
            if close is not None and self.inside():  # where the garbage collector happened to come by
                asyncio.ensure_future(close())  # noqa: RUF006  # nobody waits for it
            elif close is not None and not self._closed:
                self.run(close())

    @property
    def closed(self) -> bool:
        return self._closed

    def inside(self) -> bool:
        """Whether the calling thread is this portal's own, which cannot wait for itself."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Stop the thread. Idempotent."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise ConnectionFailed("the client is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="envserver-sdk", daemon=True)
                self._thread.start()
            return self._loop
