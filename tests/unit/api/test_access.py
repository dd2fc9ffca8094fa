"""Who may call: nobody from elsewhere without a key, and no page of another origin."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from envserver.config import ServerConfig
from tests.unit.fixtures import MakeServer

KEY = "env_test_" + "k" * 40


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_a_server_that_others_can_reach_refuses_to_start_without_a_key(host: str) -> None:
    with pytest.raises(ValidationError, match="ENVSERVER_API_KEY"):
        ServerConfig(host=host)
    assert ServerConfig(host=host, api_key=KEY).read_api_key() == KEY  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    assert ServerConfig(host=host).read_api_key() is None


def test_an_empty_key_is_no_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("\n")
    with pytest.raises(ValueError, match="empty"):
        ServerConfig(api_key_file=file).read_api_key()
    file.write_text(KEY + "\n")
    assert ServerConfig(api_key_file=file).read_api_key() == KEY


async def test_a_key_is_required_everywhere_but_for_health(make_server: MakeServer) -> None:
    server = await make_server(api_key=KEY)
    async with httpx.AsyncClient(base_url=server.url) as http:
        for path in ("/v1/episodes", "/v1/environments", "/metrics", "/v1/openapi.json", "/none"):
            for headers in (
                {},
                {"X-API-Key": KEY + "x"},
                {"Authorization": f"Basic {KEY}"},
                {"Authorization": "Bearer"},
            ):
                refused = await http.get(path, headers=headers)
                assert refused.status_code == 401, (path, headers)
                assert refused.json()["type"].endswith(":unauthorized")
                assert refused.headers["www-authenticate"] == "Bearer"
        for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer {KEY}"}):
            assert (await http.get("/v1/episodes", headers=headers)).status_code == 200
        assert (await http.get("/health")).status_code == 200


async def test_the_websocket_needs_the_key_too(make_server: MakeServer) -> None:
    server = await make_server(api_key=KEY)
    url = server.url.replace("http", "ws") + "/v1/ws"
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, proxy=None)
    assert caught.value.response.status_code == 401
    async with connect(url, proxy=None, additional_headers={"X-API-Key": KEY}):
        pass


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}, {"Host": "[bad"}],
)
async def test_other_peoples_pages_are_refused(make_server: MakeServer, headers: dict[str, str]) -> None:
    server = await make_server()
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/v1/episodes", headers=headers)).status_code == 401
        own = {"Origin": server.url}
        assert (await http.get("/v1/episodes", headers=own)).status_code == 200


async def dial(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


@pytest.mark.parametrize("line", [b"X-A: %s" % (b"x" * 200_000), b"X-A: 1\r\n" * 30_000, b"x" * 200_000])
async def test_too_long_headers_end_the_connection(make_server: MakeServer, line: bytes) -> None:
    server = await make_server()
    reader, writer = await dial(server.url)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + line)
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        answer = await asyncio.wait_for(reader.read(), 5)
    assert b" 200 " not in answer
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


async def test_a_connection_that_sends_no_request_is_closed(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envserver.api.protocol.HEADERS_TIMEOUT_S", 0.05)
    server = await make_server()
    reader, writer = await dial(server.url)
    writer.write(b"GET /health HTTP/1.1\r\n")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await writer.wait_closed()
