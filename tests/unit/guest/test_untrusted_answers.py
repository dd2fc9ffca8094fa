"""An agent's answers become results of bounded size and checked types, or GuestProtocolError."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from envserver.guest.connection import GuestConnection
from envserver.runtimes.base import (
    Command,
    CommandNotStartedError,
    Ending,
    GuestProtocolError,
    OutputLimits,
    SandboxError,
    SandboxFileError,
    SandboxGoneError,
    SandboxSpec,
    Usage,
)
from envserver.runtimes.guest_sandbox import GuestSandbox
from tests.unit.guest.fake_agent import HELLO, FakeAgent, Peer

STREAM = {"head": b"", "tail": b"", "total": 0}
RESULT: dict[str, Any] = {
    "end": "exited",
    "message": None,
    "interrupted": False,
    "alive": False,
    "killed": 0,
    "exit_code": 0,
    "signal": None,
    "stdout": STREAM,
    "stderr": STREAM,
    "duration_us": 10,
}


class PlainSandbox(GuestSandbox):
    """No runtime behind it."""

    def usage(self) -> Usage:
        raise SandboxGoneError("nothing is counted")

    def mark_usage(self) -> None:
        raise SandboxGoneError("nothing is counted")

    async def _destroy(self) -> None:
        return None


@asynccontextmanager
async def answering(directory: Path, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> AsyncIterator[GuestSandbox]:
    """A sandbox whose agent gives each request what `answer` makes of it."""

    async def script(peer: Peer) -> None:
        peer.send(HELLO)
        while True:
            request = await peer.receive()
            peer.send({"id": request["id"], **answer(request)})

    async with FakeAgent(directory / "s", script) as agent:
        box = PlainSandbox("fake", SandboxSpec("fake"), await GuestConnection.dial(agent.socket))
        yield box
        await box.destroy()


def ok(value: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda _: {"ok": value}


async def test_a_right_result_passes(tmp_path: Path) -> None:
    async with answering(tmp_path, ok(RESULT)) as box:
        result = await box.run(Command(["x"]), timeout_s=1)
    assert (result.ending, result.exit_code, result.duration_s) == (Ending.EXITED, 0, 1e-5)


WRONG: dict[str, list[Any]] = {
    "end": ["done", "", 1, None, "x" * 100],
    "message": ["text", 1, b"x" * 900_001],
    "interrupted": [0, None, "no"],
    "alive": [1, None],
    "killed": [-1, None, 2**33, True],
    "exit_code": [-1, 256, "0", True, 0.0],
    "signal": [0, 65, "9", True],
    "duration_us": [-1, 1.5, None, "1"],
    "stdout": [
        None,
        [],
        {},
        {**STREAM, "head": "text"},
        {**STREAM, "head": b"x" * 11, "total": 11},
        {**STREAM, "tail": b"x" * 11, "total": 11},
        {**STREAM, "head": b"xx", "total": 1},
        {**STREAM, "total": -1},
    ],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
async def test_a_result_with_a_wrong_field_is_a_broken_protocol(name: str, value: Any, tmp_path: Path) -> None:
    async with answering(tmp_path, ok({**RESULT, name: value})) as box:
        with pytest.raises(GuestProtocolError, match="malformed"):
            await box.run(Command(["x"]), timeout_s=1, output=OutputLimits(keep_bytes=10))


@pytest.mark.parametrize("name", [name for name in RESULT if name not in ("message", "exit_code", "signal")])
async def test_a_result_without_a_field_is_a_broken_protocol(name: str, tmp_path: Path) -> None:
    async with answering(tmp_path, ok({key: value for key, value in RESULT.items() if key != name})) as box:
        with pytest.raises(GuestProtocolError, match="malformed"):
            await box.run(Command(["x"]), timeout_s=1)


async def test_a_file_without_end_is_read_to_its_limit_and_no_further(tmp_path: Path) -> None:
    asked: list[int] = []

    def endless(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request["offset"])
        return {"ok": {"data": b"x" * request["length"], "eof": False, "size": 1}}

    async with answering(tmp_path, endless) as box:
        with pytest.raises(SandboxFileError) as error:
            await box.read_file("/f", max_bytes=1 << 20)
    assert error.value.code == "too_large"
    assert len(asked) == 3


@pytest.mark.parametrize(
    "answer",
    [
        {"data": b"", "eof": False},
        {"data": "text", "eof": True},
        {"data": b"x"},
        {"eof": True},
        {"data": b"x" * 600_000, "eof": True},
        {"data": b"", "eof": 1},
    ],
    ids=["no progress", "text", "no end", "no data", "more than asked for", "a number for yes"],
)
async def test_a_wrong_answer_to_a_read_is_a_broken_protocol(answer: dict[str, Any], tmp_path: Path) -> None:
    async with answering(tmp_path, ok(answer)) as box:
        with pytest.raises(GuestProtocolError):
            await box.read_file("/f")


ENTRY = {"path": "a", "type": "file", "size": 1, "mode": 0o644}


@pytest.mark.parametrize(
    "answer",
    [
        {"entries": [ENTRY] * 3, "truncated": False},
        {"entries": [7], "truncated": False},
        {"entries": [{**ENTRY, "path": b"a"}], "truncated": False},
        {"entries": [{**ENTRY, "path": "x" * 8193}], "truncated": False},
        {"entries": [{**ENTRY, "size": -1}], "truncated": False},
        {"entries": [{**ENTRY, "mode": 0o10000000}], "truncated": False},
        {"entries": [], "truncated": None},
        {"truncated": False},
    ],
    ids=["more than asked for", "a number", "bytes", "a long path", "a size", "a mode", "truncated", "no entries"],
)
async def test_a_wrong_listing_is_a_broken_protocol(answer: dict[str, Any], tmp_path: Path) -> None:
    async with answering(tmp_path, ok(answer)) as box:
        with pytest.raises(GuestProtocolError):
            await box.list_files("/", max_entries=2)


async def test_room_is_believed_only_where_it_is_plainly_said(tmp_path: Path) -> None:
    async with answering(tmp_path, ok({"room": [True, 1]})) as box:
        assert not await box.has_room(["/a", "/b"])


async def test_refusals_are_named_and_unknown_ones_are_io(tmp_path: Path) -> None:
    codes = {"not_found": "not_found", "denied": "denied", "something else": "io"}
    for said, understood in codes.items():
        directory = tmp_path / said.replace(" ", "")
        directory.mkdir()
        async with answering(directory, lambda _, said=said: {"error": {"code": said, "message": ""}}) as box:  # type: ignore[misc]
            with pytest.raises(SandboxFileError) as error:
                await box.read_file("/f")
            assert error.value.code == understood


async def test_a_program_that_did_not_start_is_told_from_a_refusal(tmp_path: Path) -> None:
    async with answering(tmp_path, lambda _: {"error": {"code": "spawn_failed", "message": "execve: ENOENT"}}) as box:
        with pytest.raises(CommandNotStartedError, match="ENOENT"):
            await box.run(Command(["x"]), timeout_s=1)


async def test_a_session_that_is_unknown_is_closed_already(tmp_path: Path) -> None:
    async with answering(tmp_path, lambda _: {"error": {"code": "no_session", "message": ""}}) as box:
        await box.attach_session("s").close()
        with pytest.raises(SandboxError, match="no_session"):
            await box.attach_session("s").call(b"x", timeout_s=1)
