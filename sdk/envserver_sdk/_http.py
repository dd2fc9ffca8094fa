"""Ordinary calls, one request each, on httpx (imported with the first one: it is slow to import)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from envserver_sdk._pauses import pauses
from envserver_sdk._settings import Timeouts, Tls, is_untrusted
from envserver_sdk.errors import CallTimeout, ConnectionFailed, NotJson, Problem, ShuttingDown, problem_from_document

if TYPE_CHECKING:
    import httpx


class Http:
    """Belongs to one event loop. Every call here may be sent twice: it reads, or it carries an idempotency key."""

    def __init__(self, url: str, headers: dict[str, str], timeouts: Timeouts, tls: Tls) -> None:
        self._url = url
        self._headers = headers
        self._timeouts = timeouts
        self._tls = tls
        self._client: httpx.AsyncClient | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        accept: tuple[int, ...] = (),
    ) -> bytes:
        """The body of a successful answer (2xx, or a status in `accept`).

        Raises: Problem, CallTimeout, ConnectionFailed.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._timeouts.reconnect_s
        params = {name: value for name, value in (query or {}).items() if value is not None}
        for pause_s in pauses():
            try:
                response = await self._send(method, path, params=params, content=content, headers=headers)
                if response.is_success or response.status_code in accept:
                    return response.content
                raise _problem(response)
            except (ConnectionFailed, ShuttingDown) as error:
                if loop.time() + pause_s > give_up_at or is_untrusted(error):
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def stream(self, path: str, query: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        """The body of `GET path` as it comes, asked for once: the caller knows where to go on after a fault.

        Raises: Problem, CallTimeout, ConnectionFailed; the last also when the body breaks off.
        """
        import httpx

        params = {name: value for name, value in query.items() if value is not None}
        # The server may search long for the next thing that is wanted.
        timeout = httpx.Timeout(self._timeouts.create_s, connect=self._timeouts.connect_s)
        try:
            async with self._open().stream("GET", path, params=params, timeout=timeout) as response:
                if not response.is_success:
                    await response.aread()
                    raise _problem(response)
                async for chunk in response.aiter_bytes():
                    yield chunk
        except httpx.TimeoutException:
            raise CallTimeout(f"GET {path}: nothing came for {self._timeouts.create_s:g} s") from None
        except (UnicodeEncodeError, httpx.InvalidURL) as error:
            raise NotJson(f"{path!a} or its query holds what no address can hold: {error}") from None
        except httpx.TransportError as error:
            raise ConnectionFailed(f"{self._url}: {error}") from error

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Once. Raises: CallTimeout, ConnectionFailed."""
        import httpx

        try:
            async with asyncio.timeout(self._timeouts.call_s):
                return await self._open().request(method, path, **request)
        except (TimeoutError, httpx.TimeoutException):
            raise CallTimeout(f"{method} {path}: no answer within {self._timeouts.call_s:g} s") from None
        except (UnicodeEncodeError, httpx.InvalidURL) as error:
            raise NotJson(f"{path!a} or its query holds what no address can hold: {error}") from None
        except httpx.TransportError as error:
            raise ConnectionFailed(f"{self._url}: {error}") from error

    def _open(self) -> httpx.AsyncClient:
        import httpx

        if self._client is None:
            timeout = httpx.Timeout(self._timeouts.call_s, connect=self._timeouts.connect_s)
            self._client = httpx.AsyncClient(
                base_url=self._url,
                headers=self._headers,
                timeout=timeout,
                trust_env=False,
                verify=self._tls.context() if self._url.startswith("https:") else False,
            )
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def _problem(response: httpx.Response) -> Problem:
    try:
        document = from_json(response.content)
    except ValueError:
        document = response.text
    return problem_from_document(document)
