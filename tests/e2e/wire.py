"""Bare requests, a new connection each, that show the very bytes of an answer: over HTTP and over the WebSocket."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.typing import Subprotocol


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    """Of the result or the problem, as it was sent."""

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def code(self) -> str:
        """Which problem it is."""
        return str(self.document["type"]).rpartition(":")[2]


class Wire(ABC):
    """Both raise ConnectionError when the connection ends before the answer."""

    def __init__(self, url: str) -> None:
        self._url = url

    @abstractmethod
    async def step(self, episode_id: str, **members: Any) -> Answer: ...

    @abstractmethod
    async def record(self, episode_id: str, index: int, wait_s: float = 0.0) -> Answer: ...


class HttpWire(Wire):
    async def step(self, episode_id: str, **members: Any) -> Answer:
        return await self._send("POST", f"/v1/episodes/{episode_id}/step", json=members)

    async def record(self, episode_id: str, index: int, wait_s: float = 0.0) -> Answer:
        return await self._send("GET", f"/v1/episodes/{episode_id}/steps/{index}", params={"wait_s": wait_s})

    async def _send(self, method: str, path: str, **content: Any) -> Answer:
        async with httpx.AsyncClient(base_url=self._url, timeout=60, trust_env=False) as client:
            try:
                response = await client.request(method, path, **content)
            except httpx.TransportError as error:
                raise ConnectionError(str(error)) from error
        return Answer(response.status_code, response.content)


class WebSocketWire(Wire):
    async def step(self, episode_id: str, **members: Any) -> Answer:
        return await self._call("step", {"episode_id": episode_id, **members})

    async def record(self, episode_id: str, index: int, wait_s: float = 0.0) -> Answer:
        return await self._call("get_step", {"episode_id": episode_id, "index": index, "wait_s": wait_s})

    async def _call(self, method: str, params: dict[str, Any]) -> Answer:
        url = self._url.replace("http", "ws", 1) + "/v1/ws"
        try:
            async with connect(
                url, subprotocols=[Subprotocol("envserver.json")], compression=None, max_size=None, proxy=None
            ) as connection:
                await connection.send(json.dumps({"id": 1, "method": method, "params": params}))
                return _unframe(await connection.recv(decode=False))
        except (ConnectionClosed, InvalidMessage, EOFError) as error:
            raise ConnectionError(str(error)) from error


def _unframe(frame: bytes) -> Answer:
    message = json.loads(frame)
    member = "result" if "result" in message else "problem"
    body = frame.partition(b'"%s":' % member.encode())[2].removesuffix(b"}")
    return Answer(message["status"] if member == "result" else message["problem"]["status"], body)


WIRES: tuple[type[Wire], ...] = (HttpWire, WebSocketWire)
