"""The only way out that the browser has: each request of a page is handed on, and waits for what comes back.

    page ── HTTP, or HTTP in TLS ──▶ Proxy ── Exchange ──▶ the server, which answers as the site does

TLS ends here, with a key that was made in this sandbox and that this browser alone is told to trust. Nothing is kept
between a browser and a site but this: there is no route to anywhere else.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import h11

MAX_HEAD = 128 * 1024
HEADER_SIZE = 4
"""Of what stands around a header's name and its value."""
MAX_BODY = 8 << 20
READ_BYTES = 1 << 16
MAX_WAITING = 200
"""Requests that wait for the server; what is asked past that is refused."""
MAX_URL = 32_768
"""Characters, as the server takes them."""
MAX_ASKED = 20 << 20
"""Bytes of all requests from one action to the next; the server hears no more than some 60 MB a step."""
USUAL_PORTS = ("80", "443")
"""Of tunnels without TLS, and with it; the server is asked before there is one to any other, which has TLS."""
OURS = frozenset(
    {b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
"""Headers that are about one connection, and never handed on."""


@dataclass
class Exchange:
    """One request, from its arrival to its answer."""

    number: int
    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    answer: asyncio.Future[dict[str, Any]] = field(repr=False)

    @property
    def head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + HEADER_SIZE for name, value in self.headers)

    @property
    def size(self) -> int:
        return self.head_size + len(self.body)

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.number,
            "method": self.method,
            "url": self.url,
            "headers": self.headers,
            "body": base64.b64encode(self.body).decode(),
        }


class Proxy:
    """Listens on loopback. One a browser."""

    def __init__(self, certificate: str) -> None:
        """`certificate` is a file with a key and its certificate."""
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._count = 0
        self._new: deque[Exchange] = deque()
        self._waiting: dict[int, Exchange] = {}
        self._asked = 0
        """Bytes since the action began."""
        self._connections: set[asyncio.Task[None]] = set()
        self.arrived = asyncio.Event()
        """There are requests that the server has not been told of."""
        self.settled = asyncio.Event()
        """No request waits for its answer."""
        self.settled.set()
        self.port = 0
        self._server: asyncio.Server

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Hang up on whoever is connected."""
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def count(self) -> int:
        """Requests so far."""
        return self._count

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def begin_action(self) -> None:
        """What the server was told of and has not answered is told again: it went with the action before."""
        self._new = deque(exchange for exchange in self._waiting.values() if not exchange.answer.done())
        self._asked = sum(exchange.size for exchange in self._new)
        if self._new:
            self.arrived.set()

    def take(self) -> list[dict[str, Any]]:
        """What has arrived and was not taken yet, as much as the server hears at once; each is to be answered."""
        taken: list[Exchange] = []
        heads = bodies = 0
        while self._new:
            heads += self._new[0].head_size
            bodies += len(self._new[0].body)
            if taken and (heads > MAX_HEAD or bodies > MAX_BODY):
                break
            taken.append(self._new.popleft())
        if not self._new:
            self.arrived.clear()
        return [exchange.as_json() for exchange in taken]

    def deliver(self, answers: Iterable[dict[str, Any]]) -> None:
        """What the server says to requests; one that nobody waits for any more is dropped."""
        for answer in answers:
            exchange = self._waiting.get(answer["id"])
            if exchange is not None and not exchange.answer.done():
                exchange.answer.set_result(answer)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # Whatever a page can make of a connection ends that connection alone.
            with contextlib.suppress(OSError, h11.ProtocolError, ssl.SSLError, asyncio.IncompleteReadError):
                await Connection(self, reader, writer).serve()
        finally:
            writer.close()

    async def ask(self, method: str, url: str, headers: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
        """Wait for the server's answer; what it would not take is refused."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        exchange = Exchange(self._count + 1, method, url, headers, body, future)
        if len(url) > MAX_URL:
            return _refusal(414)
        if self._asked + exchange.size > MAX_ASKED:
            return _refusal(413)
        if len(self._waiting) >= MAX_WAITING:
            return _refusal(503)
        self._count += 1
        self._asked += exchange.size
        self._waiting[exchange.number] = exchange
        self._new.append(exchange)
        self.settled.clear()
        self.arrived.set()
        try:
            answer = await future
            if answer.get("delay_s"):
                await asyncio.sleep(answer["delay_s"])
            return answer
        finally:
            del self._waiting[exchange.number]
            if not self._waiting:
                self.settled.set()

    @property
    def tls(self) -> ssl.SSLContext:
        return self._tls


def _refusal(status: int) -> dict[str, Any]:
    return {"status": status, "headers": [], "body": ""}


class Connection:
    """One connection of the browser's: requests one after the other, or a tunnel with requests in it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy, self._reader, self._writer = proxy, reader, writer
        self._origin = ""
        """Scheme and host of a tunnel."""

    async def serve(self) -> None:
        """Raises: h11.ProtocolError, OSError."""
        while await self._serve_origin():
            pass

    async def _serve_origin(self) -> bool:
        """Requests until the connection ends; True where a tunnel has begun instead."""
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        while True:
            request = await self._next(http)
            if not isinstance(request, h11.Request):
                return False
            if request.method == b"CONNECT":
                return await self._open_tunnel(http, request)
            body = await self._body(http)
            if body is None:
                await self._send(http, _refusal(413), head=False)
                return False
            method = request.method.decode("ascii")
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
            url = self._origin + request.target.decode("latin-1")
            answer = await self._proxy.ask(method, url, headers, body)
            if answer.get("abort"):
                self._reset()
                return False
            await self._send(http, answer, head=method == "HEAD")
            if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                return False
            http.start_next_cycle()

    def _reset(self) -> None:
        """End it as a host that has crashed would."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _next(self, http: h11.Connection) -> Any:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await self._reader.read(READ_BYTES))
        return event

    async def _body(self, http: h11.Connection) -> bytes | None:
        """None for one that is too large."""
        parts, size = [], 0
        while isinstance(event := await self._next(http), h11.Data):
            parts.append(bytes(event.data))
            size += len(event.data)
            if size > MAX_BODY:
                return None
        return b"".join(parts)

    async def _open_tunnel(self, http: h11.Connection, request: h11.Request) -> bool:
        await self._next(http)
        host, _, port = request.target.decode("latin-1").rpartition(":")
        if self._origin or port not in USUAL_PORTS:
            answer = await self._proxy.ask("CONNECT", f"https://{host}:{port}/", [], b"")
            if self._origin or answer["status"] != 200:
                await self._send(http, {**answer, "status": max(400, answer["status"])}, head=False)
                return False
        self._writer.write(http.send(h11.Response(status_code=200, headers=[])) or b"")
        if port != "80":
            await self._writer.start_tls(self._proxy.tls)
        place = host if port in USUAL_PORTS else f"{host}:{port}"
        self._origin = f"{'http' if port == '80' else 'https'}://{place}"
        return True

    async def _send(self, http: h11.Connection, answer: dict[str, Any], *, head: bool) -> None:
        body = base64.b64decode(answer["body"])
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in answer["headers"]
        ]
        headers = [(name, value) for name, value in headers if name not in OURS]
        if not any(name == b"cache-control" for name, _ in headers):
            headers.append((b"cache-control", b"no-cache"))
        bodyless = answer["status"] in (204, 304)
        if not bodyless:
            headers.append((b"content-length", b"%d" % len(body)))
        out = http.send(h11.Response(status_code=answer["status"], headers=headers)) or b""
        if not head and not bodyless:
            out += http.send(h11.Data(data=body)) or b""
        self._writer.write(out + (http.send(h11.EndOfMessage()) or b""))
        await self._writer.drain()
