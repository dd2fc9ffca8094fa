"""Calls by the WebSocket's names, over HTTP or over a WebSocket of their own, with the very bytes of the answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol

TIMEOUT_S = 20.0

_EPISODE, _CHECKPOINT, _GROUP = "/v1/episodes/{episode_id}", "/v1/checkpoints/{checkpoint_id}", "/v1/groups/{group_id}"
_ROUTES = {
    "create": ("POST", "/v1/episodes"),
    "list": ("GET", "/v1/episodes"),
    "get": ("GET", _EPISODE),
    "close": ("DELETE", _EPISODE),
    "step": ("POST", f"{_EPISODE}/step"),
    "get_step": ("GET", f"{_EPISODE}/steps/{{index}}"),
    "reset": ("POST", f"{_EPISODE}/reset"),
    "grade": ("POST", f"{_EPISODE}/grade"),
    "checkpoint": ("POST", f"{_EPISODE}/checkpoints"),
    "checkpoints": ("GET", "/v1/checkpoints"),
    "restore": ("POST", f"{_EPISODE}/restore"),
    "pause": ("POST", f"{_EPISODE}/pause"),
    "hibernate": ("POST", f"{_EPISODE}/hibernate"),
    "resume": ("POST", f"{_EPISODE}/resume"),
    "read_file": ("GET", f"{_EPISODE}/files"),
    "write_file": ("PUT", f"{_EPISODE}/files"),
    "fork": ("POST", f"{_CHECKPOINT}/fork"),
    "delete_checkpoint": ("DELETE", _CHECKPOINT),
    "create_group": ("POST", "/v1/groups"),
    "close_group": ("DELETE", _GROUP),
}
_BARE = frozenset({"close", "grade", "pause", "hibernate", "resume", "delete_checkpoint", "close_group"})
"""They take no body."""


@dataclass(frozen=True)
class Answer:
    """A status, and the bytes of the result or the problem."""

    status: int
    body: bytes


class Wire(Protocol):
    """`via` is how it is called in a history."""

    via: str

    async def send(self, op: str, params: dict[str, Any], key: str) -> Answer:
        """Once. Raises: ConnectionError when the connection ends before the answer."""
        ...

    async def close(self) -> None: ...


class HttpWire:
    """One client's connections."""

    via = "http"

    def __init__(self, url: str, api_key: str) -> None:
        headers = {"X-API-Key": api_key}
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False, headers=headers)

    async def send(self, op: str, params: dict[str, Any], key: str) -> Answer:
        method, path = _ROUTES[op]
        members = dict(params)
        for name in ("episode_id", "checkpoint_id", "group_id", *(("index",) if op == "get_step" else ())):
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", str(members.pop(name)))
        content: dict[str, Any] = {}
        if op == "write_file":
            content = {"content": members.pop("data"), "params": members}
        elif method == "GET":
            content = {"params": members}
        elif op not in _BARE:
            content = {"json": members}
        headers = {"Idempotency-Key": key} if key else {}
        if op == "write_file":
            headers["Content-Type"] = "application/octet-stream"
        try:
            response = await self._http.request(method, path, headers=headers, **content)
        except httpx.TransportError as error:
            raise ConnectionError(repr(error)) from error
        return Answer(response.status_code, response.content)

    async def close(self) -> None:
        await self._http.aclose()


class WebSocketWire:
    """A connection a call."""

    via = "ws"

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url.replace("http", "ws", 1) + "/v1/ws"
        self._headers = {"X-API-Key": api_key}

    async def send(self, op: str, params: dict[str, Any], key: str) -> Answer:
        members = {**params, "idempotency_key": key} if key else params
        frame = json.dumps({"id": 1, "method": op, "params": members})
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                connect(
                    self._url,
                    additional_headers=self._headers,
                    subprotocols=[Subprotocol("envserver.json")],
                    compression=None,
                    max_size=None,
                    proxy=None,
                    open_timeout=TIMEOUT_S,
                    close_timeout=0.2,
                ) as connection,
            ):
                await connection.send(frame)
                return _unframe(await connection.recv(decode=False))
        except (ConnectionClosed, InvalidHandshake, InvalidMessage, EOFError, TimeoutError, OSError) as error:
            raise ConnectionError(repr(error)) from error

    async def close(self) -> None:
        """There is nothing between two calls."""


def _unframe(frame: bytes) -> Answer:
    message = json.loads(frame)
    member = "result" if "result" in message else "problem"
    body = frame.partition(b'"%s":' % member.encode())[2].removesuffix(b"}")
    return Answer(message["status"] if member == "result" else message["problem"]["status"], body)
