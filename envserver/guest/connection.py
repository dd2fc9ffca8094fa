"""One connection to one guest agent: requests with ids, their responses, and output events between.

A request's id outlives the connection: when the socket drops while the agent lives, the connection is made again
and what has no response is sent again under its old id, which the agent runs once. When the agent is gone, or has
broken the protocol, every pending and every later request fails, and the sandbox is to be given up.

Requests of a series (envserver/guest/series.py) outlive the server too. Of the others the agent forgets the response
as soon as a frame says that nobody waits for it any more: `done`.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import msgpack

from envserver.errors import EnvserverError
from envserver.guest import fields
from envserver.guest.greeting import Hello
from envserver.guest.series import LOOSE, Series

MAX_FRAME_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 900_000
"""Of one binary argument or result: leaves room for the rest of the frame."""
_LENGTH = struct.Struct(">I")
_DIAL_INTERVAL_S = 0.0005
_REDIAL_S = 1.0
"""An agent that nobody listens for any more has ended."""
_GREETING_S = 15.0
"""One that takes the call and says nothing may be starved, with its whole machine: it is waited for."""
_REDIALS_MAX = 32
"""In a connection's life. An agent has no reason to hang up; one that does so for ever must not keep us busy."""
_EVENT_SLACK_BYTES = 1 << 20
_MAX_DONE = 1000
"""Ids in one frame, by the protocol."""

EventListener = Callable[[str, bytes], None]


class GuestGoneError(EnvserverError):
    """The guest agent has ended or cannot be reached."""


class GuestSilentError(GuestGoneError):
    """The agent did not answer in time; whether it still runs is not known."""


class GuestMalformedError(GuestGoneError):
    """The guest agent broke the protocol; it was hung up on for good."""


class GuestRefusedError(EnvserverError):
    """The guest agent answered with an error; `code` is one of docs/guest-protocol.md's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code


class GuestForgottenError(EnvserverError):
    """The request belongs to a settled series: whether it ran, and what came of it, is not known any more."""


@dataclass(eq=False)
class _Waiter:
    """Whoever wants a response. Two may want the same: a series was begun again while its request runs."""

    response: asyncio.Future[dict[str, Any]]
    on_event: EventListener | None


@dataclass
class _Pending:
    frame: bytes
    event_bytes_left: int
    waiters: list[_Waiter] = field(default_factory=list)

    def answer(self, answer: dict[str, Any] | EnvserverError) -> None:
        for waiter in self.waiters:
            if waiter.response.done():
                continue
            if isinstance(answer, EnvserverError):
                waiter.response.set_exception(answer)
                waiter.response.exception()  # its waiter may be cancelled before it looks
            else:
                waiter.response.set_result(answer)


class GuestConnection(asyncio.Protocol):
    """Use `GuestConnection.dial`. Belongs to one event loop."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._pending: dict[int, _Pending] = {}
        self._next_loose = LOOSE
        self._done: dict[int, None] = {}  # in order, and each once
        self.series = Series()
        self._failure: GuestGoneError | None = None
        self._hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._redial: asyncio.Task[None] | None = None
        self._redials_left = _REDIALS_MAX
        self._hung_up = asyncio.Event()
        self._closing = False
        self._parted: asyncio.Event | None = None

    @classmethod
    async def dial(cls, socket: Path, *, timeout_s: float = 10.0) -> GuestConnection:
        """Connect to an agent that may still be starting.

        Raises: GuestGoneError, GuestMalformedError.
        """
        connection = cls(socket)
        try:
            await connection._connect(timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _connect(self, timeout_s: float, greeting_s: float | None = None) -> Hello:
        """Within `timeout_s`; where `greeting_s` is given, that is for the greeting, from when it takes the call."""
        loop = asyncio.get_running_loop()
        if self._hello.done():
            self._hello = loop.create_future()
        try:
            async with asyncio.timeout(timeout_s) as limit:
                interval = _DIAL_INTERVAL_S
                while True:
                    try:
                        await loop.create_unix_connection(lambda: self, str(self._socket))
                        break
                    except (FileNotFoundError, ConnectionRefusedError, PermissionError):
                        # Not there yet: the agent has still to bind. Permission: not yet world-writable.
                        await asyncio.sleep(interval)
                        interval = min(interval * 1.5, 0.05)
                if greeting_s is not None:
                    timeout_s = greeting_s
                    limit.reschedule(loop.time() + greeting_s)
                # Shielded: a redial may wait for the same greeting, and the time-out of one is not the other's.
                return await asyncio.shield(self._hello)
        except TimeoutError:
            raise GuestGoneError(f"the guest agent did not greet within {timeout_s:g} s") from None
        except OSError as error:
            raise GuestGoneError(f"the guest agent cannot be reached: {error}") from error

    # --- requests -------------------------------------------------------------------------------

    async def request(
        self,
        op: str,
        arguments: dict[str, Any],
        *,
        timeout_s: float,
        on_event: EventListener | None = None,
        event_bytes: int = 0,
        repeatable: bool = False,
    ) -> dict[str, Any]:
        """Send one request and return its `ok` map, unchecked. Within a series it is that series' next.

        Cancelling stops waiting, not the request. A missing response within `timeout_s` is the agent's
        end, since it is told smaller limits. `repeatable`: it changes nothing, so outside of a series the agent keeps
        no response and, should the connection drop, carries it out again.
        Raises: GuestRefusedError, GuestForgottenError, GuestGoneError, GuestMalformedError.
        """
        if self._failure is not None:
            raise self._failure
        named = self.series.next_id()
        if named is None:
            return await self._loose(op, arguments, timeout_s, on_event, event_bytes, repeatable)
        if named not in self._pending:
            self._send(named, op, arguments, event_bytes)
        return await self._wait(named, op, timeout_s, on_event)

    async def _loose(
        self,
        op: str,
        arguments: dict[str, Any],
        timeout_s: float,
        on_event: EventListener | None = None,
        event_bytes: int = 0,
        repeatable: bool = False,
    ) -> dict[str, Any]:
        """One whose response the agent may forget as soon as we have it, or want it no more."""
        request_id = self._next_loose
        self._next_loose += 1
        if repeatable:
            self._done[request_id] = None
        self._send(request_id, op, arguments, event_bytes)
        try:
            return await self._wait(request_id, op, timeout_s, on_event)
        finally:
            if not repeatable:
                self._done[request_id] = None

    def _send(self, request_id: int, op: str, arguments: dict[str, Any], event_bytes: int) -> None:
        message = {"id": request_id, "ack": self.series.acknowledgement, "op": op, **arguments}
        # The newest first: it may be this request itself.
        done = list(islice(reversed(self._done), _MAX_DONE))
        frame = self._encode(message | {"done": done} if done else message)
        for number in done:
            # Should the frame be lost on its way, the next greeting names again what is still kept.
            del self._done[number]
        self._pending[request_id] = _Pending(frame, event_bytes + _EVENT_SLACK_BYTES)
        if self._transport is not None:
            self._transport.write(frame)

    async def _wait(self, request_id: int, op: str, timeout_s: float, on_event: EventListener | None) -> dict[str, Any]:
        pending = self._pending[request_id]
        waiter = _Waiter(asyncio.get_running_loop().create_future(), on_event)
        pending.waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter.response
        except TimeoutError:
            failure = GuestSilentError(f"the guest agent did not answer {op!r} within {timeout_s:.1f} s")
            self._fail(failure)
            raise failure from None
        finally:
            pending.waiters.remove(waiter)
            if not pending.waiters and self._pending.get(request_id) is pending:
                del self._pending[request_id]

    @staticmethod
    def _encode(message: dict[str, Any]) -> bytes:
        body: bytes = msgpack.packb(message, use_bin_type=True)
        if len(body) > MAX_FRAME_BYTES:
            raise ValueError(f"a request of {len(body)} bytes exceeds the frame limit of {MAX_FRAME_BYTES}")
        return _LENGTH.pack(len(body)) + body

    async def part(self, timeout_s: float) -> dict[str, Any]:
        """Have the agent let go of this connection, and do not dial again until `rejoin`: a dump allows none."""
        if self._failure is not None:
            raise self._failure
        self._parted = parted = asyncio.Event()
        try:
            # Never of a series: asked for again by a copy of the sandbox, it would be answered without being done.
            answer = await self._loose("quiesce", {}, timeout_s)
            async with asyncio.timeout(timeout_s):
                await parted.wait()
        except TimeoutError:
            failure = GuestGoneError(f"the guest agent did not hang up within {timeout_s:.1f} s of saying so")
            self._fail(failure)
            raise failure from None
        except BaseException:
            self._parted = None
            raise
        return answer

    async def rejoin(self) -> None:
        """Connect again after `part`. Raises: GuestGoneError."""
        self._parted = None
        if self._failure is None and self._transport is None:
            try:
                await self._connect(timeout_s=10.0)
            except GuestGoneError as error:
                self._fail(error)
                raise

    @property
    def failure(self) -> GuestGoneError | None:
        """Why the agent is given up; None while it serves."""
        return self._failure

    def close(self) -> None:
        """Hang up; pending requests fail. Idempotent."""
        self._closing = True
        self._fail(GuestGoneError("the connection was closed"))

    # --- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._buffer.clear()
        for pending in self._pending.values():
            self._transport.write(pending.frame)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            while len(self._buffer) >= _LENGTH.size:
                length = _LENGTH.unpack_from(self._buffer)[0]
                if not 0 < length <= MAX_FRAME_BYTES:
                    raise fields.MalformedError(f"a frame of {length} bytes")
                if len(self._buffer) < _LENGTH.size + length:
                    return
                body = bytes(memoryview(self._buffer)[_LENGTH.size : _LENGTH.size + length])
                del self._buffer[: _LENGTH.size + length]
                self._take(self._decode(body))
        except fields.MalformedError as error:
            self._fail(GuestMalformedError(f"the guest agent broke the protocol: {error}"))

    @staticmethod
    def _decode(body: bytes) -> dict[str, Any]:
        try:
            message = msgpack.unpackb(body, raw=False, strict_map_key=True)
        except Exception as error:  # the decoder raises a dozen kinds on hostile input
            raise fields.MalformedError(f"no MessagePack: {type(error).__name__}") from error
        if type(message) is not dict:
            raise fields.MalformedError("a frame that is no map")
        return message

    def _take(self, message: dict[str, Any]) -> None:
        if "hello" in message:
            self._greet(fields.mapping(message, "hello"))
            return
        request_id = fields.integer(message, "id")
        if "event" in message:
            self._take_event(self._pending.get(request_id), message)
            return
        answer = self._refusal(message) if "error" in message else fields.mapping(message, "ok")
        # At once, not when its waiter wakes: who asks from now on is answered by the agent.
        pending = self._pending.pop(request_id, None)
        if pending is not None:
            pending.answer(answer)

    @staticmethod
    def _refusal(message: dict[str, Any]) -> EnvserverError:
        error = fields.mapping(message, "error")
        code, text = fields.text(error, "code", 64), fields.text(error, "message", 4096)
        return GuestForgottenError(text) if code == "acknowledged" else GuestRefusedError(code, text)

    def _greet(self, message: dict[str, Any]) -> None:
        if self._hello.done():
            raise fields.MalformedError("a second greeting")
        hello = Hello.parse(message)
        known = (*hello.running, *hello.kept)
        self.series.learn(hello.acknowledged, known)
        for request_id in known:
            if request_id >= LOOSE:
                self._next_loose = max(self._next_loose, request_id + 1)
                if request_id not in self._pending:
                    # An earlier server's, or one whose caller has gone. Nobody will ask for it.
                    self._done[request_id] = None
        self._hello.set_result(hello)

    def _take_event(self, pending: _Pending | None, message: dict[str, Any]) -> None:
        stream = fields.text(message, "stream", 16)
        data = fields.binary(message, "data", MAX_FRAME_BYTES)
        if stream not in ("stdout", "stderr"):
            raise fields.MalformedError(f"an event of stream {stream!r}")
        if pending is None:
            return  # of a request whose caller no longer waits
        pending.event_bytes_left -= len(data)
        if pending.event_bytes_left < 0:
            raise fields.MalformedError("more output events than the request's limit")
        for waiter in pending.waiters:
            if waiter.on_event is not None:
                waiter.on_event(stream, data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        if self._parted is not None:
            self._parted.set()
        elif self._redial is not None:
            self._hung_up.set()
        elif self._failure is None and not self._closing:
            self._redial = asyncio.get_running_loop().create_task(self._dial_again())

    async def _dial_again(self) -> None:
        try:
            while self._transport is None:  # it may hang up again as soon as it has greeted
                if self._redials_left == 0:
                    self._fail(GuestMalformedError(f"the guest agent hung up {_REDIALS_MAX} times"))
                    return
                self._redials_left -= 1
                await self._connect_again()
        except GuestGoneError as error:
            self._fail(GuestGoneError(f"the guest agent has ended: {error}"))
        finally:
            self._redial = None

    async def _connect_again(self) -> None:
        """Return when it has greeted, or hung up once more. Raises: GuestGoneError."""
        self._hung_up.clear()
        connecting = asyncio.ensure_future(self._connect(_REDIAL_S, _GREETING_S))
        hanging_up = asyncio.ensure_future(self._hung_up.wait())
        try:
            await asyncio.wait((connecting, hanging_up), return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                connecting.result()
        finally:
            connecting.cancel()
            hanging_up.cancel()
            await asyncio.gather(connecting, hanging_up, return_exceptions=True)

    def _fail(self, failure: GuestGoneError) -> None:
        if self._failure is None:
            self._failure = failure
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        if not self._hello.done():
            self._hello.set_exception(self._failure)
            self._hello.exception()  # nobody may be waiting
        for pending in self._pending.values():
            pending.answer(self._failure)
        if self._redial is not None and self._redial is not asyncio.current_task():
            self._redial.cancel()
