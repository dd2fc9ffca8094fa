"""The HTTP routes. Every body is read and checked by our own code, bounded in size, time and depth.

FastAPI gives the many cold routes their query parameters and the OpenAPI document; the few hot ones (step,
its record, batch) are plain Starlette endpoints, because FastAPI's own share of a request is a third of a
millisecond here. Both use the same models and the same calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from envserver.api.calls import MAX_PATH_LENGTH, Calls
from envserver.api.guard import CALLER
from envserver.api.openapi import BYTES, reads, returns
from envserver.api.parsing import parse_json, parse_model
from envserver.api.trajectories import TrajectoryRoutes
from envserver.episodes.idempotency import KEY_PATTERN, Reply
from envserver.metrics import CONTENT_TYPE
from envserver_sdk import models
from envserver_sdk.errors import InvalidRequest, PayloadTooLarge, RequestTimeout, UnsupportedMediaType

M = TypeVar("M", bound=BaseModel)

Key = Annotated[str | None, Header(alias="Idempotency-Key", pattern=KEY_PATTERN)]
FilePath = Annotated[str, Query(pattern=r"^/[^\x00]*$", max_length=MAX_PATH_LENGTH)]
JSON = "application/json"
OCTETS = "application/octet-stream"
MAX_DIGITS = 64
PIECE_BYTES = 256 * 1024


def respond(reply: Reply) -> Response:
    return Response(reply.body, reply.status, media_type=JSON)


async def read_body(request: StarletteRequest, max_bytes: int, timeout_s: float) -> bytes:
    """Raises: PayloadTooLarge, as early as it can be known; RequestTimeout, UnsupportedMediaType, InvalidRequest."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("a body is not to be compressed")
    too_large = PayloadTooLarge(f"a body may have at most {max_bytes} bytes here")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise RequestTimeout(f"the body did not arrive within {timeout_s:g} s") from None
    except ClientDisconnect:
        raise InvalidRequest("the connection ended before the body did") from None
    return b"".join(chunks)


class FileBytes(Response):
    """A file on its way out, in pieces, so that a slow reader fills no socket's buffer with all of it."""

    def __init__(self, data: bytes, held: AsyncExitStack) -> None:
        super().__init__(media_type=OCTETS, headers={"content-length": str(len(data))})
        self._data = data
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            for start in range(0, len(self._data), PIECE_BYTES):
                piece = self._data[start : start + PIECE_BYTES]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


class Routes:
    """All routes over one `Calls`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._config = calls.config

    def _by(self, request: StarletteRequest) -> Calls:
        return self._calls.by(request.scope[CALLER])

    async def _model(self, request: StarletteRequest, model: type[M], *, optional: bool = False) -> M:
        body = await read_body(request, self._config.max_body_bytes, self._config.body_timeout_s)
        if optional and not body:
            return model()
        if not _is(JSON, request):
            raise UnsupportedMediaType(f"send {JSON}, which is UTF-8")
        return parse_model(model, parse_json(body, self._config.max_json_depth))

    # Hot

    def hot(self) -> list[Route]:
        return [
            Route("/v1/episodes/{episode_id}/step", self._step, methods=["POST"]),
            Route("/v1/episodes/{episode_id}/steps/{index}", self._get_step, methods=["GET"]),
            Route("/v1/batch/step", self._batch_step, methods=["POST"]),
        ]

    async def _step(self, request: StarletteRequest) -> Response:
        step = await self._model(request, models.StepRequest)
        return respond(await self._by(request).step(request.path_params["episode_id"], step))

    async def _get_step(self, request: StarletteRequest) -> Response:
        given = {**request.query_params, "index": request.path_params["index"]}
        query = parse_model(models.GetStep, {name: _number(text) for name, text in given.items()})
        episode_id = request.path_params["episode_id"]
        return respond(await self._by(request).get_step(episode_id, query.index, query.generation, query.wait_s))

    async def _batch_step(self, request: StarletteRequest) -> Response:
        return respond(await self._by(request).batch_step(await self._model(request, models.BatchStep)))

    # Cold

    def cold(self) -> APIRouter:
        router = APIRouter(prefix="/v1", dependencies=[Depends(_only_known_parameters)])
        router.add_api_route(
            "/episodes", self._create, methods=["POST"], name="create", status_code=201,
            openapi_extra=reads(models.CreateEpisode), responses=returns(models.EpisodeStarted, 201),
        )  # fmt: skip
        router.add_api_route(
            "/episodes", self._list, methods=["GET"], name="list", responses=returns(models.EpisodeList)
        )
        router.add_api_route(
            "/episodes/{episode_id}", self._get, methods=["GET"], name="get", responses=returns(models.EpisodeInfo)
        )
        router.add_api_route(
            "/episodes/{episode_id}", self._close, methods=["DELETE"], name="close",
            responses=returns(models.EpisodeInfo),
        )  # fmt: skip
        router.add_api_route(
            "/episodes/{episode_id}/reset", self._reset, methods=["POST"], name="reset",
            openapi_extra=reads(models.ResetEpisode, required=False), responses=returns(models.EpisodeStarted),
        )  # fmt: skip
        router.add_api_route(
            "/episodes/{episode_id}/grade", self._grade, methods=["POST"], name="grade",
            responses=returns(models.GradeResult),
        )  # fmt: skip
        router.add_api_route(
            "/episodes/{episode_id}/files", self._read_file, methods=["GET"], name="read_file",
            responses={200: {"content": BYTES}},
        )  # fmt: skip
        router.add_api_route(
            "/episodes/{episode_id}/files", self._write_file, methods=["PUT"], name="write_file",
            openapi_extra={"requestBody": {"required": True, "content": BYTES}},
            responses=returns(models.FileInfo),
        )  # fmt: skip
        self._checkpoint_routes(router)
        self._group_routes(router)
        TrajectoryRoutes(self._calls).add(router)
        router.add_api_route(
            "/environments", self._environments, methods=["GET"], name="environments",
            responses=returns(models.EnvironmentList),
        )  # fmt: skip
        router.add_api_route(
            "/environments/{name}", self._environment, methods=["GET"], name="environment",
            responses=returns(models.EnvironmentInfo),
        )  # fmt: skip
        router.add_api_route(
            "/environments/{name}/tasks", self._tasks, methods=["GET"], name="tasks", responses=returns(models.TaskList)
        )
        router.add_api_route("/health", self._health, methods=["GET"], name="health", responses=returns(models.Health))
        router.add_api_route(
            "/metrics",
            self._metrics,
            methods=["GET"],
            name="metrics",
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        )
        return router

    def _checkpoint_routes(self, router: APIRouter) -> None:
        for name, endpoint in (("pause", self._pause), ("resume", self._resume), ("hibernate", self._hibernate)):
            router.add_api_route(
                f"/episodes/{{episode_id}}/{name}", endpoint, methods=["POST"], name=name,
                responses=returns(models.EpisodeInfo),
            )  # fmt: skip
        router.add_api_route(
            "/episodes/{episode_id}/checkpoints", self._checkpoint, methods=["POST"], name="checkpoint",
            status_code=201, openapi_extra=reads(models.CreateCheckpoint, required=False),
            responses=returns(models.CheckpointInfo, 201),
        )  # fmt: skip
        router.add_api_route(
            "/episodes/{episode_id}/restore", self._restore, methods=["POST"], name="restore",
            openapi_extra=reads(models.RestoreEpisode), responses=returns(models.EpisodeStarted),
        )  # fmt: skip
        router.add_api_route(
            "/checkpoints", self._checkpoints, methods=["GET"], name="checkpoints",
            responses=returns(models.CheckpointList),
        )  # fmt: skip
        router.add_api_route(
            "/checkpoints/{checkpoint_id}", self._get_checkpoint, methods=["GET"], name="get_checkpoint",
            responses=returns(models.CheckpointInfo),
        )  # fmt: skip
        router.add_api_route(
            "/checkpoints/{checkpoint_id}", self._delete_checkpoint, methods=["DELETE"], name="delete_checkpoint",
            responses=returns(models.CheckpointInfo),
        )  # fmt: skip
        router.add_api_route(
            "/checkpoints/{checkpoint_id}/fork", self._fork, methods=["POST"], name="fork", status_code=201,
            openapi_extra=reads(models.ForkCheckpoint, required=False), responses=returns(models.EpisodesStarted, 201),
        )  # fmt: skip

    def _group_routes(self, router: APIRouter) -> None:
        router.add_api_route(
            "/groups", self._create_group, methods=["POST"], name="create_group", status_code=201,
            openapi_extra=reads(models.CreateGroup), responses=returns(models.GroupStarted, 201),
        )  # fmt: skip
        router.add_api_route(
            "/groups/{group_id}", self._get_group, methods=["GET"], name="get_group",
            responses=returns(models.GroupInfo),
        )  # fmt: skip
        router.add_api_route(
            "/groups/{group_id}", self._close_group, methods=["DELETE"], name="close_group",
            responses=returns(models.GroupInfo),
        )  # fmt: skip

    def unprefixed(self) -> list[Route]:
        """Where probes and scrapers look by habit."""
        return [Route("/health", self._health), Route("/metrics", self._metrics)]

    async def _create(self, request: Request, key: Key = None) -> Response:
        body = await self._model(request, models.CreateEpisode)
        return await self._begin(request, key, self._by(request).create(body, key))

    async def _create_group(self, request: Request, key: Key = None) -> Response:
        body = await self._model(request, models.CreateGroup)
        return await self._begin(request, key, self._by(request).create_group(body, key))

    async def _fork(self, request: Request, checkpoint_id: str, key: Key = None) -> Response:
        body = await self._model(request, models.ForkCheckpoint, optional=True)
        return await self._begin(request, key, self._by(request).fork(checkpoint_id, body, key))

    @staticmethod
    async def _begin(request: Request, key: str | None, call: Coroutine[Any, Any, Reply]) -> Response:
        """Without a key nobody could ever learn the ids of what it makes once its client has gone: it is undone."""
        if key is not None:
            return respond(await call)
        beginning = asyncio.ensure_future(call)
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait((beginning, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not beginning.done():
                beginning.cancel()
            return respond(await beginning)
        except asyncio.CancelledError:
            if not leaving.done():
                raise
            return Response(status_code=499)
        finally:
            beginning.cancel()
            leaving.cancel()

    async def _pause(self, request: Request, episode_id: str, key: Key = None) -> Response:
        return respond(await self._by(request).rest(episode_id, models.EpisodeState.PAUSED, key))

    async def _hibernate(self, request: Request, episode_id: str, key: Key = None) -> Response:
        return respond(await self._by(request).rest(episode_id, models.EpisodeState.HIBERNATED, key))

    async def _resume(self, request: Request, episode_id: str, key: Key = None) -> Response:
        return respond(await self._by(request).resume(episode_id, key))

    async def _checkpoint(self, request: Request, episode_id: str, key: Key = None) -> Response:
        body = await self._model(request, models.CreateCheckpoint, optional=True)
        return respond(await self._by(request).checkpoint(episode_id, body, key))

    async def _restore(self, request: Request, episode_id: str, key: Key = None) -> Response:
        body = await self._model(request, models.RestoreEpisode)
        return respond(await self._by(request).restore(episode_id, body, key))

    async def _checkpoints(
        self,
        request: Request,
        episode_id: str | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        return respond(await self._by(request).checkpoints(episode_id, cursor, limit))

    async def _get_checkpoint(self, request: Request, checkpoint_id: str) -> Response:
        return respond(await self._by(request).get_checkpoint(checkpoint_id))

    async def _delete_checkpoint(self, request: Request, checkpoint_id: str, key: Key = None) -> Response:
        return respond(await self._by(request).delete_checkpoint(checkpoint_id, key))

    async def _get_group(self, request: Request, group_id: str) -> Response:
        return respond(await self._by(request).get_group(group_id))

    async def _close_group(self, request: Request, group_id: str, key: Key = None) -> Response:
        return respond(await self._by(request).close_group(group_id, key))

    async def _list(
        self,
        request: Request,
        state: models.EpisodeState | None = None,
        environment: str | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        return respond(await self._by(request).list(state, environment, cursor, limit))

    async def _get(self, request: Request, episode_id: str) -> Response:
        return respond(await self._by(request).get(episode_id))

    async def _close(self, request: Request, episode_id: str, key: Key = None) -> Response:
        return respond(await self._by(request).close(episode_id, key))

    async def _reset(self, request: Request, episode_id: str, key: Key = None) -> Response:
        body = await self._model(request, models.ResetEpisode, optional=True)
        return respond(await self._by(request).reset(episode_id, body, key))

    async def _grade(self, request: Request, episode_id: str, key: Key = None) -> Response:
        return respond(await self._by(request).grade(episode_id, key))

    async def _read_file(self, request: Request, episode_id: str, path: FilePath) -> Response:
        held = AsyncExitStack()
        try:
            return FileBytes(await self._by(request).read_file(episode_id, path, held), held)
        except BaseException:
            await held.aclose()
            raise

    async def _write_file(self, request: Request, episode_id: str, path: FilePath, key: Key = None) -> Response:
        if not _is(OCTETS, request):
            raise UnsupportedMediaType(f"send {OCTETS}")
        self._by(request).own_live(episode_id)  # an unknown episode's file is not worth reading
        length = request.headers.get("content-length", "")
        most = self._config.max_file_bytes
        async with self._calls.files.hold(min(int(length), most) if length.isdecimal() else most):
            data = await read_body(request, most, self._config.body_timeout_s)
            return respond(await self._by(request).write_file(episode_id, path, data, key))

    async def _environments(self, request: Request) -> Response:
        return respond(await self._by(request).environments())

    async def _environment(self, request: Request, name: str) -> Response:
        return respond(await self._by(request).environment(name))

    async def _tasks(
        self,
        request: Request,
        name: str,
        task_set: str | None = None,
        split: str = "all",
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        return respond(await self._by(request).tasks(name, task_set, split, cursor, limit))

    async def _health(self, _: Request) -> Response:
        return respond(await self._calls.health())

    async def _metrics(self, request: Request) -> Response:
        return Response(self._by(request).render_metrics(), headers={"content-type": CONTENT_TYPE})


def _is(media: str, request: StarletteRequest) -> bool:
    given, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    return given.strip() == media and ("charset" not in parameters or "utf-8" in parameters)


def _only_known_parameters(request: Request) -> None:
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    unknown = sorted(request.query_params.keys() - known)
    if unknown:
        raise InvalidRequest(f"unknown parameters: {', '.join(unknown)[:200]}")


def _number(text: str) -> int | float | str:
    """What a parameter's text means as JSON; what is no number stays text, for the model to refuse."""
    for kind in (int, float):
        if text.isascii() and "_" not in text and len(text) <= MAX_DIGITS:
            with contextlib.suppress(ValueError):
                return kind(text)
    return text


async def _left(request: StarletteRequest) -> None:
    """Ends when the client has gone; the body has been read by then."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
