"""Bad input, byte by byte: each gets its documented problem, changes nothing, and costs no memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from envserver.server import RunningServer
from envserver_sdk.errors import PROBLEMS, TYPE_PREFIX
from tests.unit.api.test_websocket import dial
from tests.unit.fixtures import MakeServer
from tests.unit.scripted import Gates

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
CREATE = b'{"environment":"scripted","task":"a"}'
EPISODES = b"/v1/episodes"
MAX_GROWTH_BYTES = 64 << 20


def request(method: bytes, path: bytes, head: bytes = b"", body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%s %s HTTP/1.1\r\n%sConnection: close\r\n%s%s\r\n%s" % (method, path, HOST, head, length, body)


def post(body: bytes, head: bytes = JSON) -> bytes:
    return request(b"POST", EPISODES, head, body)


def headed(head: bytes, rest: bytes = b"") -> bytes:
    """A create whose headers are all that is wrong."""
    return b"POST /v1/episodes HTTP/1.1\r\n" + HOST + JSON + head + b"\r\n" + rest


def nested(depth: int) -> bytes:
    return b'{"environment":"scripted","metadata":{"a":%s%s}}' % (b"[" * depth, b"]" * depth)


def numbered(number: bytes) -> bytes:
    return post(b'{"environment":"scripted","seed":%s}' % number)


MALFORMED = (422, "invalid_request")
NO_HTTP = (400, "invalid_request")

CASES: dict[str, tuple[bytes, tuple[int, str]]] = {
    "half a body's JSON": (post(b'{"environment":'), MALFORMED),
    "two values": (post(CREATE + CREATE), MALFORMED),
    "a list": (post(b"[]"), MALFORMED),
    "a byte order mark": (post(b"\xef\xbb\xbf" + CREATE), MALFORMED),
    "UTF-16": (post(CREATE.decode().encode("utf-16")), MALFORMED),
    "a NUL in JSON": (post(b'{"environment":"scripted\0"}'), MALFORMED),
    "an unknown environment": (post(b'{"environment":"none"}'), (404, "not_found")),
    "an unknown member": (post(b'{"environment":"scripted","sede":1}'), MALFORMED),
    "a text for a number": (numbered(b'"1"'), MALFORMED),
    "a boolean for a number": (numbered(b"true"), MALFORMED),
    "a fraction for an integer": (numbered(b"1.5"), MALFORMED),
    "NaN": (numbered(b"NaN"), MALFORMED),
    "infinity": (numbered(b"-Infinity"), MALFORMED),
    "1e999": (numbered(b"1e999"), MALFORMED),
    "a million digits": (numbered(b"9" * 1_000_000), MALFORMED),
    "a million digits behind the point": (numbered(b"0.5" + b"0" * 1_000_000), MALFORMED),
    "nested 65 deep": (post(nested(65)), MALFORMED),
    "nested 100,000 deep": (post(nested(100_000)), MALFORMED),
    "a lone surrogate": (post(b'{"environment":"\\ud800"}'), MALFORMED),
    "an encoded surrogate": (post(b'{"environment":"\xed\xa0\x80"}'), MALFORMED),
    "a surrogate in the path": (request(b"GET", b"/v1/episodes/%ed%a0%80"), (404, "not_found")),
    "a surrogate in a parameter": (request(b"GET", b"/v1/episodes?state=%ed%a0%80"), MALFORMED),
    "a surrogate in a header": (request(b"DELETE", b"/v1/episodes/x", b"Idempotency-Key: \xed\xa0\x80\r\n"), MALFORMED),
    "a surrogate in a key": (request(b"DELETE", b"/v1/episodes/x", b"X-API-Key: \xed\xa0\x80\r\n"), (404, "not_found")),
    "a NUL in the path": (request(b"GET", b"/v1/episodes/%00"), (404, "not_found")),
    "no UTF-8 in the path": (request(b"GET", b"/v1/episodes/%ff"), (404, "not_found")),
    "dots in the path": (request(b"GET", b"/v1/../health"), (404, "not_found")),
    "a slash too many": (request(b"GET", b"/v1/episodes/"), (404, "not_found")),
    "a raw NUL in the path": (request(b"GET", b"/v1/episodes/\0"), NO_HTTP),
    "raw bytes in the path": (request(b"GET", b"/v1/episodes/\xff"), NO_HTTP),
    "an unknown parameter": (request(b"GET", b"/v1/episodes?stat=live"), MALFORMED),
    "6,000 parameters": (request(b"GET", b"/v1/episodes?" + b"&".join(b"a%d" % n for n in range(6000))), MALFORMED),
    "a body too large by its length": (headed(b"Content-Length: 99999999999\r\n"), (413, "payload_too_large")),
    "a length beyond 64 bits": (headed(b"Content-Length: 99999999999999999999999\r\n"), NO_HTTP),
    "a negative length": (headed(b"Content-Length: -1\r\n"), NO_HTTP),
    "two lengths": (headed(b"Content-Length: 37\r\nContent-Length: 38\r\n", CREATE), NO_HTTP),
    "chunks and a length": (headed(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), NO_HTTP),
    "another transfer encoding": (headed(b"Transfer-Encoding: identity\r\n"), NO_HTTP),
    "a chunk that is none": (headed(b"Transfer-Encoding: chunked\r\n", b"zz\r\n"), NO_HTTP),
    "a bad chunk behind a good one": (headed(b"Transfer-Encoding: chunked\r\n", b"1\r\n{\r\nzz\r\n"), NO_HTTP),
    "a compressed body": (post(CREATE, JSON + b"Content-Encoding: gzip\r\n"), (415, "unsupported_media_type")),
    "another charset": (post(CREATE, JSON[:-2] + b"; charset=utf-16\r\n"), (415, "unsupported_media_type")),
    "another content type": (post(CREATE, b"Content-Type: text/plain\r\n"), (415, "unsupported_media_type")),
    "no content type": (post(CREATE, b""), (415, "unsupported_media_type")),
    "a known method elsewhere": (request(b"TRACE", EPISODES), (405, "method_not_allowed")),
    "an unknown method": (request(b"STEAL", EPISODES), NO_HTTP),
    "a folded header": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n X: y\r\n\r\n", NO_HTTP),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NO_HTTP),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", NO_HTTP),
    "a second host": (b"GET /v1/episodes HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n", (401, "unauthorized")),
    "a WebSocket where none is": (
        request(b"GET", b"/v1/none", b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n").replace(b"close", b"Upgrade"), (404, "not_found"),
    ),
}  # fmt: skip


async def open_connection(server: RunningServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, dict[str, object]]:
    """Status, head and document of one answer."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    length = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
    body = await asyncio.wait_for(reader.readexactly(length), 5)
    return int(head.split(b" ", 2)[1]), head, json.loads(body)


async def ask(server: RunningServer, data: bytes) -> tuple[int, bytes, dict[str, object]]:
    reader, writer = await open_connection(server)
    try:
        writer.write(data)
        return await read_answer(reader)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        yield client


async def state(http: httpx.AsyncClient) -> object:
    """All that a request could have changed."""
    episodes = (await http.get("/v1/episodes")).json()["episodes"]
    return [(e["episode_id"], e["state"], e["step_index"], e["generation"], e["reward"]) for e in episodes]


@pytest.fixture
async def episode_id(http: httpx.AsyncClient) -> str:
    created = await http.post("/v1/episodes", content=CREATE, headers={"content-type": "application/json"})
    return str(created.json()["episode_id"])


@pytest.mark.parametrize(("data", "expected"), CASES.values(), ids=CASES)
async def test_each_gets_its_problem_and_changes_nothing(
    server: RunningServer, http: httpx.AsyncClient, episode_id: str, data: bytes, expected: tuple[int, str]
) -> None:
    before, resident = await state(http), resident_bytes()
    status, head, document = await ask(server, data)
    assert (status, document["type"]) == (expected[0], TYPE_PREFIX + expected[1])
    assert document["status"] == status
    assert status in (400, PROBLEMS[expected[1]].status)
    assert b"content-type: application/problem+json" in head.lower()
    assert await state(http) == before
    assert resident_bytes() - resident < MAX_GROWTH_BYTES


WRONG_STEPS = [
    b'{"action":%s1%s,"step_index":1}' % (b"[" * 100_000, b"]" * 100_000),
    b'{"action":%s,"step_index":1}' % (b"9" * 1_000_000),
    b'{"action":1,"step_index":%s}' % (b"1" * 1_000_000),
    b'{"action":1,"step_index":1e400}',
    b'{"action":1,"step_index":9223372036854775808}',
    b'{"action":1,"step_index":true}',
    b'{"action":1,"step_index":"1"}',
    b'{"action":1,"step_index":1,"wait_s":NaN}',
    b'{"action":1,"step_index":1,"wait_s":"1"}',
    b'{"action":"\\udfff","step_index":1}',
    b'{"action":1,"step_index":1,"generation":0}',
    b'{"action":1,"step_index":1,"__proto__":{}}',
]


async def test_a_wrong_step_uses_no_name_up(server: RunningServer, http: httpx.AsyncClient, episode_id: str) -> None:
    before = await state(http)
    for body in WRONG_STEPS:
        status, _, document = await ask(
            server, request(b"POST", f"/v1/episodes/{episode_id}/step".encode(), JSON, body)
        )
        assert (status, document["type"]) == (422, TYPE_PREFIX + "invalid_request"), body[:60]
        assert len(json.dumps(document)) < 2000, "an answer does not repeat what came"
    assert await state(http) == before
    async with dial(server) as wire:
        for params in (
            {"step_index": True},
            {"step_index": "1"},
            {"step_index": 1.5},
            {"step_index": 1, "wait_s": "1"},
        ):
            answer = await wire.call("step", episode_id=episode_id, action=1, **params)
            assert answer["type"].endswith(":invalid_request")
    assert await state(http) == before


async def test_of_two_members_of_one_name_the_last_counts(server: RunningServer) -> None:
    status, _, document = await ask(server, post(b'{"environment":"none","environment":"scripted"}'))
    assert (status, document["step_index"]) == (201, 0)


async def test_requests_in_one_piece_are_answered_in_order(server: RunningServer) -> None:
    reader, writer = await open_connection(server)
    kept = [
        request(b"GET", path).replace(b"Connection: close\r\n", b"") for path in (b"/v1/environments", b"/none") * 50
    ]
    writer.write(b"".join(kept))
    assert [(await read_answer(reader))[0] for _ in kept] == [200, 404] * 50
    writer.close()


async def test_an_endless_body_is_cut_off(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envserver.api.protocol.LINGER_S", 0.5)
    server = await make_server(max_body_bytes=1 << 20)
    resident = resident_bytes()
    reader, writer = await open_connection(server)
    writer.write(headed(b"Transfer-Encoding: chunked\r\n"))
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for _ in range(320):  # 20 MiB, as a client that looks for its answer only when it has sent everything
        writer.write(chunk)
        await writer.drain()
    assert (await read_answer(reader))[0] == 413
    with pytest.raises(ConnectionError):
        while True:
            writer.write(chunk)
            await writer.drain()
    assert resident_bytes() - resident < MAX_GROWTH_BYTES
    writer.close()


async def test_a_reader_that_takes_nothing_makes_nothing_pile_up(server: RunningServer) -> None:
    resident = resident_bytes()
    _, writer = await open_connection(server)
    ask_document = request(b"GET", b"/v1/openapi.json").replace(b"Connection: close\r\n", b"")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            for _ in range(20_000):  # a gigabyte of answers
                writer.write(ask_document)
                await writer.drain()
    async with httpx.AsyncClient(base_url=server.url) as http:
        for _ in range(100):  # time enough to answer what it would
            assert (await http.get("/health")).status_code == 200
    assert resident_bytes() - resident < MAX_GROWTH_BYTES
    writer.transport.abort()


async def test_large_frames_in_flight_are_bounded(make_server: MakeServer, gates: Gates) -> None:
    server = await make_server(ws_in_flight_bytes=4 << 20, max_body_bytes=2 << 20)
    async with dial(server, max_queue=None) as wire:
        episode_id = await wire.create()
        wait = await wire.send("step", episode_id=episode_id, action={"type": "wait", "gate": "g"}, step_index=1)
        await gates.reached("g")
        resident = resident_bytes()
        held = {"type": "wait", "gate": "g", "ballast": "x" * (1 << 20)}

        async def flood() -> None:
            for _ in range(200):  # each attaches to nothing and is refused, or waits for its turn to be read
                await wire.send("create", environment="scripted", metadata=held, options={"gate": "h"})

        flooding = asyncio.ensure_future(flood())
        await gates.reached("h")
        await asyncio.wait((flooding,), timeout=1)
        assert not flooding.done(), "the server reads on although the frames in flight fill its bound"
        assert gates.counts["h"] <= 5
        assert resident_bytes() - resident < MAX_GROWTH_BYTES
        gates.open("h")
        gates.open("g")
        await flooding
        answers = [await wire.receive() for _ in range(201)]
        assert sum(answer["id"] == wait for answer in answers) == 1
        assert len({answer["id"] for answer in answers}) == 201


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_defect(
    make_server: MakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server = await make_server()
    host, port = server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(headed(b"Content-Length: 100\r\n", b'{"environment":'))
    await writer.drain()
    writer.transport.abort()
    problems = server.calls.metrics.problems
    async with asyncio.timeout(5):
        while not problems.labels("invalid_request")._value.get():
            await asyncio.sleep(0.01)
    assert not problems.labels("internal_error")._value.get()
    assert "call_defect" not in capsys.readouterr().out
