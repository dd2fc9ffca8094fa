"""One exchange with an MCP service, through the official client. The only module that needs it installed.

Connections go to the service's own host and to addresses that the operator's rules let it have, whatever a redirect or
the name service says: the address that was checked is the one that is connected to.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
from mcp import ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    UNSUPPORTED_PROTOCOL_VERSION,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    DiscoverResult,
    Implementation,
    InitializeResult,
    ListToolsRequest,
    ListToolsResult,
    PaginatedRequestParams,
    ServerCapabilities,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from environments.environment import JsonObject
from environments.tools.mcp.connection import ServiceError, SessionOverError
from environments.tools.mcp.listing import ListingError
from environments.tools.mcp.operator import NotAllowedError, Operator
from environments.tools.mcp.servers import Service

MAX_RESPONSE_BYTES = 16 << 20
MAX_PAGES = 50
CONNECT_TIMEOUT_S = 20.0
SESSION_HEADER = "mcp-session-id"
_SESSION_ID = re.compile(r"[!-~]{1,1024}")
_OURS = (ServiceError, NotAllowedError, ListingError)


class Exchange:
    """An open connection to a service."""

    def __init__(self, client: ClientSession, session: JsonObject) -> None:
        self._client = client
        self.session = session
        """How the next exchange goes on: `id`, where the service keeps sessions, and `version` of the protocol."""
        self.tools_changed = False
        self._over = False
        if session:
            client.adopt(_negotiated(session["version"]))

    async def greet(self) -> None:
        """Begin a new session."""
        try:
            await self._client.initialize()
        except MCPError as error:
            if error.code != UNSUPPORTED_PROTOCOL_VERSION:
                raise
            await self._client.discover()
        self.session = {**self.session, "version": self._client.protocol_version}

    async def list_tools(self) -> list[JsonObject]:
        tools: list[JsonObject] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            request = ListToolsRequest(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
            page = await self._client.send_request(request, ListToolsResult)
            tools += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
            cursor = page.next_cursor
            if not cursor:
                return tools
        raise ListingError(f"its list of tools has more than {MAX_PAGES} pages")

    async def call(self, tool: str, arguments: JsonObject, meta: JsonObject) -> JsonObject:
        """The result. Raises: SessionOverError before anything was done."""
        params = CallToolRequestParams.model_validate({"name": tool, "arguments": arguments, "_meta": meta})
        try:
            result = await self._client.send_request(CallToolRequest(params=params), CallToolResult)
        except MCPError as error:
            if self._over:
                raise SessionOverError("its session is over") from error
            raise
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)

    async def notice(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self.tools_changed = True

    async def look_at(self, response: httpx2.Response) -> None:
        """A response's head: what it says of the session."""
        if given := response.headers.get(SESSION_HEADER):
            if not _SESSION_ID.fullmatch(given):
                raise ServiceError("its session id is none")
            self.session = {**self.session, "id": given}
        if response.status_code == 404 and SESSION_HEADER in response.request.headers:
            self._over = True


@contextlib.asynccontextmanager
async def exchange(service: Service, operator: Operator, session: JsonObject) -> AsyncIterator[Exchange]:
    """Raises: ServiceError for whatever goes wrong on the way, NotAllowedError."""
    headers = dict(operator.headers.get(service.host, {}))
    if session.get("id"):
        headers[SESSION_HEADER] = session["id"]
    timeout = httpx2.Timeout(CONNECT_TIMEOUT_S, read=None)  # who calls limits the whole
    transport = CheckedTransport(service, operator)
    try:
        async with contextlib.AsyncExitStack() as stack:
            http = await stack.enter_async_context(
                httpx2.AsyncClient(transport=transport, headers=headers, timeout=timeout, trust_env=False)
            )
            streams = await stack.enter_async_context(
                streamable_http_client(
                    service.url, http_client=http, terminate_on_close=False, max_sse_event_size=MAX_RESPONSE_BYTES
                )
            )
            made: list[Exchange] = []

            async def notice(message: object) -> None:
                await made[0].notice(message)

            client = await stack.enter_async_context(ClientSession(*streams, message_handler=notice))
            made.append(Exchange(client, session))
            http.event_hooks = {"response": [made[0].look_at]}
            yield made[0]
    except (MCPError, httpx2.HTTPError, ValidationError, RuntimeError, OSError, ExceptionGroup) as error:
        raise transport.overflow or _ours(error) from error


def _ours(error: Exception) -> Exception:
    """As one of our own: the first of a group that tells something."""
    if isinstance(error, ExceptionGroup):
        leaves = list(_leaves(error))
        return _ours(next((leaf for leaf in leaves if isinstance(leaf, _OURS)), leaves[0]))
    if isinstance(error, _OURS):
        return error
    if isinstance(error, ValidationError):
        return ServiceError("its answer does not conform to the protocol")
    if isinstance(error, MCPError):
        return ServiceError(error.message[:2000])
    return ServiceError(f"{type(error).__name__}: {error}"[:500])


def _leaves(group: ExceptionGroup[Any]) -> list[Exception]:
    found: list[Exception] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, ExceptionGroup) else [each]
    return found


def _negotiated(version: str) -> InitializeResult | DiscoverResult:
    """What was agreed on when the session began, as far as calls need it."""
    if version in MODERN_PROTOCOL_VERSIONS:
        return DiscoverResult(
            supported_versions=[version],
            capabilities=ServerCapabilities(),
            result_type="complete",
            ttl_ms=0,
            cache_scope="private",
        )
    about = Implementation(name="", version="")
    return InitializeResult(protocol_version=version, capabilities=ServerCapabilities(), server_info=about)


class CheckedTransport(httpx2.AsyncBaseTransport):
    """Connects to the service's own host, and to an address of it that was looked at."""

    def __init__(self, service: Service, operator: Operator) -> None:
        self._origin = httpx2.URL(service.url)
        self._host, self._operator = service.host, operator
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)
        self.overflow: ServiceError | None = None
        """Kept, since the client makes an ended stream of it."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url, origin = request.url, self._origin
        if (url.scheme, url.host, url.port) != (origin.scheme, origin.host, origin.port):
            raise NotAllowedError(f"{self._host} leads to {url.host[:200]}, which is another host")
        address = await self._address()
        sent = httpx2.Request(
            request.method,
            url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": origin.host},
        )
        response = await self._inner.handle_async_request(sent)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Counted(response.stream, self._overflow)
        return response

    def _overflow(self) -> ServiceError:
        self.overflow = ServiceError(f"its answer has more than {MAX_RESPONSE_BYTES} bytes")
        return self.overflow

    async def _address(self) -> str:
        host, port = self._origin.host, self._origin.port or {"http": 80, "https": 443}[self._origin.scheme]
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ServiceError(f"{host} is not found") from error
        addresses = [str(each[4][0]) for each in found]
        for address in addresses:
            self._operator.check_address(host, address)
        return addresses[0]

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    """A response's body, up to a size."""

    def __init__(self, inner: httpx2.AsyncByteStream, overflow: Callable[[], ServiceError]) -> None:
        self._inner, self._overflow = inner, overflow

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._inner:
            size += len(part)
            if size > MAX_RESPONSE_BYTES:
                raise self._overflow()
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()
