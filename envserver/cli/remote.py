"""The running server, for commands: the SDK's client, and plain requests for what the client has no verb for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from envserver.cli.problems import CommandError, Exit

if TYPE_CHECKING:
    from envserver_sdk import Client

RECONNECT_S = 1.0
"""Whoever types a command is not to wait long to hear that there is no server."""
CREATE_S = 120.0
"""Nor for a node that stays full."""
CALL_S = 30.0


@contextmanager
def connect(url: str, api_key: str | None) -> Iterator[Client]:
    """Raises: CommandError for a URL that is none."""
    from envserver_sdk import Client, Timeouts

    try:
        client = Client(url, api_key, timeouts=Timeouts(reconnect_s=RECONNECT_S, create_s=CREATE_S))
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    with client:
        yield client


def fetch(url: str, api_key: str | None, path: str, query: dict[str, Any] | None = None) -> bytes:
    """The body of `GET path`. Raises: Problem, ConnectionFailed, CommandError."""
    with stream(url, api_key, path, query) as pieces:
        return b"".join(pieces)


@contextmanager
def stream(url: str, api_key: str | None, path: str, query: dict[str, Any] | None = None) -> Iterator[Iterator[bytes]]:
    """The same as it comes. Raises: as `fetch`; ConnectionFailed also where it is read, when it breaks off."""
    import httpx

    from envserver_sdk.errors import ConnectionFailed, problem_from_document

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    address = url.rstrip("/") + path
    try:
        with httpx.stream("GET", address, params=query, headers=headers, timeout=CALL_S, trust_env=False) as response:
            if response.is_success:
                yield response.iter_bytes()
                return
            response.read()
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise CommandError(f"url is {url!r}: {error}", Exit.USAGE) from None
    except httpx.TransportError as error:
        raise ConnectionFailed(f"{url}: {error}") from error
    try:
        document = response.json()
    except ValueError:
        document = response.text
    raise problem_from_document(document)
