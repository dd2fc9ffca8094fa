"""An MCP service on this machine, made with the official package, that a test may break."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Service:
    """Its tools, and what it saw of the requests."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Of a session's calls of `count`."""
        self.names: list[str] = []
        """By which calls were told apart."""
        self.keys: set[str | None] = set()
        self.away: str | None = None
        """Where it sends everybody else instead of answering."""
        self.modern = False
        """It speaks without sessions only, as revision 2026-07-28 of the protocol does."""
        self.host = ""
        self.waiting, self.release = asyncio.Event(), asyncio.Event()

    def app(self) -> ASGIApp:
        server = MCPServer("service")

        @server.tool()
        async def count(context: Context) -> str:
            """Count the calls of this session."""
            assert context.headers is not None
            session = context.headers.get("mcp-session-id", "none")
            self.counts[session] += 1
            self.names.append(str((context.request_context.meta or {}).get("envserver/call")))
            return str(self.counts[session])

        @server.tool()
        async def wait() -> str:
            """Wait until the test says so."""
            self.waiting.set()
            await self.release.wait()
            return "waited"

        @server.tool()
        async def fail() -> str:
            """Fail."""
            raise RuntimeError("it is broken")

        @server.tool()
        async def large() -> str:
            """Say too much."""
            return "x" * (17 << 20)

        return server.streamable_http_app(host=self.host)


@asynccontextmanager
async def running(service: Service, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The address of its host."""
    listener = socket.create_server((host, port))
    service.host = host
    inner = service.app()

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            service.keys.add(headers[b"authorization"].decode() if b"authorization" in headers else None)
            if service.away is not None:
                await RedirectResponse(service.away, 307)(scope, receive, send)
                return
            if service.modern and b"mcp-protocol-version" not in headers:
                data = {"supported": ["2026-07-28"], "requested": "2025-11-25"}
                error = {"code": -32022, "message": "Unsupported protocol version", "data": data}
                await JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 400)(scope, receive, send)
                return
        await inner(scope, receive, send)

    config = uvicorn.Config(outer, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[assignment,method-assign]
    serving = asyncio.ensure_future(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"{host}:{listener.getsockname()[1]}"
    finally:
        service.release.set()
        server.should_exit = True
        await serving
