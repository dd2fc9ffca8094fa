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

from environments.browser.driver import MAX_HEARD_BYTES, MAX_VALUES
from environments.browser.guest import proxy as proxy_module
from environments.browser.guest.proxy import MAX_ASKED, MAX_BODY, MAX_HEAD, MAX_URL, MAX_WAITING, READ_BYTES, Proxy
from environments.browser.urls import MAX_CHARS
from environments.programs import MAX_ANSWER_BYTES

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
    proxy.deliver([{"id": exchange["id"], "status": 403, "headers": [], "body": ""}])
    assert (await opening).startswith(b"HTTP/1.1 403")


async def test_a_tunnel_to_a_port_that_the_server_allows_is_tls(proxy: Proxy, browser: Browser) -> None:
    opening = asyncio.ensure_future(browser.tunnel("docs.test:8443"))
    [exchange] = await asked(proxy)
    proxy.deliver([{"id": exchange["id"], "status": 200, "headers": [], "body": ""}])
    assert (await opening).startswith(b"HTTP/1.1 200")
    await browser.encrypt()
    browser.send(b"GET /x HTTP/1.1\r\nHost: docs.test:8443\r\n\r\n")
    [exchange] = await asked(proxy)
    assert exchange["url"] == "https://docs.test:8443/x"


async def test_a_tunnel_in_a_tunnel_is_never_opened(proxy: Proxy, browser: Browser) -> None:
    await browser.tunnel("socket.test:80")
    opening = asyncio.ensure_future(browser.tunnel("docs.test:8443"))
    [exchange] = await asked(proxy)
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


async def test_what_the_server_would_not_take_is_refused_where_it_is_asked(
    proxy: Proxy, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.send(b"GET http://shop.test/" + b"x" * MAX_CHARS + b" HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert (await browser.answer())[0].startswith(b"HTTP/1.1 414")
    monkeypatch.setattr(proxy_module, "MAX_ASKED", 60)
    browser.send(b"GET http://shop.test/1234567890 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    [exchange] = await asked(proxy)
    proxy.deliver([{"id": exchange["id"], **PAGE}])
    assert (await browser.answer())[1] == b"<h1>Hi</h1>"
    browser.send(b"GET http://shop.test/1234567890 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert (await browser.answer())[0].startswith(b"HTTP/1.1 413"), "too much since the action began"
    proxy.begin_action()
    browser.send(b"GET http://shop.test/1234567890 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert len(await asked(proxy)) == 1


def test_all_that_may_be_asked_is_heard_by_the_server() -> None:
    """A character of an address or a header is two bytes and one value at most; four bytes stand for a body's three."""
    assert MAX_URL == MAX_CHARS
    assert 2 * MAX_HEAD + MAX_BODY * 4 // 3 + (1 << 20) < MAX_ANSWER_BYTES
    assert MAX_HEAD + READ_BYTES + 10 * MAX_WAITING < MAX_VALUES
    assert 2 * MAX_ASKED + MAX_ANSWER_BYTES + (4 << 20) < MAX_HEARD_BYTES


async def test_what_the_server_does_not_hear_at_once_is_told_in_parts(proxy: Proxy) -> None:
    asking = [
        asyncio.ensure_future(proxy.ask("POST", "http://a.test/", [], b"x" * size))
        for size in (MAX_BODY - 10, 10, 1, MAX_BODY, 0)
    ]
    taken = []
    while proxy.waiting < len(asking):
        await asyncio.sleep(0)
    while proxy.arrived.is_set():
        taken.append([exchange["id"] for exchange in proxy.take()])
    assert taken == [[1, 2], [3], [4, 5]]
    proxy.deliver([{"id": number, **PAGE} for number in range(1, 6)])
    await asyncio.gather(*asking)


async def test_long_heads_are_told_in_parts_too(proxy: Proxy) -> None:
    long = [("x", "," * (MAX_HEAD // 2))]
    asking = [asyncio.ensure_future(proxy.ask("GET", "http://a.test/", long, b"")) for _ in range(3)]
    while proxy.waiting < len(asking):
        await asyncio.sleep(0)
    assert [len(proxy.take()) for _ in range(3)] == [1, 1, 1]
    proxy.deliver([{"id": number, **PAGE} for number in range(1, 4)])
    await asyncio.gather(*asking)


async def test_what_a_step_took_with_it_is_told_again_by_the_next(proxy: Proxy) -> None:
    asking = [asyncio.ensure_future(proxy.ask("GET", f"http://a.test/{n}", [], b"")) for n in range(3)]
    assert [exchange["id"] for exchange in await asked(proxy)] == [1, 2, 3]
    proxy.deliver([{"id": 2, **PAGE, "delay_s": 0.05}])  # its answer is on its way
    proxy.begin_action()
    assert [exchange["id"] for exchange in await asked(proxy)] == [1, 3]
    proxy.deliver([{"id": number, **PAGE} for number in (1, 3)])
    await asyncio.wait_for(proxy.settled.wait(), 5)
    await asyncio.gather(*asking)


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
