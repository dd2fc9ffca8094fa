"""The rollout path: any number of calls at a time over one WebSocket that heals itself.

Every call that changes something has a name: a step its index, everything else an idempotency key. So when the
socket drops, all calls without an answer are simply sent again over the next one; the server attaches each
to what it is doing already, or answers from its record. So is a call to which a server answers that it is shutting
down: the next server goes on with it. A call ends with its answer, with its own deadline, or when
there has been no connection at all, or no server that works, for `Timeouts.reconnect_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from envserver_sdk._encoding import call_frame
from envserver_sdk._pauses import pauses
from envserver_sdk._settings import Timeouts, Tls, is_untrusted
from envserver_sdk.errors import (
    CallTimeout,
    ConnectionFailed,
    PayloadTooLarge,
    Problem,
    ShuttingDown,
    problem_from_document,
)

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

JSON, MSGPACK = "envserver.json", "envserver.msgpack"
MAX_FRAME_BYTES = 128 * 1024 * 1024
CLOSE_TOO_LARGE = 1009

OnEvent = Callable[[dict[str, Any]], None]


@dataclass
class _Call:
    frame: str | bytes
    answer: asyncio.Future[dict[str, Any]]
    on_event: OnEvent | None
    sent_over: object = None


class Socket:
    """Belongs to one event loop. Connects with the first call."""

    def __init__(
        self, url: str, headers: dict[str, str], timeouts: Timeouts, tls: Tls, *, binary: bool = False
    ) -> None:
        self._subprotocol = MSGPACK if binary else JSON
        self._url = "ws" + url.removeprefix("http") + "/v1/ws"
        self._headers = headers
        self._timeouts = timeouts
        self._tls = tls
        self._calls: dict[int, _Call] = {}
        self._last_id = 0
        self._connection: ClientConnection | None = None
        self._running: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._closed = False

    async def call(
        self, method: str, params: dict[str, Any], *, timeout_s: float, on_event: OnEvent | None = None
    ) -> tuple[int, Any]:
        """The status and result of a call. Raises: Problem, NotJson unsent, CallTimeout, ConnectionFailed."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask(method, params, on_event)
        except TimeoutError:
            raise CallTimeout(f"{method}: no answer within {timeout_s:g} s") from None

    async def _ask(self, method: str, params: dict[str, Any], on_event: OnEvent | None) -> tuple[int, Any]:
        """Until a server answers that is not shutting down."""
        loop, pause = asyncio.get_running_loop(), pauses()
        give_up_at: float | None = None
        while True:
            try:
                return await self._ask_once(method, params, on_event)
            except ShuttingDown:
                give_up_at = give_up_at or loop.time() + self._timeouts.reconnect_s
                pause_s = next(pause)
                if loop.time() + pause_s > give_up_at:
                    raise
            await asyncio.sleep(pause_s)

    async def _ask_once(self, method: str, params: dict[str, Any], on_event: OnEvent | None) -> tuple[int, Any]:
        if self._closed:
            raise ConnectionFailed("the client is closed")
        self._last_id += 1
        call_id = self._last_id
        frame = call_frame(call_id, method, params, binary=self._subprotocol == MSGPACK)
        call = _Call(frame, asyncio.get_running_loop().create_future(), on_event)
        self._calls[call_id] = call
        try:
            await self._send(call)
            answer = await call.answer
        finally:
            self._calls.pop(call_id, None)
        if "problem" in answer:
            raise problem_from_document(answer["problem"])
        return answer.get("status", 200), answer.get("result")

    async def close(self) -> None:
        """Calls under way fail. Idempotent."""
        self._closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._fail_all(ConnectionFailed("the client is closed"))

    async def _send(self, call: _Call) -> None:
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self._run())
        self._wanted.set()
        if self._connection is not None:
            await self._send_over(self._connection, call)

    async def _send_over(self, connection: ClientConnection, call: _Call) -> None:
        from websockets.exceptions import ConnectionClosed

        if call.sent_over is connection or call.answer.done():
            return
        call.sent_over = connection
        with contextlib.suppress(ConnectionClosed):  # `_run` notices too, and sends it again
            await connection.send(call.frame)

    async def _run(self) -> None:
        """Connected while there are calls; a dropped connection is made again when there are."""
        pause = pauses()
        while True:
            await self._wanted.wait()
            try:
                connection = await self._connect()
            except (Problem, ConnectionFailed) as error:
                self._wanted.clear()
                self._fail_all(error)
                continue
            try:
                self._connection = connection
                answered = await self._serve(connection)
            finally:
                self._connection = None
                await connection.close()
            if connection.close_code == CLOSE_TOO_LARGE:
                self._fail_largest()
            if not self._calls:
                self._wanted.clear()
            if answered:
                pause = pauses()
            else:  # a server that hangs up on us before it says anything is not to be hammered
                await asyncio.sleep(next(pause))

    async def _serve(self, connection: ClientConnection) -> bool:
        """Until the connection ends; returns whether anything was received."""
        from websockets.exceptions import ConnectionClosed

        answered = False
        resending = asyncio.ensure_future(self._resend(connection))
        try:
            while True:
                self._receive(await connection.recv())
                answered = True
        except ConnectionClosed:
            return answered
        finally:
            resending.cancel()
            await asyncio.gather(resending, return_exceptions=True)

    async def _resend(self, connection: ClientConnection) -> None:
        for call in list(self._calls.values()):
            await self._send_over(connection, call)

    def _receive(self, frame: str | bytes) -> None:
        message = from_json(frame) if isinstance(frame, str) else _unpacked(frame)
        if not isinstance(message, dict):
            return
        call_id = message.get("id")
        if call_id is None and "problem" in message:
            self._fail_unnamed(problem_from_document(message["problem"]))
        call = self._calls.get(call_id) if isinstance(call_id, int) else None
        if call is None:
            return
        if "event" in message:
            if call.on_event is not None:
                call.on_event(message["event"])
        elif not call.answer.done():
            call.answer.set_result(message)

    async def _connect(self) -> ClientConnection:
        """Raises: ConnectionFailed when it took too long; Problem when the server refuses us for good."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._timeouts.reconnect_s
        for pause_s in pauses():
            try:
                return await self._connect_once()
            except (OSError, TimeoutError, EOFError) as error:
                reason = error
            if loop.time() + pause_s > give_up_at or is_untrusted(reason):
                raise ConnectionFailed(f"{self._url}: {reason or type(reason).__name__}") from reason
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def _connect_once(self) -> ClientConnection:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidStatus
        from websockets.typing import Subprotocol

        try:
            return await connect(
                self._url,
                additional_headers=self._headers,
                subprotocols=[Subprotocol(self._subprotocol)],
                open_timeout=self._timeouts.connect_s,
                close_timeout=1.0,
                max_size=MAX_FRAME_BYTES,
                compression=None,
                proxy=None,
                ssl=self._tls.context() if self._url.startswith("wss:") else None,
            )
        except InvalidStatus as error:
            if error.response.status_code < 500:
                raise _refusal(bytes(error.response.body or b"")) from error
            raise ConnectionError(f"the server answered {error.response.status_code}") from error
        except InvalidHandshake as error:
            raise ConnectionError(str(error)) from error

    def _fail_unnamed(self, problem: Problem) -> None:
        """The server could not read a frame, not even whose it is: it would not answer that one in any other way."""
        sent = [c for c in self._calls.values() if c.sent_over is self._connection and not c.answer.done()]
        several = ConnectionFailed(f"the server refused one of {len(sent)} calls without saying which: {problem}")
        for call in sent:
            call.answer.set_exception(problem if len(sent) == 1 else several)

    def _fail_largest(self) -> None:
        """The server refused a frame for its size, without saying which: sent again it would be refused again."""
        sent = [call for call in self._calls.values() if call.sent_over is not None and not call.answer.done()]
        if sent:
            largest = max(sent, key=lambda call: len(call.frame))
            largest.answer.set_exception(PayloadTooLarge(f"the server takes no frame of {len(largest.frame)} bytes"))

    def _fail_all(self, error: Exception) -> None:
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(error)


def _unpacked(frame: bytes) -> Any:
    import msgpack

    return msgpack.unpackb(frame)


def _refusal(body: bytes) -> Problem:
    try:
        return problem_from_document(from_json(body))
    except ValueError:
        return problem_from_document(body.decode(errors="replace"))
