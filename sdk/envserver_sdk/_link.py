"""What a client shares with its episodes, checkpoints and groups: the ways to the server, and when a call is repeated.

Whatever changes something goes over the one WebSocket; looking around and files are ordinary HTTP requests. What is
repeated for the caller: anything after a lost connection or a server that is shutting down (safe, because every call
has a name), and whatever begins a world while the node has no room.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from envserver_sdk._http import Http
from envserver_sdk._settings import Timeouts, Tls
from envserver_sdk._socket import Socket
from envserver_sdk.errors import CallTimeout, EnvserverClientError, Overloaded, QuotaExceeded

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

Undo = Callable[[M], Awaitable[object]]
"""Ends what a call began that nobody waits for any more."""


def new_key() -> str:
    return uuid.uuid4().hex


def given(**params: Any) -> dict[str, Any]:
    """Those that were not left out."""
    return {name: value for name, value in params.items() if value is not None}


class Link:
    """Belongs to one event loop."""

    def __init__(self, url: str, api_key: str | None, timeouts: Timeouts, tls: Tls, *, binary: bool = False) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.url = url
        self.timeouts = timeouts
        self.socket = Socket(url, headers, timeouts, tls, binary=binary)
        self.http = Http(url, headers, timeouts, tls)
        self._abandoned: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Idempotent. What was cancelled while it began is waited for, so that it can be undone."""
        if self._abandoned:
            await asyncio.wait(self._abandoned, timeout=self.timeouts.call_s)
        await self.socket.close()
        await self.http.close()

    async def get(self, model: type[M], path: str, query: dict[str, Any] | None = None) -> M:
        return model.model_validate_json(await self.http.call("GET", path, query=query))

    async def call(self, model: type[M], method: str, params: dict[str, Any], timeout_s: float) -> M:
        """A call that changes something, with a key of its own."""
        params = {**params, "idempotency_key": new_key()}
        _, result = await self.socket.call(method, params, timeout_s=timeout_s)
        return model.model_validate(result)

    async def begin(self, model: type[M], method: str, params: dict[str, Any], undo: Undo[M] | None = None) -> M:
        """A call that begins or wakes worlds; comes again while the node is full, within `Timeouts.create_s`.

        Should it be cancelled, it is carried through and undone: only what has an id can be closed.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self.timeouts.create_s
        refusal: Overloaded | QuotaExceeded | None = None
        while True:
            try:
                return await self._ask(model, method, params, max(0.001, give_up_at - loop.time()), undo)
            except (Overloaded, QuotaExceeded) as problem:
                if isinstance(problem, QuotaExceeded) and "retry_after_s" not in problem.extra:
                    raise  # waiting alone gives nothing back
                refusal = problem
            except CallTimeout:
                if refusal is not None:
                    raise refusal from None
                raise
            pause_s = float(refusal.extra.get("retry_after_s", 1.0)) * random.uniform(1.0, 1.25)
            if loop.time() + pause_s > give_up_at:
                raise refusal
            await asyncio.sleep(pause_s)

    async def _ask(
        self, model: type[M], method: str, params: dict[str, Any], timeout_s: float, undo: Undo[M] | None
    ) -> M:
        asking = asyncio.ensure_future(self.call(model, method, params, timeout_s))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            if undo is not None:
                abandoned = asyncio.ensure_future(_undo(asking, undo))
                self._abandoned.add(abandoned)
                abandoned.add_done_callback(self._abandoned.discard)
            raise


async def _undo(asking: asyncio.Future[M], undo: Undo[M]) -> None:
    with contextlib.suppress(EnvserverClientError):
        await undo(await asking)
