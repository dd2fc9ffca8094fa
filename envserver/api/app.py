"""The ASGI application: routes, WebSocket and guard over one `Calls`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute, compile_path
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from envserver.access.keyring import Keyring
from envserver.api.calls import Calls
from envserver.api.guard import Guard
from envserver.api.http import Routes
from envserver.api.mcp.endpoint import McpEndpoint
from envserver.api.openapi import build_openapi
from envserver.api.problems import problem_response
from envserver.api.websocket import WebSocketEndpoint
from envserver.errors import EnvserverError
from envserver_sdk.errors import InvalidRequest, MethodNotAllowed, NotFound, Problem

DESCRIPTION = "One container per episode, Gymnasium semantics over HTTP."

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def build_app(calls: Calls, keyring: Keyring, lifespan: Lifespan | None = None) -> ASGIApp:
    """Everything that uvicorn needs to serve."""
    app = FastAPI(
        title="envserver",
        version=version("envserver"),
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    routes = Routes(calls)

    async def no_websocket(websocket: WebSocket) -> None:
        await websocket.send_denial_response(problem_response(NotFound(), calls.metrics))

    app.router.routes[:0] = routes.hot()
    app.router.routes.extend(McpEndpoint(calls).routes())
    app.router.routes.append(WebSocketRoute("/v1/ws", WebSocketEndpoint(calls)))
    app.router.routes.append(WebSocketRoute("/{path:path}", no_websocket))
    app.include_router(routes.cold())
    app.router.routes.extend(routes.unprefixed())
    app.openapi = lambda: build_openapi(app)  # type: ignore[method-assign]

    async def on_error(request: Request, error: Exception) -> Response:
        response = problem_response(_translate(error), calls.metrics)
        if response.status_code == MethodNotAllowed.status:
            response.headers["Allow"] = _allowed(app, request.url.path) or response.headers["Allow"]
        return response

    for kind in (Problem, EnvserverError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, on_error)
    return Guard(app, keyring, calls.metrics, calls.manager.services.audit)


def _allowed(app: FastAPI, path: str) -> str:
    """Every method of a path, of which a router knows only the first that it tried."""
    found: set[str] = set()
    for template, operations in app.openapi()["paths"].items():
        if compile_path(template)[0].match(path):
            found |= {method.upper() for method in operations}
    return ", ".join(sorted(found))


def _translate(error: Exception) -> Exception:
    if isinstance(error, RequestValidationError):
        shown = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()[:5]]
        return InvalidRequest("; ".join(shown))
    return error
