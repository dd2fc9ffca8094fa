"""What stands before every request: who asks, from where, how much, and what goes out when all else fails.

A plain ASGI wrapper, so that no route can be added without it. A server without a key serves whoever is on the
machine, and a browser there runs other people's pages: so a request that a page of another origin sent is
refused (its `Origin`), and so is one that reached us under a foreign name (its `Host`, DNS rebinding).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from envserver.access.audit import AuditLog
from envserver.access.keyring import Keyring
from envserver.api.problems import problem_response
from envserver.config import is_loopback
from envserver.metrics import Metrics
from envserver_sdk.errors import Problem, Unauthorized

OPEN_PATHS = frozenset({"/health", "/v1/health"})
"""Answered without a key, so that a health check needs none."""


CALLER = "envserver.caller"
"""The scope's member that says who calls; absent only where nobody need say."""


class Guard:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, keyring: Keyring, metrics: Metrics, audit: AuditLog) -> None:
        self._app = app
        self._keyring = keyring
        self._metrics = metrics
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope, Headers(scope=scope))
        except Problem as problem:
            client = scope.get("client")
            self._audit.refuse(problem=problem.code, client=client[0] if client else None)
            await self._refuse(problem, scope, receive, send)
            return
        await self._pass(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        if self._keyring.required:
            caller = self._keyring.find(_key_of(headers))
            if caller is None and scope["path"] not in OPEN_PATHS:
                raise Unauthorized("send the API key as `Authorization: Bearer ...` or `X-API-Key`")
        elif not all(is_loopback(_host_of("//" + host)) for host in headers.getlist("host")):
            raise Unauthorized("a server without an API key answers only under a loopback name")
        else:
            caller = self._keyring.local
        if caller is not None:
            scope[CALLER] = caller
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
