"""An MCP server as a program in the sandbox, driven by the guest's bridge, which says how it answers.

The bridge is a session of its own, so a call reaches the program once, whichever server asks for it again. A program
that has ended is started anew by the next call, which says so: what it held is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from environments.environment import JsonObject
from environments.tools.mcp.connection import Connection
from environments.tools.mcp.listing import ListingError, clean, parse_listing
from environments.tools.mcp.results import show_result
from environments.tools.mcp.servers import Program
from environments.tools.tool import ToolContext, ToolResult
from environments.tools.worlds.session import guest_source
from envserver.runtimes.base import (
    Command,
    CommandNotStartedError,
    CommandResult,
    Ending,
    OutputLimits,
    Sandbox,
    SandboxError,
    SandboxGoneError,
    Session,
)
from envserver_sdk.models import Outcome

CWD = "/workspace"
START_TIMEOUT_S = 60.0
GRACE_S = 2.0
MAX_ORDER_BYTES = 900_000
OUTPUT = OutputLimits(keep_bytes=4096, stop_bytes=64 << 20)
RESTARTED = "note: the MCP server {} was started anew: earlier state of it is gone"


class _BrokenError(Exception):
    """The bridge has ended, or does not speak as it should; the message is fit for a policy."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome


class _NotStartedError(Exception):
    """The server does not run; the message says why."""


class ProgramConnection(Connection):
    """What it asks of the sandbox is decided by `snapshot`, the call and the bridge's answers."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program = program
        self._session: Session | None = None
        self._running = False
        """The server answered when it was last heard of."""

    @property
    def _session_name(self) -> str:
        return f"mcp-{self._program.name}"

    async def begin(self, sandbox: Sandbox) -> None:
        try:
            await self._start(sandbox)
        except (_NotStartedError, _BrokenError) as error:
            raise ValueError(f"mcp: {self._program.name}: {error}") from None

    async def call(self, context: ToolContext, tool: str, arguments: JsonObject) -> ToolResult:
        order = {"call": {"name": tool, "arguments": arguments}}
        size = len(_encode(order))
        if size > MAX_ORDER_BYTES:
            return ToolResult(f"Error: the arguments have {size} bytes, at most {MAX_ORDER_BYTES} fit", error=True)
        notes: list[str] = []
        try:
            return await self._call(context, order, notes)
        except _NotStartedError as error:
            return _failure(f"the MCP server {self._program.name} does not run: {error}", notes)
        except _BrokenError as error:
            return _failure(f"the MCP server {self._program.name} is gone: {error}", notes, error.outcome)

    async def _call(self, context: ToolContext, order: JsonObject, notes: list[str]) -> ToolResult:
        answer = await self._ask_running(order, context) if self._running else None
        if answer is None or "gone" in answer:
            # It ended between two calls: nothing of this one has run.
            self._running = False
            notes.append(RESTARTED.format(self._program.name))
            await self._start(context.sandbox)
            answer = await self._ask(order, context.step.timeout_s)
        if "tools" in answer:
            self._take_tools(answer["tools"], notes)
        return self._show(answer, context, notes)

    async def _ask_running(self, order: JsonObject, context: ToolContext) -> JsonObject | None:
        """None where the bridge itself ended since it was last asked."""
        try:
            return await self._ask(order, context.step.timeout_s)
        except SandboxGoneError:
            raise
        except SandboxError:
            await self._drop()
            return None

    def _take_tools(self, value: Any, notes: list[str]) -> None:
        try:
            self.tools = parse_listing(value)
        except ListingError as error:
            notes.append(f"note: the MCP server {self._program.name} has changed its tools, but {error}")

    def _show(self, answer: JsonObject, context: ToolContext, notes: list[str]) -> ToolResult:
        members: JsonObject = {"session": "restarted"} if notes and notes[0].startswith("note: the MCP") else {}
        if isinstance(answer.get("result"), Mapping):
            return show_result(answer["result"], notes, members)
        if "refused" in answer:
            return _failure(clean(str(answer["refused"])), notes)
        if answer.get("interrupted") is True:
            message = f"stopped: it ran longer than {context.step.timeout_s:g} s; the server and its state live on"
            return _failure(message, notes, Outcome.POLICY_TIMEOUT)
        self._running = False
        if "lost" in answer:
            why = f"{answer['lost']}; its state is lost"
            return _failure(f"the MCP server {self._program.name} is gone: {why}", notes)
        return _failure(f"the MCP server {self._program.name} did not answer", notes)

    async def _start(self, sandbox: Sandbox) -> None:
        """Raises: _NotStartedError, _BrokenError, SandboxError."""
        if self._session is None:
            command = Command(["python3", "-I", "-c", guest_source("mcp_session")], cwd=CWD)
            try:
                self._session = await sandbox.open_session(self._session_name, command)
            except CommandNotStartedError as error:
                raise _NotStartedError(f"its bridge, a Python program, cannot be started: {error}") from None
        program = self._program
        order = {"start": {"command": list(program.command), "env": dict(program.env), "cwd": CWD}}
        answer = await self._ask(order, START_TIMEOUT_S)
        if "tools" not in answer:
            raise _NotStartedError(str(answer.get("failed", "its bridge does not say why")))
        try:
            self.tools = parse_listing(answer["tools"])
        except ListingError as error:
            raise _NotStartedError(str(error)) from None
        self._running = True

    async def _ask(self, order: JsonObject, timeout_s: float) -> JsonObject:
        """Raises: _BrokenError, SandboxError."""
        assert self._session is not None
        result = await self._session.call(_encode(order), timeout_s=timeout_s, grace_s=GRACE_S, output=OUTPUT)
        if result.message is None or not result.alive:
            await self._drop()
            raise _of_result(result)
        try:
            answer = json.loads(result.message)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            await self._drop()
            raise _BrokenError("its bridge broke its own protocol", Outcome.POLICY_KILLED)
        for ended in ("failed", "lost"):
            if ended in answer:
                answer[ended] = _with_last_words(clean(str(answer[ended])), result)
        return answer

    async def _drop(self) -> None:
        session, self._session, self._running = self._session, None, False
        if session is not None:
            await session.close()

    def snapshot(self) -> JsonObject:
        return {**super().snapshot(), "open": self._session is not None, "running": self._running}

    def restore(self, sandbox: Sandbox, state: JsonObject) -> None:
        super().restore(sandbox, state)
        self._session = sandbox.attach_session(self._session_name) if state["open"] else None
        self._running = state["running"]


def _encode(order: JsonObject) -> bytes:
    return json.dumps(order, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _failure(message: str, notes: list[str], outcome: Outcome = Outcome.OK) -> ToolResult:
    return ToolResult("\n".join([*notes, f"Error: {message}"]), outcome=outcome, error=True)


def _of_result(result: CommandResult) -> _BrokenError:
    if result.ending is Ending.TIMEOUT:
        return _BrokenError("it took too long and could not be interrupted; its state is lost", Outcome.POLICY_TIMEOUT)
    if result.ending is Ending.OVERFLOW:
        return _BrokenError("it printed too much; its state is lost", Outcome.OUTPUT_OVERFLOW)
    why = _with_last_words(str(result.ending), result)
    return _BrokenError(f"{why}; its state is lost", Outcome.POLICY_KILLED)


def _with_last_words(why: str, result: CommandResult) -> str:
    """With the last line that it wrote to standard error, which mostly tells more than an exit code."""
    said = result.stderr.text.strip().splitlines()
    return f"{why} ({said[-1][:500]})" if said else why
