"""Real hosts are reached where the operator lists them, at an address that was looked at, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from envserver.network import egress as egress_module
from envserver.network.egress import Egress, EgressError, Fetched


class Host:
    """Answers every request with the same bytes, and keeps what it heard."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nhi"
        self.heard: list[bytes] = []
        self.port = 0
        self.slow_s = 0.0
        self.serving: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.current_task())
        try:
            self.heard.append(await reader.readuntil(b"\r\n\r\n"))
            await asyncio.sleep(self.slow_s)
            writer.write(self.answer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Host]:
    made = Host()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    for serving in made.serving:
        assert serving is not None
        serving.cancel()
        await asyncio.wait((serving,))


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """What every name is found to be; the names that were looked up."""
    asked: list[str] = []

    async def getaddrinfo(name: str, port: int, **_: Any) -> list[Any]:
        asked.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


async def get(egress: Egress, url: str, **headers: str) -> Fetched:
    return await egress.fetch("GET", url, list(headers.items()), b"")


async def test_a_listed_host_is_asked_and_answers(host: Host) -> None:
    egress = Egress(f" 127.0.0.1:{host.port} , example.com")
    found = await get(egress, f"http://127.0.0.1:{host.port}/a?b=c", accept="text/html", connection="x", host="evil")
    assert (found.status, found.body) == (200, b"hi")
    assert found.headers == (("x-a", "1"), ("x-a", "2"))
    [heard] = host.heard
    assert heard.startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert b"accept: text/html" in heard.lower()
    assert b"evil" not in heard
    assert b"connection: x" not in heard.lower()


async def test_redirects_are_told_and_not_followed(host: Host) -> None:
    host.answer = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    found = await get(Egress(f"127.0.0.1:{host.port}"), f"http://127.0.0.1:{host.port}/")
    assert found.status == 302
    assert ("location", "http://169.254.169.254/") in found.headers
    assert len(host.heard) == 1


@pytest.mark.parametrize(
    "url",
    ["http://other.test/", "http://example.com:8080/", "ftp://example.com/", "http://127.0.0.1/", "file:///etc/passwd"],
)
async def test_nothing_else_is_reached(url: str) -> None:
    with pytest.raises(EgressError, match="may not reach"):
        await get(Egress("example.com"), url)
    with pytest.raises(EgressError, match="may not reach"):
        await get(Egress(), url)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1"])
async def test_a_name_that_leads_to_a_private_address_is_not_followed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to(monkeypatch, "93.184.216.34", address)
    with pytest.raises(EgressError, match="a private address"):
        await get(Egress("example.com"), "http://example.com/")


async def test_the_connection_goes_to_the_address_that_was_looked_at(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look would find another one: a name is looked up once."""
    asked = leads_to(monkeypatch, "127.0.0.1")
    monkeypatch.setattr(ipaddress.IPv4Address, "is_global", True)
    found = await get(Egress(f"rebound.test:{host.port}"), f"http://rebound.test:{host.port}/")
    assert found.body == b"hi"
    assert asked == ["rebound.test"]
    assert f"host: rebound.test:{host.port}".encode() in host.heard[0].lower()


async def test_too_much_and_too_late_end(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{host.port}/"
    monkeypatch.setattr(egress_module, "MAX_BODY_BYTES", 1)
    with pytest.raises(EgressError, match="more than 1 bytes"):
        await get(Egress(f"127.0.0.1:{host.port}"), url)
    monkeypatch.setattr(egress_module, "TIMEOUT_S", 0.05)
    host.slow_s = 0.2
    with pytest.raises(EgressError, match="did not answer within"):
        await get(Egress(f"127.0.0.1:{host.port}"), url)


async def test_whoever_waits_for_others_waits_no_longer_than_for_a_host(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress_module, "MAX_AT_ONCE", 1)
    egress, url = Egress(f"127.0.0.1:{host.port}"), f"http://127.0.0.1:{host.port}/"
    host.slow_s = 30
    first = asyncio.ensure_future(get(egress, url))
    while not host.heard:
        await asyncio.sleep(0)
    monkeypatch.setattr(egress_module, "TIMEOUT_S", 0.05)
    async with asyncio.timeout(5):
        with pytest.raises(EgressError, match="did not answer within"):
            await get(egress, url)
    assert len(host.heard) == 1
    first.cancel()


async def test_headers_go_out_as_they_came_and_compressions_that_are_not_read_are_not_asked_for(host: Host) -> None:
    egress = Egress(f"127.0.0.1:{host.port}")
    await egress.fetch(
        "GET",
        f"http://127.0.0.1:{host.port}/",
        [("cookie", "name=M\xfcller"), ("x", "\u20ac"), ("Accept-Encoding", "gzip, deflate, br, zstd")],
        b"",
    )
    [heard] = host.heard
    assert b"name=M\xfcller\r\n" in heard
    assert b"x: ?\r\n" in heard
    assert b"\r\naccept-encoding: gzip, deflate\r\n" in heard.lower()
    assert b"br" not in heard


async def test_a_host_that_is_not_there_is_told_without_detail(unused_tcp_port: int) -> None:
    with pytest.raises(EgressError, match="cannot be reached: ConnectError"):
        await get(Egress(f"127.0.0.1:{unused_tcp_port}"), f"http://127.0.0.1:{unused_tcp_port}/")


def test_an_episode_asks_for_a_part_of_what_is_listed() -> None:
    assert Egress("a.test,b.test").refused(["A.test", "c.test", "*"]) == ["*", "c.test"]
