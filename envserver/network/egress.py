"""Requests to real hosts, made by the server in an episode's place: a sandbox itself has no route to anywhere.

Nothing is allowed until the operator lists it (ENVSERVER_EGRESS_HOSTS), and an episode reaches what of that it has
asked for. A host's name never leads to a private address, is looked up once a request, and the connection goes to the
very address that was looked at. Redirects are answers like any other: whoever follows one asks again, and is checked
again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

TIMEOUT_S = 20.0
MAX_BODY_BYTES = 8 << 20
MAX_AT_ONCE = 32
"""Requests of all episodes together."""
READABLE = b"gzip, deflate"
"""What a browser says that it can read is more than what is read here."""
_NOT_OURS = frozenset(
    {"accept-encoding", "connection", "host", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}
)
_DECODED = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Of an answer: it is handed on as it reads, not as it came."""


class EgressError(Exception):
    """The host may not be reached, or did not answer; the message is fit for a page."""


@dataclass(frozen=True)
class Fetched:
    """What a host answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Egress:
    """Of one server."""

    def __init__(self, hosts: str = "") -> None:
        """`hosts` as the operator lists them, with `,` between them: `example.com`, `10.0.0.5:8080`."""
        self.hosts = frozenset(host.strip().lower() for host in hosts.split(",") if host.strip())
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)

    def refused(self, wanted: Sequence[str]) -> list[str]:
        """Which of the hosts that an episode asks for the operator does not list."""
        return sorted(host for host in wanted if host.lower() not in self.hosts)

    async def fetch(self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Fetched:
        """One request, without following where it leads. Raises: EgressError."""
        parsed = httpx.URL(url)
        named = parsed.host if parsed.port is None else f"{parsed.host}:{parsed.port}"
        if parsed.scheme not in ("http", "https") or named.lower() not in self.hosts:
            raise EgressError(f"this server may not reach {named[:253]}")
        try:
            async with asyncio.timeout(TIMEOUT_S), self._slots:
                return await self._fetch(method, parsed, headers, body)
        except TimeoutError as error:
            raise EgressError(f"{named} did not answer within {TIMEOUT_S:g} s") from error
        except (httpx.HTTPError, OSError) as error:
            raise EgressError(f"{named} cannot be reached: {type(error).__name__}") from error

    async def _fetch(self, method: str, url: httpx.URL, headers: Sequence[tuple[str, str]], body: bytes) -> Fetched:
        address = await self._address(url)
        kept = [
            (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in headers
            if name.lower() not in _NOT_OURS
        ]
        request = httpx.Request(
            method,
            url.copy_with(host=address),
            headers=[*kept, (b"accept-encoding", READABLE), (b"host", url.netloc)],
            content=body,
            extensions={"sni_hostname": url.host},
        )
        async with httpx.AsyncHTTPTransport(trust_env=False) as transport:
            response = await transport.handle_async_request(request)
            try:
                parts, size = [], 0
                async for part in response.aiter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > MAX_BODY_BYTES:
                        raise EgressError(f"{url.host} answered with more than {MAX_BODY_BYTES} bytes")
            finally:
                await response.aclose()
        shown = tuple((name, value) for name, value in response.headers.multi_items() if name.lower() not in _DECODED)
        return Fetched(response.status_code, shown, b"".join(parts))

    async def _address(self, url: httpx.URL) -> str:
        """Where the host's name leads; a private address is only reached where it is listed as that."""
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        addresses = [str(each[4][0]) for each in found]
        for address in addresses:
            if address != url.host.strip("[]") and not ipaddress.ip_address(address).is_global:
                raise EgressError(f"{url.host} leads to {address}, a private address")
        return addresses[0]


_current = Egress()


def configure(egress: Egress) -> None:
    """Once, when the server starts."""
    global _current  # a server has one operator
    _current = egress


def current() -> Egress:
    return _current
