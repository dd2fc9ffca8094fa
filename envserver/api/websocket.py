"""`WS /v1/ws`: every call, any number at a time, on one connection.

Each frame is a call that runs in a task of its own and answers when it is done, so answers overtake each
other. Memory is bounded at both ends: a connection that has `ws_max_in_flight` calls running, or frames of
`ws_in_flight_bytes`, is not read from, and what the other side does not take waits in an outbox of
`ws_outbox_bytes`: past that results wait with their calls, streamed output is dropped (the client is told how
much), and a reader that takes nothing for `ws_send_timeout_s` is disconnected. That loses nothing: steps run on, and
are fetched by name.
"""

from __future__ import annotations

import asyncio
import codecs as text_codecs
import contextlib
from collections import deque
from functools import partial
from typing import Any, TypeGuard

import msgpack
from pydantic_core import from_json
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from envserver.access.keyring import Caller
from envserver.api.calls import Calls
from envserver.api.codecs import CODECS, CallId, Codec, Frame, JsonCodec
from envserver.api.guard import CALLER
from envserver.api.methods import Call, FileReply, dispatch
from envserver.api.problems import as_problem, encode_problem
from envserver.logs import get_logger
from envserver.runtimes.base import OutputListener
from envserver_sdk.errors import InvalidRequest

log = get_logger(__name__)

CLOSE_POLICY = 1008
MAX_ID_LENGTH = 64


class WebSocketEndpoint:
    """The ASGI endpoint."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        asked: list[str] = scope.get("subprotocols", [])
        chosen = next((name for name in CODECS if name in asked), None)
        await websocket.accept(subprotocol=chosen)
        caller: Caller = scope[CALLER]
        await Connection(self._calls, caller, websocket, CODECS[chosen or JsonCodec.subprotocol]).serve()


class Connection:
    """One client's connection."""

    def __init__(self, calls: Calls, caller: Caller, websocket: WebSocket, codec: Codec) -> None:
        self._calls = calls
        self._caller = caller
        self._config = calls.config
        self._websocket = websocket
        self._codec = codec
        self._slots = asyncio.Semaphore(calls.config.ws_max_in_flight)
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight_bytes = 0
        self._settled = asyncio.Event()
        """Whether the frames of running calls leave room for another."""
        self._settled.set()
        self._outbox: deque[Frame] = deque()
        self._outbox_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def serve(self) -> None:
        """Until either side ends it or the caller's key ends; calls that still wait for an answer are let go of."""
        reading = asyncio.ensure_future(self._read())
        writing = asyncio.ensure_future(self._write())
        both = (reading, writing)
        revoked = asyncio.Event()
        forget = self._caller.when_ended(revoked.set)
        watching = asyncio.ensure_future(revoked.wait())
        try:
            await asyncio.wait((*both, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            forget()
            watching.cancel()
            ending = [task for task in (*both, *self._tasks) if not task.done()]
            for task in ending:
                task.cancel()
            await asyncio.gather(*both, *ending, return_exceptions=True)
            if revoked.is_set():
                with contextlib.suppress(RuntimeError, WebSocketDisconnect, OSError):  # it may have gone by itself
                    await self._websocket.close(CLOSE_POLICY, "the API key has ended")

    # Reading

    async def _read(self) -> None:
        while True:
            await self._slots.acquire()
            message = await self._websocket.receive()
            if message["type"] != "websocket.receive":
                return
            frame: Frame = message.get("text") or message.get("bytes") or b""
            self._take_in(len(frame))
            task = asyncio.ensure_future(self._answer(frame))
            self._tasks.add(task)
            task.add_done_callback(partial(self._answered, len(frame)))
            await self._settled.wait()

    def _take_in(self, size: int) -> None:
        self._in_flight_bytes += size
        if self._in_flight_bytes > self._config.ws_in_flight_bytes:
            self._settled.clear()

    def _answered(self, size: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        self._in_flight_bytes -= size
        if self._in_flight_bytes <= self._config.ws_in_flight_bytes:
            self._settled.set()

    async def _answer(self, frame: Frame) -> None:
        async with contextlib.AsyncExitStack() as held:
            answer = await self._make_answer(frame, held)
            await self._room.wait()
            self._put(answer)

    async def _make_answer(self, frame: Frame, held: contextlib.AsyncExitStack) -> Frame:
        call_id: CallId | None = None
        try:
            call_id, method, params = self._open(frame)
            stream = Stream(self, call_id)
            reply = await dispatch(method, Call(self._calls.by(self._caller), self._codec, params, stream.open, held))
            stream.close()
            if isinstance(reply, FileReply):
                return self._codec.file(call_id, reply.path, reply.data)
            return self._codec.result(call_id, reply.status, reply.body)
        except Exception as error:
            call_id = _id_of(frame) if call_id is None else call_id
            return self._codec.problem(call_id, encode_problem(as_problem(error), self._calls.metrics))

    def _open(self, frame: Frame) -> tuple[CallId, Any, dict[str, Any]]:
        value = self._codec.decode(frame, self._config.max_json_depth)
        if not isinstance(value, dict):
            raise InvalidRequest("a frame is an object with id, method and params")
        call_id = value.get("id")
        if not _is_id(call_id):
            raise InvalidRequest(f"id must be a number or text of at most {MAX_ID_LENGTH} characters")
        params = value.get("params", {})
        return call_id, value.get("method"), params if isinstance(params, dict) else {"params": params}

    # Writing

    def _put(self, frame: Frame) -> None:
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)
        if self._outbox_bytes > self._config.ws_outbox_bytes:
            self._room.clear()
        self._wake.set()

    def offer(self, call_id: CallId, event: dict[str, Any]) -> bool:
        """Send an event if there is room for it."""
        frame = self._codec.event(call_id, event)
        if self._outbox_bytes + len(frame) > self._config.ws_outbox_bytes:
            return False
        self._put(frame)
        return True

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                frame = self._outbox.popleft()
                try:
                    async with asyncio.timeout(self._config.ws_send_timeout_s):
                        await self._send(frame)
                except TimeoutError:
                    log.warning("slow_reader_disconnected", waiting_bytes=self._outbox_bytes)
                    return
                except (WebSocketDisconnect, OSError):
                    return
                self._outbox_bytes -= len(frame)
                if self._outbox_bytes <= self._config.ws_outbox_bytes:
                    self._room.set()

    async def _send(self, frame: Frame) -> None:
        if isinstance(frame, str):
            await self._websocket.send_text(frame)
        else:
            await self._websocket.send_bytes(frame)

    def count_dropped(self, size_bytes: int) -> None:
        self._calls.metrics.dropped_bytes.inc(size_bytes)


def _is_id(value: Any) -> TypeGuard[CallId]:
    return isinstance(value, (int, str)) and not isinstance(value, bool) and len(str(value)) <= MAX_ID_LENGTH


def _id_of(frame: Frame) -> CallId | None:
    """Of a frame that was refused for another part of it, such as a NaN: its sender has to learn which it was."""
    try:
        value = from_json(frame) if isinstance(frame, str) else msgpack.unpackb(frame)
        call_id = value.get("id") if isinstance(value, dict) else None
        return call_id if _is_id(call_id) else None
    except (ValueError, msgpack.UnpackException):
        return None


class Stream:
    """The streamed output of one call, as text events; bytes that are no UTF-8 become `\\xNN`."""

    def __init__(self, connection: Connection, call_id: CallId) -> None:
        self._connection = connection
        self._call_id = call_id
        self._decoders: dict[str, text_codecs.IncrementalDecoder] = {}
        self._dropped_bytes = 0

    def open(self) -> OutputListener:
        return self._output

    def _output(self, stream: str, data: bytes) -> None:
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = text_codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._send(stream, decoder.decode(data), len(data))

    def _send(self, stream: str, text: str, size_bytes: int) -> None:
        if text and not self._connection.offer(self._call_id, {"type": "output", "stream": stream, "text": text}):
            self._dropped_bytes += size_bytes
            self._connection.count_dropped(size_bytes)

    def close(self) -> None:
        """Send what is left of a character cut in two, and say what was dropped."""
        for stream, decoder in self._decoders.items():
            self._send(stream, decoder.decode(b"", final=True), 0)
        if self._dropped_bytes:
            self._connection.offer(self._call_id, {"type": "dropped", "bytes": self._dropped_bytes})
