"""The HTTP side: POST for a message, GET for the rest of a stream that broke off, DELETE to end a session.

A call that is done within a second is answered as JSON. What takes longer is answered as a stream of events, whose
first one has no data and an id: who loses the stream asks for the rest by that id and gets the step's result, from
whichever server has the episode then. Comments keep the stream open.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from envserver.access.keys import Scope
from envserver.api.calls import VERSION, Calls
from envserver.api.guard import CALLER
from envserver.api.http import read_body
from envserver.api.mcp.messages import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    PRIMING_VERSION,
    UNSUPPORTED_VERSION,
    VERSIONS,
    JsonObject,
    Message,
    RequestId,
    RpcError,
    encode_error,
    encode_notification,
    encode_result,
)
from envserver.api.mcp.naming import CallName, NamedSteps
from envserver.api.mcp.sessions import McpSession, event_id_of, request_of
from envserver.api.mcp.tools import ToolCall, action_of, list_tools, show_step
from envserver.api.parsing import parse_json
from envserver.api.problems import as_problem
from envserver.episodes.episode import Episode
from envserver.episodes.records import StepRecord
from envserver_sdk.errors import InvalidRequest, Problem
from envserver_sdk.models import StepRequest

PATH = "/v1/episodes/{episode_id}/mcp"
SESSION_HEADER, VERSION_HEADER = "mcp-session-id", "mcp-protocol-version"
JSON, EVENTS = "application/json", "text/event-stream"
QUICK_S = 1.0
"""A call that takes no longer is answered without a stream."""
KEEP_OPEN_S = 15.0
RETRY_MS = 5000
"""A client comes again after so long; the official one twice, so that a restart of the server has to fit in."""
LIST_CHANGED = "notifications/tools/list_changed"


class McpEndpoint:
    """Over one `Calls`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._config = calls.config
        self._steps = NamedSteps(calls.manager.services.journal)

    def routes(self) -> list[Route]:
        return [Route(PATH, self._serve, methods=["POST", "GET", "DELETE"])]

    async def _serve(self, request: Request) -> Response:
        number: RequestId | None = None
        try:
            if request.method == "GET":
                return await self._resume(request)
            if request.method == "DELETE":
                self._session(request, self._episode(request, Scope.READ))
                return Response(status_code=204)
            message = await self._message(request)
            number = message.id
            return await self._answer(request, message)
        except RpcError as error:
            return _respond(encode_error(number, error), error.status)
        except Exception as error:
            problem = as_problem(error)
            return _respond(encode_error(number, RpcError.of(problem)), problem.status)

    async def _message(self, request: Request) -> Message:
        """Raises: RpcError, Problem."""
        body = await read_body(request, self._config.max_body_bytes, self._config.body_timeout_s)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise RpcError(INVALID_REQUEST, f"send {JSON}", status=415)
        try:
            return Message.parse(parse_json(body, self._config.max_json_depth))
        except InvalidRequest as problem:
            raise RpcError(PARSE_ERROR, problem.detail, status=400) from None

    def _episode(self, request: Request, scope: Scope) -> Episode:
        """The caller's. Raises: Problem."""
        calls = self._calls.by(request.scope[CALLER])
        calls.may(scope)
        return calls.own_live(request.path_params["episode_id"])

    def _session(self, request: Request, episode: Episode) -> McpSession:
        """Raises: RpcError."""
        spoken = request.headers.get(VERSION_HEADER, VERSIONS[-1])
        if spoken not in VERSIONS:
            data = {"supported": list(VERSIONS), "requested": spoken[:100]}
            raise RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", data=data, status=400)
        return McpSession.find(request.headers.get(SESSION_HEADER), episode.generation)

    async def _answer(self, request: Request, message: Message) -> Response:
        episode = self._episode(request, Scope.EPISODES if message.method == "tools/call" else Scope.READ)
        if message.method == "initialize":
            session = McpSession.begin(episode.generation)
            result = _initialized(episode, message.params)
            return _respond(encode_result(message.id, result), headers={SESSION_HEADER: session.id})
        session = self._session(request, episode)
        if message.id is None:
            return Response(status_code=202)
        try:
            if message.method == "tools/call":
                return await self._call(request, episode, session, message.id, ToolCall(message.params))
            return _respond(encode_result(message.id, await _result(episode, message)))
        except Problem as problem:  # its session goes on: no status that would tell otherwise
            raise RpcError.of(problem) from problem

    # Calls

    async def _call(
        self, request: Request, episode: Episode, session: McpSession, number: RequestId, call: ToolCall
    ) -> Response:
        before: list[JsonObject] = []

        async def step() -> StepRequest:
            environment = await episode.environment()
            before.extend(list_tools(environment))
            return call.request(action_of(environment, call.name, call.arguments), session.generation)

        name = CallName.of(session.name_of(number), call.name, call.arguments)
        record = await self._steps.take(episode, session.generation, name, step)
        events = _Events(episode, record, number, before)
        if EVENTS not in request.headers.get("accept", ""):
            await record.wait(self._config.max_wait_s)
            return _respond(events.answer())
        if await record.wait(QUICK_S) and not events.tools_changed:
            return _respond(events.answer())
        return _stream(events, primed=request.headers.get(VERSION_HEADER) == PRIMING_VERSION)

    async def _resume(self, request: Request) -> Response:
        episode = self._episode(request, Scope.READ)
        session = self._session(request, episode)
        event_id = request.headers.get("last-event-id")
        if event_id is None:
            return Response(status_code=405, headers={"allow": "POST, DELETE"})
        number = request_of(event_id)
        record = await self._steps.find(episode, session.generation, session.name_of(number))
        if record is None:
            raise RpcError(INVALID_REQUEST, "this request has not begun: send it again", status=404)
        return _stream(_Events(episode, record, number, []), primed=True)


class _Events:
    """The stream that answers one call."""

    def __init__(self, episode: Episode, record: StepRecord, number: RequestId, before: list[JsonObject]) -> None:
        self._episode, self._record, self._number, self._before = episode, record, number, before

    @property
    def tools_changed(self) -> bool:
        """By the step: the episode has other tools than it had before."""
        now = self._episode.standing_environment
        return bool(self._before) and now is not None and list_tools(now) != self._before

    def answer(self) -> bytes:
        try:
            return encode_result(self._number, show_step(self._record.result))
        except Exception as error:
            return encode_error(self._number, RpcError.of(as_problem(error)))

    async def lines(self, *, primed: bool) -> AsyncIterator[bytes]:
        if primed:
            yield b"id: %s\nretry: %d\ndata: \n\n" % (event_id_of(self._number).encode(), RETRY_MS)
        while not await self._record.wait(KEEP_OPEN_S):
            yield b": it runs\n\n"
        if self.tools_changed:
            yield b"event: message\ndata: %s\n\n" % encode_notification(LIST_CHANGED)
        yield b"event: message\ndata: %s\n\n" % self.answer()


def _stream(events: _Events, *, primed: bool) -> Response:
    headers = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
    return StreamingResponse(events.lines(primed=primed), media_type=EVENTS, headers=headers)


def _initialized(episode: Episode, params: JsonObject) -> JsonObject:
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": True}},
        "serverInfo": {"name": "envserver", "version": VERSION},
        "instructions": episode.plan.task.prompt,
    }


async def _result(episode: Episode, message: Message) -> JsonObject:
    """Of what is no call. Raises: RpcError, Problem."""
    if message.method == "ping":
        return {}
    if message.method == "tools/list":
        return {"tools": list_tools(await episode.environment())}
    raise RpcError(METHOD_NOT_FOUND, f"there is no method {json.dumps(message.method)[:64]} here")


def _respond(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type=JSON)
