"""Files at once cost no more memory than their bound, and each still arrives."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from envserver.api.budget import ByteBudget
from envserver_sdk.errors import Overloaded
from tests.unit.api.keys import create
from tests.unit.api.test_websocket import dial
from tests.unit.fixtures import MakeServer
from tests.unit.scripted import ScriptedRuntime

MIB = 1 << 20
OCTETS = {"content-type": "application/octet-stream"}


async def test_room_is_given_in_order_and_taken_back() -> None:
    budget = ByteBudget(10, wait_s=5)
    entered: list[str] = []
    release = asyncio.Event()

    async def hold(name: str, size: int) -> None:
        async with budget.hold(size):
            entered.append(name)
            await release.wait()

    tasks = [asyncio.ensure_future(hold(name, size)) for name, size in (("a", 6), ("b", 8), ("c", 1))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert entered == ["a"], "a small one does not overtake"
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    await asyncio.sleep(0)
    assert entered == ["a", "c"], "who leaves the line lets the next one in"
    release.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert budget.used_bytes == 0


async def test_who_waits_too_long_is_told_to_come_again() -> None:
    budget = ByteBudget(10, wait_s=0.01)
    async with budget.hold(50):
        assert budget.used_bytes == 10, "one larger than all there is gets all there is"
        with pytest.raises(Overloaded) as refused:
            async with budget.hold(1):
                pass
        assert refused.value.extra["retry_after_s"] > 0
    assert budget.used_bytes == 0


async def test_many_large_files_at_once_share_the_room(make_server: MakeServer, runtime: ScriptedRuntime) -> None:
    server = await make_server(max_file_bytes=4 * MIB, files_bytes=8 * MIB)
    most = 0
    hold = server.calls.files._take

    async def take(size: int) -> None:
        nonlocal most
        await hold(size)
        most = max(most, server.calls.files.used_bytes)

    server.calls.files._take = take
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        files = f"/v1/episodes/{await create(http)}/files"
        data = bytes(range(256)) * (3 * MIB // 256)
        puts = [http.put(files, params={"path": f"/{n}"}, content=data, headers=OCTETS) for n in range(12)]
        assert {answer.status_code for answer in await asyncio.gather(*puts)} == {200}
        gets = await asyncio.gather(*(http.get(files, params={"path": f"/{n}"}) for n in range(12)))
        assert all(answer.content == data for answer in gets)
        assert 4 * MIB < most <= 8 * MIB
        assert (await http.get(files, params={"path": "/none"})).status_code == 409
        assert server.calls.files.used_bytes == 0


async def test_a_reader_that_goes_away_gives_the_room_back(make_server: MakeServer, runtime: ScriptedRuntime) -> None:
    server = await make_server(files_bytes=64 * MIB)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        episode_id = await create(http)
        (sandbox,) = runtime.sandboxes.values()
        sandbox.files["/large"] = bytes(60 * MIB)
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /v1/episodes/{episode_id}/files?path=/large HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        assert server.calls.files.used_bytes == 64 * MIB
        writer.transport.abort()
        answer = await http.get(f"/v1/episodes/{episode_id}/files", params={"path": "/large"})
        assert len(answer.content) == 60 * MIB
    async with dial(server, max_size=None) as wire:
        assert (await wire.call("read_file", episode_id=episode_id, path="/large"))["size_bytes"] == 60 * MIB
    assert server.calls.files.used_bytes == 0
