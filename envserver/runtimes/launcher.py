"""The server's way to its launcher: as many connections as requests at once, up to a bound, kept for reuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envserver.launcher import protocol
from envserver.runtimes.base import (
    CapacityError,
    CheckpointError,
    CheckpointNotFoundError,
    ImageNotFoundError,
    RuntimeUnavailableError,
    SandboxError,
    SandboxGoneError,
)

_ERRORS: dict[str, type[SandboxError]] = {
    protocol.ERROR_CAPACITY: CapacityError,
    protocol.ERROR_IMAGE: ImageNotFoundError,
    protocol.ERROR_UNKNOWN_SANDBOX: SandboxGoneError,
    protocol.ERROR_UNKNOWN_CHECKPOINT: CheckpointNotFoundError,
    protocol.ERROR_CHECKPOINT: CheckpointError,
}
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LauncherAwayError(RuntimeUnavailableError):
    """It did not answer, so that nobody knows what it has done: killed, perhaps, and started again."""


class Launcher:
    """Belongs to one event loop."""

    def __init__(self, run: Path, *, connections: int = 16, timeout_s: float = 60.0) -> None:
        self._path = str(run / protocol.SOCKET_NAME)
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []
        self._timeout_s = timeout_s

    async def call(
        self, op: str, *, on_ahead: Callable[[str], None] = lambda _: None, **arguments: Any
    ) -> dict[str, Any]:
        """`on_ahead` hears what the launcher says ahead of its answer.

        Raises: what the answer's code stands for in `_ERRORS`, else RuntimeUnavailableError.

        A cancelled call hangs up, and the launcher destroys a sandbox whose maker has hung up.
        """
        async with self._slots:
            connection = await self._connect()
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await self._converse(connection, {"op": op, **arguments}, on_ahead)
            except (OSError, asyncio.IncompleteReadError, ValueError, TimeoutError) as error:
                connection[1].transport.abort()
                reason = str(error) or type(error).__name__
                raise LauncherAwayError(f"the launcher failed on {op!r}: {reason}") from error
            except BaseException:
                connection[1].transport.abort()
                raise
            self._idle.append(connection)
        if "error" in answer:
            kind = _ERRORS.get(str(answer["error"]), RuntimeUnavailableError)
            raise kind(str(answer.get("message", "")))
        return answer

    async def _connect(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection[0].at_eof() and not connection[1].is_closing():
                return connection
            connection[1].transport.abort()
        try:
            return await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise LauncherAwayError(f"the launcher cannot be reached at {self._path}: {error}") from error

    @staticmethod
    async def _converse(
        connection: _Connection, request: dict[str, Any], on_ahead: Callable[[str], None]
    ) -> dict[str, Any]:
        reader, writer = connection
        writer.write(protocol.encode(request))
        while True:
            length = protocol.decode_length(await reader.readexactly(4))
            answer = protocol.decode_body(await reader.readexactly(length))
            if protocol.AHEAD not in answer:
                return answer
            on_ahead(str(answer[protocol.AHEAD]))

    def close(self) -> None:
        for _, writer in self._idle:
            writer.transport.abort()
        self._idle.clear()
