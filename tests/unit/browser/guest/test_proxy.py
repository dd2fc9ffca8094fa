"""What the browser asks its proxy for is handed on, whole, and comes back as the server says it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from environments.browser.guest import proxy as proxy_module
from environments.browser.guest.proxy import Proxy

PAGE = {"status": 200, "headers": [["Content-Type", "text/html"], ["Connection", "x"]], "body": "PGgxPkhpPC9oMT4="}


@pytest_asyncio.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Proxy]:
    certificate = trustme.CA().issue_cert("any.test")
    file = tmp_path / "proxy.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(file))
    made = Proxy(str(file))
    await made.start()
    yield made
    await made.close()


class Browser:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, proxy: Proxy) -> Browser:
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def tunnel(self, target: str) -> bytes:
        self.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        return await self.reader.readuntil(b"\r\n\r\n")

    async def encrypt(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        await self.writer.start_tls(context, server_hostname="any.test")

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.lower().splitlines() if line.startswith(b"content-length:")), b":0")
        return head, await self.reader.readexactly(int(length.partition(b":")[2]))


async def asked(proxy: Proxy) -> list[dict[str, Any]]:
    await asyncio.wait_for(proxy.arrived.wait(), 5)
    return proxy.take()


@pytest_asyncio.fixture
async def browser(proxy: Proxy) -> AsyncIterator[Browser]:
    made = await Browser.connect(proxy)
    yield made
    await made.leave()


async def test_a_request_is_asked_whole_and_answered_as_the_server_says(proxy: Proxy, browser: Browser) -> None:
    browser.send(b"POST http://shop.test/buy?n=1 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\na=b")
    [exchange] = await asked(proxy)
    assert (exchange["method"], exchange["url"]) == ("POST", "http://shop.test/buy?n=1")
    assert ("content-length", "3") in exchange["headers"]
    assert base64.b64decode(exchange["body"]) == b"a=b"
    assert (proxy.waiting, proxy.settled.is_set()) == (1, False)
    proxy.deliver([{"id": exchange["id"], **PAGE}])
    head, body = await browser.answer()
    assert head.startswith(b"HTTP/1.1 200")
    assert b"cache-control: no-cache" in head
    assert b"connection: x" not in head.lower()
    assert body == b"<h1>Hi</h1>"
    assert (proxy.waiting, proxy.settled.is_set(), proxy.count) == (0, True, 1)


async def test_one_connection_carries_many_requests(proxy: Proxy, browser: Browser) -> None:
    for number in range(3):
        browser.send(b"GET http://shop.test/%d HTTP/1.1\r\nHost: shop.test\r\n\r\n" % number)
        [exchange] = await asked(proxy)
        assert exchange["url"] == f"http://shop.test/{number}"
        proxy.deliver([{"id": exchange["id"], **PAGE}])
        assert (await browser.answer())[1] == b"<h1>Hi</h1>"


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_some_answers_have_no_body(proxy: Proxy, browser: Browser, method: bytes, status: int) -> None:
    browser.send(method + b" http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    [exchange] = await asked(proxy)
    proxy.deliver([{"id": exchange["id"], **PAGE, "status": status}])
    await browser.reader.readuntil(b"\r\n\r\n")
    browser.send(b"GET http://shop.test/next HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    [exchange] = await asked(proxy)
    proxy.deliver([{"id": exchange["id"], **PAGE}])
    assert (await browser.answer())[0].startswith(b"HTTP/1.1 200"), "no byte of a body came before it"


async def test_tls_ends_here_and_the_tunnel_says_whose_page_it_is(proxy: Proxy, browser: Browser) -> None:
    assert (await browser.tunnel("secure.test:443")).startswith(b"HTTP/1.1 200")
    await browser.encrypt()
    browser.send(b"GET /x HTTP/1.1\r\nHost: other.test\r\n\r\n")
    [exchange] = await asked(proxy)
    assert exchange["url"] == "https://secure.test/x"
    proxy.deliver([{"id": exchange["id"], **PAGE}])
    assert (await browser.answer())[1] == b"<h1>Hi</h1>"


async def test_a_tunnel_without_tls_is_http(proxy: Proxy, browser: Browser) -> None:
    await browser.tunnel("socket.test:80")
    browser.send(b"GET /ws HTTP/1.1\r\nHost: socket.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    [exchange] = await asked(proxy)
    assert exchange["url"] == "http://socket.test/ws"


@pytest.mark.parametrize("target", ["shop.test:22", "127.0.0.1:9222", "[::1]:8080"])
async def test_a_tunnel_to_another_port_is_told_and_never_opened(proxy: Proxy, browser: Browser, target: str) -> None:
    opening = asyncio.ensure_future(browser.tunnel(target))
    [exchange] = await asked(proxy)
    assert (exchange["method"], exchange["url"]) == ("CONNECT", f"https://{target}/")
    proxy.deliver([{"id": exchange["id"], "status": 200, "headers": [], "body": ""}])
    assert (await opening).startswith(b"HTTP/1.1 400")


async def test_a_connection_can_be_reset(proxy: Proxy, browser: Browser) -> None:
    browser.send(b"GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    [exchange] = await asked(proxy)
    proxy.deliver([{"id": exchange["id"], **PAGE, "abort": True}])
    with pytest.raises(ConnectionResetError):
        await browser.reader.read()


async def test_an_answer_can_be_late(proxy: Proxy, browser: Browser) -> None:
    browser.send(b"GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    [exchange] = await asked(proxy)
    began = time.monotonic()
    proxy.deliver([{"id": exchange["id"], **PAGE, "delay_s": 0.05}])
    await proxy.settled.wait()
    assert time.monotonic() - began >= 0.05, "what is on its way is not settled"
    assert (await browser.answer())[1] == b"<h1>Hi</h1>"


async def test_what_is_too_much_is_refused(proxy: Proxy, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "MAX_BODY", 10)
    browser.send(b"POST http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 11\r\n\r\n" + b"x" * 11)
    assert (await browser.answer())[0].startswith(b"HTTP/1.1 413")
    monkeypatch.setattr(proxy_module, "MAX_WAITING", 0)
    second = await Browser.connect(proxy)
    second.send(b"GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert (await second.answer())[0].startswith(b"HTTP/1.1 503")
    assert proxy.take() == []
    await second.leave()


@pytest.mark.parametrize("junk", [b"\x16\x03\x01junk\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a" * 200_000])
async def test_junk_ends_its_own_connection_alone(proxy: Proxy, browser: Browser, junk: bytes) -> None:
    bad = await Browser.connect(proxy)
    bad.send(junk)
    assert await bad.reader.read() == b""
    await bad.leave()
    browser.send(b"GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert len(await asked(proxy)) == 1


async def test_answers_that_nobody_waits_for_are_dropped(proxy: Proxy) -> None:
    proxy.deliver([{"id": 7, **PAGE}])
    assert proxy.waiting == 0
