"""What stands before every request: who asks, from where, how much, and what goes out when all else fails.

A plain ASGI wrapper, so that no route can be added without it. A server without a key serves whoever is on the
machine, and a browser there runs other people's pages: so a request that a page of another origin sent is
refused (its `Origin`), and so is one that reached us under a foreign name (its `Host`, DNS rebinding).
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from envserver.api.problems import problem_response
from envserver.config import is_loopback
from envserver.metrics import Metrics
from envserver_sdk.errors import Problem, Unauthorized

OPEN_PATHS = frozenset({"/health", "/v1/health"})
"""Answered without a key, so that a health check needs none."""


class Keys:
    """The key that is accepted, kept as its hash; None when none is required."""

    def __init__(self, key: str | None) -> None:
        self._digest = None if key is None else hashlib.sha256(key.encode()).digest()

    @property
    def required(self) -> bool:
        return self._digest is not None

    def accept(self, key: str) -> bool:
        if self._digest is None:
            return True
        return hmac.compare_digest(hashlib.sha256(key.encode()).digest(), self._digest)


class Guard:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, keys: Keys, metrics: Metrics) -> None:
        self._app = app
        self._keys = keys
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            self._check(Headers(scope=scope), scope["path"])
        except Problem as problem:
            await self._refuse(problem, scope, receive, send)
            return
        await self._pass(scope, receive, send)

    def _check(self, headers: Headers, path: str) -> None:
        if self._keys.required:
            if path not in OPEN_PATHS and not self._keys.accept(_key_of(headers)):
                raise Unauthorized("send the API key as `Authorization: Bearer ...` or `X-API-Key`")
        elif not is_loopback(_host_of("//" + headers.get("host", "localhost"))):
            raise Unauthorized("a server without an API key answers only under a loopback name")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            raise Unauthorized("requests of pages of another origin are refused")

    async def _refuse(self, problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
        response = problem_response(problem, self._metrics)
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(response)
        else:
            await response(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = complete = False

        async def sending(message: Message) -> None:
            nonlocal started, complete
            started = True
            complete = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if complete:  # Starlette raises what it has answered already, for servers that log it; ours is logged
                return
            if started or scope["type"] != "http":
                raise
            await problem_response(error, self._metrics)(scope, receive, send)


def _key_of(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
