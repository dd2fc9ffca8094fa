"""The WebSocket: every call, multiplexed, in two encodings, bounded at both ends."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from envserver.api.methods import METHODS
from envserver.server import RunningServer
from tests.unit.episodes.helpers import until
from tests.unit.fixtures import MakeServer
from tests.unit.scripted import Gates, ScriptedRuntime


class Wire:
    """A client that sees every frame."""

    def __init__(self, connection: ClientConnection, *, packed: bool) -> None:
        self.connection = connection
        self.packed = packed
        self.last_id = 0

    async def send(self, method: str, **params: Any) -> int:
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        await self.connection.send(msgpack.packb(message) if self.packed else json.dumps(message))
        return self.last_id

    async def receive(self) -> dict[str, Any]:
        frame = await asyncio.wait_for(self.connection.recv(), 5)
        assert isinstance(frame, bytes) == self.packed
        message: dict[str, Any] = msgpack.unpackb(frame) if isinstance(frame, bytes) else json.loads(frame)
        return message

    async def call(self, method: str, **params: Any) -> Any:
        call_id = await self.send(method, **params)
        answer = await self.receive()
        assert answer["id"] == call_id
        return answer.get("result", answer.get("problem"))

    async def create(self, **members: Any) -> str:
        started = await self.call("create", environment="scripted", task="a", **members)
        return str(started["episode_id"])


@asynccontextmanager
async def dial(server: RunningServer, subprotocol: str | None = None, **options: Any) -> AsyncIterator[Wire]:
    asked = [Subprotocol(subprotocol)] if subprotocol else None
    url = server.url.replace("http", "ws") + "/v1/ws"
    async with connect(url, subprotocols=asked, proxy=None, compression=None, **options) as connection:
        assert connection.subprotocol == subprotocol
        yield Wire(connection, packed=subprotocol == "envserver.msgpack")


@pytest.mark.parametrize("subprotocol", [None, "envserver.json", "envserver.msgpack"])
async def test_every_method_answers_in_every_encoding(server: RunningServer, subprotocol: str | None) -> None:
    async with dial(server, subprotocol) as wire:
        episode_id = await wire.create()
        stepped = await wire.call("step", episode_id=episode_id, action={"type": "echo", "value": "é"}, step_index=1)
        assert stepped["observation"]["value"] == "é"
        assert await wire.call("get_step", episode_id=episode_id, index=1) == stepped
        file = {"data": b"\0\xff"} if wire.packed else {"data_base64": "AP8="}
        written = await wire.call("write_file", episode_id=episode_id, path="/f", idempotency_key="k", **file)
        assert written["size_bytes"] == 2
        assert file.items() <= (await wire.call("read_file", episode_id=episode_id, path="/f")).items()
        steps = [{"episode_id": episode_id, "action": {"type": "echo"}, "step_index": 2}]
        assert (await wire.call("batch_step", steps=steps))["results"][0]["step_index"] == 2
        assert (await wire.call("get", episode_id=episode_id))["step_index"] == 2
        assert len((await wire.call("list", state="live"))["episodes"]) == 1
        assert (await wire.call("environments"))["environments"] == ["scripted"]
        assert (await wire.call("environment", name="scripted"))["max_steps"] == 5
        assert len((await wire.call("tasks", name="scripted", limit=2))["tasks"]) == 2
        assert (await wire.call("health"))["status"] == "ok"
        assert (await wire.call("reset", episode_id=episode_id, seed=1))["generation"] == 2
        assert (await wire.call("grade", episode_id=episode_id))["reward"] == 0.0
        assert (await wire.call("close", episode_id=episode_id))["state"] == "closed"


@pytest.mark.parametrize("subprotocol", ["envserver.json", "envserver.msgpack"])
async def test_pictures_are_bytes_where_there_are_bytes(server: RunningServer, subprotocol: str) -> None:
    images = [{"format": "png", "data": "AP8="}, {"format": "png", "data": "no base64!"}, {"data": "AP8="}, 7]
    action = {"type": "show", "observation": {"images": images}}
    async with dial(server, subprotocol) as wire:
        shown = [{"format": "png", "data": b"\0\xff"}, *images[1:]] if wire.packed else images
        episode_id = await wire.create()
        stepped = await wire.call("step", episode_id=episode_id, action=action, step_index=1)
        assert stepped["observation"]["images"] == shown
        steps = [{"episode_id": episode_id, "action": action, "step_index": 2}]
        batch = await wire.call("batch_step", steps=steps)
        assert batch["results"][0]["observation"]["images"] == shown


def test_the_methods_are_the_documented_ones() -> None:
    assert set(METHODS) == {
        "create", "step", "get_step", "reset", "grade", "close", "get", "list", "batch_step", "read_file",
        "write_file", "environments", "environment", "tasks", "health", "checkpoint", "checkpoints", "get_checkpoint",
        "delete_checkpoint", "fork", "restore", "pause", "resume", "hibernate", "create_group", "get_group",
        "close_group", "trajectory",
    }  # fmt: skip


async def test_answers_overtake_each_other(server: RunningServer, gates: Gates) -> None:
    async with dial(server) as wire:
        slow, quick = await wire.create(), await wire.create()
        first = await wire.send("step", episode_id=slow, action={"type": "wait", "gate": "g"}, step_index=1)
        second = await wire.send("step", episode_id=quick, action={"type": "echo"}, step_index=1)
        assert (await wire.receive())["id"] == second
        gates.open("g")
        assert (await wire.receive())["id"] == first


async def test_output_is_streamed_before_the_result(server: RunningServer, gates: Gates) -> None:
    async with dial(server) as wire:
        episode_id = await wire.create()
        action = {"type": "print", "text": "né", "gate": "g"}
        call_id = await wire.send("step", episode_id=episode_id, action=action, step_index=1, stream=True)
        event = await wire.receive()
        assert event == {"id": call_id, "event": {"type": "output", "stream": "stdout", "text": "né"}}
        gates.open("g")
        assert (await wire.receive())["result"]["observation"] == {"streamed": True}


BAD_FRAMES: list[tuple[str, str]] = [
    ("{", "invalid_request"),
    ("[]", "invalid_request"),
    ("{}", "invalid_request"),
    ('{"id": true, "method": "health"}', "invalid_request"),
    ('{"id": 1, "method": "destroy_everything"}', "not_found"),
    ('{"id": 1}', "not_found"),
    ('{"id": 1, "method": ["health"]}', "not_found"),
    ('{"id": 1, "method": "health", "params": {"x": 1}}', "invalid_request"),
    ('{"id": 1, "method": "health", "params": [1]}', "invalid_request"),
    ('{"id": 1, "method": "get", "params": {"episode_id": 4}}', "invalid_request"),
    ('{"id": 1, "method": "get", "params": {"episode_id": "none"}}', "not_found"),
    ('{"id": 1, "method": "step", "params": {"episode_id": "none", "action": 1}}', "invalid_request"),
    ('{"id": 1, "method": "step", "params": {"episode_id": "none", "stream": 1}}', "invalid_request"),
    ('{"id": 1, "method": "create", "params": {"environment": "x", "idempotency_key": 5}}', "invalid_request"),
    ('{"id": 1, "method": "write_file", "params": {"episode_id": "x", "path": "/", "data": "?"}}', "invalid_request"),
    ('{"id": "%s", "method": "health"}' % ("x" * 65), "invalid_request"),
    ('{"id": %s, "method": "health"}' % ("1" * 5000), "invalid_request"),
    ('{"id": [NaN], "method": "health"}', "invalid_request"),
]  # fmt: skip


async def test_bad_frames_are_answered_and_harm_no_other(server: RunningServer) -> None:
    async with dial(server) as wire:
        for frame, code in BAD_FRAMES:
            await wire.connection.send(frame)
            problem = (await wire.receive())["problem"]
            assert problem["type"].endswith(":" + code), frame
        assert (await wire.call("health"))["status"] == "ok"


BAD_PACKED: list[Any] = [
    b"\xc1", b"", {1: 2}, {"id": 1, "method": "health", "params": {"x": b"bytes"}}, [[[]]] * 3, msgpack.Timestamp(1, 0),
]  # fmt: skip


async def test_bad_packed_frames_are_answered(server: RunningServer) -> None:
    async with dial(server, "envserver.msgpack") as wire:
        for value in BAD_PACKED:
            await wire.connection.send(value if isinstance(value, bytes) else msgpack.packb(value))
            assert "problem" in await wire.receive(), value
        assert (await wire.call("health"))["status"] == "ok"


@pytest.mark.parametrize("subprotocol", [None, "envserver.msgpack"])
async def test_a_frame_that_is_refused_for_a_value_is_answered_under_its_id(
    server: RunningServer, subprotocol: str | None
) -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    async with dial(server, subprotocol) as wire:
        for value in (float("nan"), float("inf"), deep):
            call_id = await wire.send("create", environment="scripted", options={"value": value})
            answer = await wire.receive()
            assert (answer["id"], answer["problem"]["status"]) == (call_id, 422)


async def test_a_frame_that_is_too_large_ends_the_connection_only(make_server: MakeServer) -> None:
    server = await make_server(max_body_bytes=10_000)
    async with dial(server) as wire:
        with pytest.raises(ConnectionClosed):
            await wire.connection.send("x" * 20_000)
            await wire.receive()
    async with dial(server) as wire:
        assert (await wire.call("health"))["status"] == "ok"


async def test_calls_in_flight_are_bounded_by_not_reading_on(make_server: MakeServer, gates: Gates) -> None:
    server = await make_server(ws_max_in_flight=2)
    async with dial(server) as wire:
        ids = [await wire.create() for _ in range(3)]
        for episode_id in ids:
            await wire.send("step", episode_id=episode_id, action={"type": "wait", "gate": "g"}, step_index=1)
        async with dial(server) as other:  # has seen at least as many turns of the loop
            for _ in range(20):
                await other.call("health")
        assert gates.counts["g"] == 2
        gates.open("g")
        for _ in ids:
            await wire.receive()
        assert gates.counts["g"] == 3


async def test_a_dropped_connection_leaves_steps_running_and_unnamed_creates_undone(
    server: RunningServer, runtime: ScriptedRuntime, gates: Gates
) -> None:
    async with dial(server) as wire:
        episode_id = await wire.create()
        await wire.send("step", episode_id=episode_id, action={"type": "wait", "gate": "g"}, step_index=1)
        await wire.send("create", environment="scripted", options={"gate": "reset"})
        await gates.reached("g")
        await gates.reached("reset")
        assert len(runtime.sandboxes) == 2
    await until(lambda: len(runtime.sandboxes) == 1)
    gates.open("g")
    async with dial(server) as wire:
        record = await wire.call("get_step", episode_id=episode_id, index=1, wait_s=5)
        assert record["observation"] == {"passed": "g"}
    assert gates.counts["g"] == 1


def small_window(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((host, int(port)))
    raw.setblocking(False)
    return raw


async def test_a_reader_that_takes_nothing_is_disconnected_and_holds_no_memory(make_server: MakeServer) -> None:
    server = await make_server(ws_outbox_bytes=100_000, ws_send_timeout_s=0.2)
    async with dial(server) as wire:
        episode_id = await wire.create()
        await wire.call("step", episode_id=episode_id, action={"type": "large", "size": 1_000_000}, step_index=1)
    ended = asyncio.Event()
    watch_connections(server, ended.set)
    async with dial(server, sock=small_window(server.url), max_queue=1) as wire:
        for _ in range(50):  # 50 MB of answers that nobody reads
            await wire.send("get_step", episode_id=episode_id, index=1)
        await asyncio.wait_for(ended.wait(), 10)
        assert (await asyncio.to_thread(_health, server.url)) == 200
        wire.connection.transport.abort()


async def test_output_that_a_slow_reader_does_not_take_is_dropped_and_counted(make_server: MakeServer) -> None:
    server = await make_server(ws_outbox_bytes=50_000)
    async with dial(server) as wire:
        episode_id = await wire.create()
        action = {"type": "print", "text": "x" * 1000, "times": 1000}
        await wire.send("step", episode_id=episode_id, action=action, step_index=1, stream=True)
        got = dropped = 0
        while "result" not in (message := await wire.receive()):
            event = message["event"]
            if event["type"] == "output":
                got += len(event["text"])
            else:
                dropped = event["bytes"]
    assert got < 100_000
    assert got + dropped == 1_000_000


def watch_connections(server: RunningServer, ended: Callable[[], None]) -> None:
    """Tell when the server's side of the next connection has ended."""
    from envserver.api import websocket

    real = websocket.Connection.serve

    async def serve(self: websocket.Connection) -> None:
        try:
            await real(self)
        finally:
            websocket.Connection.serve = real  # type: ignore[method-assign]
            ended()

    websocket.Connection.serve = serve  # type: ignore[method-assign]


def _health(url: str) -> int:
    import httpx

    return httpx.get(f"{url}/health").status_code
