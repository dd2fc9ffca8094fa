"""Trajectories over HTTP: bodies that are made while they are sent.

What is sent waits for its reader, so a slow one costs the memory of one trajectory and nothing else; when it goes
away, the making ends with it. A fault before the first byte is a problem document; after it the connection breaks off,
so that no reader takes a part for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from envserver.api.calls import Calls
from envserver.api.guard import CALLER
from envserver.api.openapi import returns
from envserver.episodes.durable import written
from envserver.episodes.trajectory import Record, encode_record
from envserver.export import jsonl, parquet
from envserver_sdk import models

MEDIA_TYPES = {"jsonl": jsonl.MEDIA_TYPE, "parquet": parquet.MEDIA_TYPE}
JSON = "application/json"

Number = Annotated[float | None, Query(allow_inf_nan=False)]
Text = Annotated[str | None, Query(max_length=256)]


class Streamed(Response):
    """An answer of 200 whose body is taken from a generator, which is closed whatever happens."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        async with aclosing(self._pieces) as pieces:
            piece = await written(anext(pieces, b""))
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class TrajectoryRoutes:
    """The routes over one `Calls`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def add(self, router: APIRouter) -> None:
        router.add_api_route(
            "/episodes/{episode_id}/trajectory", self._one, methods=["GET"], name="trajectory",
            responses=returns(models.Trajectory),
        )  # fmt: skip
        schemas = {
            jsonl.MEDIA_TYPE: {"schema": {"type": "string", "description": "A `Trajectory` a line"}},
            parquet.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}},
        }
        router.add_api_route(
            "/trajectories", self._many, methods=["GET"], name="trajectories", response_class=Response,
            responses={200: {"description": "By `format`", "content": schemas}},
        )  # fmt: skip

    async def _one(
        self,
        request: Request,
        episode_id: str,
        generation: Annotated[int | None, Query(ge=1, le=models.MAX_INTEGER)] = None,
    ) -> Response:
        record = await self._calls.by(request.scope[CALLER]).record(episode_id, generation)
        return Streamed(_pieces_of(record), JSON)

    async def _many(
        self,
        request: Request,
        format: Literal["jsonl", "parquet"] = "jsonl",  # noqa: A002
        generations: Literal["current", "all"] = "current",
        environment: Text = None,
        task_set: Text = None,
        task: Text = None,
        state: models.EpisodeState | None = None,
        group_id: Text = None,
        created_after: Number = None,
        created_before: Number = None,
        min_reward: Number = None,
        graded: bool | None = None,
        trainable: bool | None = None,
        cursor: Annotated[str | None, Query(pattern=models.TRAJECTORY_CURSOR)] = None,
        limit: Annotated[int, Query(ge=1, le=1_000_000)] = 1_000_000,
    ) -> Response:
        wanted = models.ListTrajectories(
            format=format, generations=generations, environment=environment, task_set=task_set, task=task,
            state=state, group_id=group_id, created_after=created_after, created_before=created_before,
            min_reward=min_reward, graded=graded, trainable=trainable, cursor=cursor, limit=limit,
        )  # fmt: skip
        pieces = await self._calls.by(request.scope[CALLER]).trajectories(wanted)
        return Streamed(pieces, MEDIA_TYPES[format])


async def _pieces_of(record: Record) -> AsyncGenerator[bytes, None]:
    for piece in jsonl.in_pieces(encode_record(record)):
        yield piece
