"""A world in a sandbox, as the server sees it: opened once, called tool by tool, answers checked before they are used.

The program is `guest/world_session.py`, which says what it answers. It is used by the kit that a policy calls and by
the grader that replays the reference, so both see exactly the same world.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from environments.environment import JsonObject
from envserver.runtimes.base import (
    Command,
    CommandResult,
    Ending,
    OutputLimits,
    Sandbox,
    SandboxError,
    SandboxGoneError,
    Session,
)

NAME = "world"
PATHS = ("/opt/worlds",)
"""Where images keep the simulators: apart from what other programs import."""
OPEN_TIMEOUT_S = 60.0
OUTPUT = OutputLimits(keep_bytes=4096, stop_bytes=16 << 20)
MAX_PARTS = 1000


@dataclass(frozen=True)
class WorldSpec:
    """Which world, and how it begins."""

    program: str
    """A module `<program>_world` beside the session's."""
    spec: Mapping[str, Any]
    """What its `World` is made from."""

    def message(self) -> bytes:
        """What the session is sent to begin it."""
        opening = {"source": guest_source(f"{self.program}_world"), "paths": list(PATHS), "spec": self.spec}
        return json.dumps({"open": opening}).encode()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> WorldSpec:
        """From the `world` of a task's hidden data."""
        return cls(data["program"], data["spec"])


@dataclass(frozen=True)
class WorldAnswer:
    """What one call came to."""

    text: str
    error: bool
    digests: Mapping[str, str]
    """Of those parts of the state that have changed; empty for one that is not there any more."""
    interrupted: bool = False
    """The time limit passed in the middle of it."""


class WorldLostError(Exception):
    """The world ended or answers nonsense: what it came to is not known any more."""

    def __init__(self, message: str, ending: Ending) -> None:
        super().__init__(message)
        self.ending = ending


class WorldSession:
    """One world. Everything that it asks of the sandbox is decided by its calls."""

    def __init__(self, sandbox: Sandbox, session: Session | None = None) -> None:
        self._sandbox = sandbox
        self._session = session

    @classmethod
    def attached(cls, sandbox: Sandbox) -> WorldSession:
        """One that was opened before. Makes no call."""
        return cls(sandbox, sandbox.attach_session(NAME))

    async def open(self, spec: WorldSpec) -> WorldAnswer:
        """Start the program and begin the world. Raises: WorldLostError, SandboxError."""
        command = Command(["python3", "-I", "-c", guest_source("world_session")], cwd="/")
        self._session = await self._sandbox.open_session(NAME, command)
        return await self.begin(spec)

    async def begin(self, spec: WorldSpec) -> WorldAnswer:
        """Begin a world in the open session, in place of the one before. Raises: as `call`."""
        return await self._ask(spec.message(), OPEN_TIMEOUT_S)

    async def call(self, tool: str, arguments: JsonObject, *, timeout_s: float) -> WorldAnswer:
        """Raises: WorldLostError, envserver.runtimes.base.SandboxGoneError."""
        return await self._ask(call_message(tool, arguments), timeout_s)

    async def _ask(self, message: bytes, timeout_s: float) -> WorldAnswer:
        assert self._session is not None
        try:
            result = await self._session.call(message, timeout_s=timeout_s, output=OUTPUT)
        except SandboxGoneError:
            raise
        except SandboxError as error:
            raise WorldLostError(f"its session is not open: {error}", Ending.EXITED) from error
        if result.message is None or not result.alive:
            raise WorldLostError(_why(result), result.ending)
        answer = parse_answer(result.message)
        return replace(answer, interrupted=True) if result.ending is Ending.TIMEOUT else answer


def call_message(tool: str, arguments: JsonObject) -> bytes:
    """What the session is sent for a call."""
    return json.dumps({"tool": tool, "arguments": arguments}).encode()


def parse_answer(message: bytes) -> WorldAnswer:
    """Raises: WorldLostError for what no world of ours says."""
    try:
        answer = json.loads(message)
        text, error, digests = answer["text"], answer["error"], answer["digests"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise WorldLostError("its answer is none", Ending.BAD_MESSAGE) from None
    typed = isinstance(text, str) and isinstance(error, bool) and isinstance(digests, dict)
    if not typed or len(digests) > MAX_PARTS or not all(isinstance(each, str) for each in digests.values()):
        raise WorldLostError("its answer is none", Ending.BAD_MESSAGE)
    return WorldAnswer(text, error, digests)


def _why(result: CommandResult) -> str:
    if result.ending is Ending.TIMEOUT:
        return "a call took too long and could not be interrupted"
    said = result.stderr.text.strip().splitlines()
    return said[-1][:500] if said else f"it ended ({result.ending})"


@cache
def guest_source(name: str) -> str:
    """Of a program that runs in the sandbox."""
    return (resources.files("environments.tools") / f"guest/{name}.py").read_text(encoding="utf-8")
