"""A blocking client of the launcher's socket, for command lines and tests; the server's is asynchronous."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from envserver.launcher import protocol


class LauncherRefusedError(Exception):
    """The launcher answered with an error; `code` is one of `protocol`'s."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LauncherClient:
    """One connection, one request at a time. Making it raises: ConnectionError."""

    def __init__(self, run: Path, timeout_s: float = 60.0) -> None:
        path = run / protocol.SOCKET_NAME
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise ConnectionError(f"the launcher cannot be reached at {path}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def call(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Raises: LauncherRefusedError, OSError."""
        self._socket.sendall(protocol.encode({"op": op, **arguments}))
        return self._answer()

    def import_image(self, archive: IO[bytes], name: str | None = None, timeout_s: float = 600.0) -> dict[str, Any]:
        """Send an image archive; the connection cannot be used again. Raises: LauncherRefusedError, OSError."""
        self._socket.settimeout(timeout_s)
        self._socket.sendall(protocol.encode({"op": "import_image", "name": name}))
        with self._socket.makefile("wb") as stream:
            shutil.copyfileobj(archive, stream, 1 << 20)
        self._socket.shutdown(socket.SHUT_WR)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        with self._socket.makefile("rb") as stream:
            header = stream.read(4)
            if len(header) < 4:
                raise ConnectionError("the launcher closed the connection; does it run, and may this uid call it?")
            answer = protocol.decode_body(stream.read(protocol.decode_length(header)))
        if "error" in answer:
            raise LauncherRefusedError(str(answer["error"]), str(answer.get("message", "")))
        return answer
