"""A sandbox driven through its guest agent: what every runtime shares. A runtime adds usage and destruction.

This is the one place where the guest's answers become results, and its errors the contract's exceptions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from envserver.guest import fields
from envserver.guest.connection import (
    MAX_PAYLOAD_BYTES,
    EventListener,
    GuestConnection,
    GuestForgottenError,
    GuestGoneError,
    GuestMalformedError,
    GuestRefusedError,
    GuestSilentError,
)
from envserver.runtimes.base import (
    KIB,
    MIB,
    USER_UID,
    CallForgottenError,
    Command,
    CommandNotStartedError,
    CommandResult,
    Ending,
    FileEntry,
    GuestProtocolError,
    Output,
    OutputLimits,
    OutputListener,
    Sandbox,
    SandboxError,
    SandboxFileError,
    SandboxGoneError,
    SandboxSilentError,
    SandboxSpec,
    Session,
)

_CHUNK_BYTES = 512 * KIB
_SHORT_S = 20.0
"""For operations that only touch files or kill; generous, since a starved host is not a dead guest."""
_MARGIN_S = 15.0
"""Beyond a command's own limits: the agent needs time to kill a large tree."""
_OUTPUT = OutputLimits()
_FILE_ERRORS = frozenset(
    ("not_found", "not_a_file", "not_a_directory", "denied", "is_link", "no_space", "invalid_path", "io")
)
_REPEATABLE = frozenset(("read", "list", "room"))
"""Operations that change nothing."""
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
    "HOME": "/home/user",
    "USER": "user",
    "LOGNAME": "user",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}


class GuestSandbox(Sandbox):
    """Everything of the contract but usage and destruction."""

    def __init__(self, sandbox_id: str, spec: SandboxSpec, guest: GuestConnection) -> None:
        self.sandbox_id = sandbox_id
        self.spec = spec
        self._guest = guest

    @property
    def gone(self) -> bool:
        return self._guest.failure is not None

    async def run(
        self,
        command: Command,
        *,
        stdin: bytes = b"",
        timeout_s: float,
        grace_s: float = 0.5,
        output: OutputLimits = _OUTPUT,
        on_output: OutputListener | None = None,
    ) -> CommandResult:
        if len(stdin) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"stdin of {len(stdin)} bytes exceeds {MAX_PAYLOAD_BYTES}")
        arguments = self._command(command) | {"stdin": stdin}
        return await self._timed("run", arguments, timeout_s, grace_s, output, on_output)

    async def open_session(self, name: str, command: Command, *, feed: bytes = b"", pty: bool = False) -> Session:
        arguments = self._command(command) | {"session": name, "mode": "pty" if pty else "pipes", "feed": feed or None}
        await self._request("open", arguments)
        return GuestSession(self, name)

    def attach_session(self, name: str) -> Session:
        return GuestSession(self, name)

    def reserve_series(self) -> int:
        return self._guest.series.reserve()

    def series(self, number: int) -> AbstractContextManager[None]:
        return self._guest.series.enter(number)

    def settle_series(self, number: int) -> None:
        self._guest.series.settle(number)

    @property
    def settled_series(self) -> int:
        return self._guest.series.settled

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644, user: int = USER_UID) -> None:
        for offset in range(0, max(1, len(data)), _CHUNK_BYTES):
            chunk = data[offset : offset + _CHUNK_BYTES]
            arguments = {"data": chunk, "mode": mode, "append": offset > 0, "parents": True}
            await self._file_request("write", path, user, arguments)

    async def read_file(self, path: str, *, max_bytes: int = 16 * MIB, user: int = USER_UID) -> bytes:
        content = bytearray()
        while True:
            arguments = {"offset": len(content), "length": _CHUNK_BYTES}
            answer = await self._file_request("read", path, user, arguments)
            with _trusted():
                content += fields.binary(answer, "data", _CHUNK_BYTES)
                ended = fields.boolean(answer, "eof")
                if not ended and not answer["data"]:
                    raise fields.MalformedError("no data before the end of a file")
            if len(content) > max_bytes:
                raise SandboxFileError("too_large", path, f"{path}: larger than {max_bytes} bytes")
            if ended:
                return bytes(content)

    async def list_files(
        self, path: str, *, max_entries: int = 10_000, max_depth: int = 16, user: int = USER_UID
    ) -> tuple[list[FileEntry], bool]:
        arguments = {"max_entries": max_entries, "max_depth": max_depth}
        answer = await self._file_request("list", path, user, arguments)
        with _trusted():
            entries = [_entry(entry) for entry in fields.sequence(answer, "entries", max_entries)]
            return entries, fields.boolean(answer, "truncated")

    async def has_room(self, paths: Sequence[str], size_bytes: int = 128 * KIB) -> bool:
        uid = self._uid(USER_UID)
        arguments = {"paths": list(paths), "bytes": size_bytes, "uid": uid, "gid": uid}
        answer = await self._request("room", arguments)
        with _trusted():
            return all(value is True for value in fields.sequence(answer, "room", len(paths)))

    async def stop_processes(self) -> int:
        answer = await self._request("stop", {})
        with _trusted():
            return fields.integer(answer, "killed", high=2**32)

    async def quiesce(self) -> list[str]:
        """Have the agent let go of everything outside, so that the sandbox can be dumped."""
        with _translated():
            answer = await self._guest.part(_SHORT_S)
        with _trusted():
            return [str(entry)[:256] for entry in fields.sequence(answer, "descriptors", 1024)]

    async def rejoin(self) -> None:
        """Undo `quiesce`."""
        with _translated():
            await self._guest.rejoin()

    # --- requests -------------------------------------------------------------------------------

    def _uid(self, user: int) -> int:
        """What the guest agent knows a user of the contract as."""
        return user

    def _command(self, command: Command) -> dict[str, Any]:
        limits = {"core": 0, "msgqueue": 0, "nofile": self.spec.limits.nofile, **command.rlimits}
        return {
            "argv": list(command.argv),
            "cwd": command.cwd,
            "env": {**_ENVIRONMENT, **command.env},
            "uid": self._uid(command.user),
            "gid": self._uid(command.user),
            "rlimits": limits,
        }

    async def _file_request(self, op: str, path: str, user: int, arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            uid = self._uid(user)
            return await self._request(op, {"path": path, "uid": uid, "gid": uid, **arguments})
        except _RefusedError as error:
            code = error.code if error.code in _FILE_ERRORS else "io"
            raise SandboxFileError(code, path) from error

    async def _timed(
        self,
        op: str,
        arguments: dict[str, Any],
        timeout_s: float,
        grace_s: float,
        output: OutputLimits,
        on_output: OutputListener | None,
    ) -> CommandResult:
        limits = {
            "timeout_ms": max(1, round(timeout_s * 1000)),
            "grace_ms": round(grace_s * 1000),
            "keep_bytes": output.keep_bytes,
            "max_output_bytes": output.stop_bytes,
            "stream": on_output is not None,
        }
        patience_s = timeout_s + grace_s + _MARGIN_S
        answer = await self._request(op, arguments | limits, patience_s, on_output, output.stop_bytes)
        with _trusted():
            return _result(answer, output)

    async def _request(
        self,
        op: str,
        arguments: dict[str, Any],
        timeout_s: float = _SHORT_S,
        on_event: EventListener | None = None,
        event_bytes: int = 0,
    ) -> dict[str, Any]:
        try:
            with _translated():
                return await self._guest.request(
                    op,
                    arguments,
                    timeout_s=timeout_s,
                    on_event=on_event,
                    event_bytes=event_bytes,
                    repeatable=op in _REPEATABLE,
                )
        except GuestRefusedError as error:
            if error.code == "spawn_failed":
                raise CommandNotStartedError(f"{arguments['argv'][0]}: {error}") from error
            raise _RefusedError(error.code, f"{op}: {error}") from error

    async def detach(self) -> None:
        self._guest.close()

    async def _destroy(self) -> None:
        raise NotImplementedError

    _destroyed: asyncio.Task[None] | None = None

    async def destroy(self) -> None:
        if self._destroyed is None or _has_failed(self._destroyed):
            self._guest.close()
            self._destroyed = asyncio.ensure_future(self._destroy())
        await asyncio.shield(self._destroyed)


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


class GuestSession(Session):
    """A session by name; the agent holds its state."""

    def __init__(self, sandbox: GuestSandbox, name: str) -> None:
        self.name = name
        self._sandbox = sandbox

    async def call(
        self,
        message: bytes,
        *,
        timeout_s: float,
        grace_s: float = 0.5,
        output: OutputLimits = _OUTPUT,
        on_output: OutputListener | None = None,
    ) -> CommandResult:
        if len(message) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a message of {len(message)} bytes exceeds {MAX_PAYLOAD_BYTES}")
        arguments = {"session": self.name, "message": message}
        return await self._sandbox._timed("call", arguments, timeout_s, grace_s, output, on_output)

    async def close(self) -> None:
        try:
            await self._sandbox._request("close", {"session": self.name})
        except _RefusedError as error:
            if error.code != "no_session":
                raise


class _RefusedError(SandboxError):
    """A refusal that has no better name in the contract."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def _trusted() -> Iterator[None]:
    """A malformed answer becomes the contract's exception."""
    try:
        yield
    except fields.MalformedError as error:
        raise GuestProtocolError(f"the guest agent's answer is malformed: {error}") from error


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The end of the guest becomes the contract's exceptions."""
    try:
        yield
    except GuestMalformedError as error:
        raise GuestProtocolError(str(error)) from error
    except GuestSilentError as error:
        raise SandboxSilentError(str(error)) from error
    except GuestGoneError as error:
        raise SandboxGoneError(str(error)) from error
    except GuestForgottenError as error:
        raise CallForgottenError(str(error)) from error


def _entry(value: Any) -> FileEntry:
    if type(value) is not dict:
        raise fields.MalformedError("an entry is no map")
    return FileEntry(
        path=fields.text(value, "path", 8192),
        type=fields.text(value, "type", 16),
        size_bytes=fields.integer(value, "size"),
        mode=fields.integer(value, "mode", high=0o7777777),
    )


def _output(answer: dict[str, Any], name: str, limits: OutputLimits) -> Output:
    stream = fields.mapping(answer, name)
    head = fields.binary(stream, "head", limits.keep_bytes)
    tail = fields.binary(stream, "tail", limits.keep_bytes)
    return Output(head, tail, fields.integer(stream, "total", low=len(head) + len(tail)))


def _result(answer: dict[str, Any], limits: OutputLimits) -> CommandResult:
    try:
        ending = Ending(fields.text(answer, "end", 16))
    except ValueError as error:
        raise fields.MalformedError(str(error)) from error
    return CommandResult(
        ending=ending,
        stdout=_output(answer, "stdout", limits),
        stderr=_output(answer, "stderr", limits),
        duration_s=fields.integer(answer, "duration_us") / 1e6,
        message=fields.optional_binary(answer, "message", MAX_PAYLOAD_BYTES),
        exit_code=fields.optional_integer(answer, "exit_code", 0, 255),
        signal=fields.optional_integer(answer, "signal", 1, 64),
        interrupted=fields.boolean(answer, "interrupted"),
        alive=fields.boolean(answer, "alive"),
        killed_processes=fields.integer(answer, "killed", high=2**32),
    )
