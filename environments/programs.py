"""Programs of ours in a sandbox: their sources sent along, started once, asked one thing at a time.

An image holds nothing of ours, and both ends are of one version. A program is never replaced: with it goes what it
knows, and whoever asks it next is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from environments.environment import StepContext
from envserver.runtimes.base import Command, CommandResult, Ending, OutputLimits, Sandbox, Session

MAX_PART = 800_000
MAX_ANSWER_BYTES = 16 << 20
LAST, MORE, GO_ON = b".", b"+", b"?"
STOP_S = 2.0
"""How long a request past its time limit may take to come to an end by itself."""


class JunkError(Exception):
    """An answer is not what the program would say. No ValueError: that would be taken for the caller's mistake."""


def program(modules: Sequence[str], env: Mapping[str, str]) -> Command:
    """A Python program of these modules, in the order of what they import; the last one's `main` is run.

    Raises: LookupError for a module that there is not.
    """
    arguments = [part for name in modules for part in (name, _source(name))]
    # Neither the working directory nor a user's own packages are looked at for what is imported.
    return Command(["python3", "-P", "-s", "-c", _source("environments.guest.loader"), *arguments], env=env)


@cache
def _source(name: str) -> str:
    """Read as a file: the server cannot import all of these, since it has not what they import. Raises: LookupError."""
    package, *folders = name.split(".")
    found = find_spec(package)
    for place in (found and found.submodule_search_locations) or ():
        file = Path(place, *folders).with_suffix(".py")
        if file.is_file():
            return file.read_text()
    raise LookupError(f"there is no source of the module {name}")


@dataclass(frozen=True)
class Reply:
    """What a request came to. Without an answer the program is gone."""

    result: CommandResult
    answer: dict[str, Any] | None = None
    size: int = 0
    """Bytes of the answer."""

    @property
    def late(self) -> bool:
        """The time limit passed, whether or not it came to an end then."""
        return self.result.ending is Ending.TIMEOUT


class Program:
    """One, in one sandbox."""

    def __init__(self, sandbox: Sandbox, session: Session) -> None:
        self._sandbox = sandbox
        self._session = session

    async def ask(
        self,
        request: bytes,
        context: StepContext,
        output: OutputLimits = OutputLimits(),
        max_values: int = MAX_ANSWER_BYTES,
    ) -> Reply:
        """Send a request and wait for its answer, each in as many parts as it takes.

        `max_values`: of the answer's JSON, about; each takes time of the server's loop, and none of it is trusted.

        Raises: SandboxError when the program does not run any more, SandboxGoneError, JunkError.
        """
        for part in _parts(request):
            result = await self._call(part, context, output)
            if result.message is None or not result.alive:
                return Reply(result)
        whole = []
        first = result
        while True:
            assert result.message is not None
            whole.append(result.message[1:])
            if sum(map(len, whole)) > MAX_ANSWER_BYTES:
                raise JunkError(f"more than {MAX_ANSWER_BYTES} bytes")
            if result.message[:1] != MORE:
                data = b"".join(whole)
                return Reply(first, _parse(data, max_values), len(data))
            result = await self._call(GO_ON, context, output)
            if result.message is None or not result.alive:
                return Reply(result)

    async def _call(self, message: bytes, context: StepContext, output: OutputLimits) -> CommandResult:
        return await self._session.call(
            message, timeout_s=context.timeout_s, grace_s=STOP_S, on_output=context.on_output, output=output
        )

    async def close(self) -> None:
        """End it. Idempotent. Raises: SandboxGoneError."""
        await self._session.close()


def _parts(request: bytes) -> Iterator[bytes]:
    while len(request) > MAX_PART:
        yield MORE + request[:MAX_PART]
        request = request[MAX_PART:]
    yield LAST + request


def _parse(data: bytes, max_values: int = MAX_ANSWER_BYTES) -> dict[str, Any]:
    if sum(map(data.count, (b",", b"[", b"{"))) > max_values:
        raise JunkError(f"more than {max_values} values")
    try:
        answer = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise JunkError("not JSON") from error
    if not isinstance(answer, dict):
        raise JunkError("not an object")
    return answer
