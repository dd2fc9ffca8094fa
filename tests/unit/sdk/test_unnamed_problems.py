"""A server that cannot read a frame cannot say whose it was: nobody waits for an answer that does not come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from envserver_sdk import AsyncClient
from envserver_sdk.errors import ConnectionFailed, InvalidRequest

REFUSAL = json.dumps({"id": None, "problem": InvalidRequest("this is no JSON").document()})


@asynccontextmanager
async def refusing(after: int) -> AsyncIterator[AsyncClient]:
    """The client of a server that refuses each time that so many calls have come."""

    async def answer(connection: ServerConnection) -> None:
        while True:
            for _ in range(after):
                await connection.recv()
            await connection.send(REFUSAL)

    async with serve(answer, "127.0.0.1", 0, subprotocols=["envserver.json"]) as server:  # type: ignore[list-item]
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(5), AsyncClient(f"http://127.0.0.1:{port}") as client:
            yield client


async def test_the_only_call_under_way_is_the_one() -> None:
    async with refusing(after=1) as client:
        for _ in range(2):
            with pytest.raises(InvalidRequest, match="this is no JSON"):
                await client.create("scripted")


async def test_of_several_each_is_told_that_it_may_have_been_that_one() -> None:
    async def create(client: AsyncClient) -> None:
        await client.create("scripted")

    async with refusing(after=2) as client:
        told = await asyncio.gather(create(client), create(client), return_exceptions=True)
    assert [type(each) for each in told] == [ConnectionFailed] * 2
    assert "one of 2 calls without saying which: invalid_request: this is no JSON" in str(told[0])
