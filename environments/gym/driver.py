"""The program in the sandbox that hosts the environment: started once, asked one thing at a time.

Its sources are sent along, the SDK's codec among them: one source of truth for both ends, and an image that holds
nothing of ours. It is never replaced. With it the environment's state is gone, and so is the episode.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from environments.environment import StepContext
from envserver.runtimes.base import Command, CommandResult, Ending, Sandbox, Session

SESSION = "gym"
MAX_PART = 800_000
MAX_ANSWER_BYTES = 16 << 20
LAST, MORE, GO_ON = b".", b"+", b"?"
STOP_S = 2.0
"""How long a step past its time limit may take to come to an end by itself."""

SOURCES = (
    "envserver_sdk.gymnasium.codec",
    "envserver_sdk.gymnasium.descriptions",
    "environments.gym.known",
    "environments.gym.guest.channel",
    "environments.gym.guest.documents",
    "environments.gym.guest.actions",
    "environments.gym.guest.calls",
    "environments.gym.guest.record",
    "environments.gym.guest.png",
    "environments.gym.guest.words",
    "environments.gym.guest.host",
    "environments.gym.guest.gym_session",
)
"""In the order of what they import; the last one is the program."""

ENV = {
    "OPENBLAS_NUM_THREADS": "1",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
    "PYTHONHASHSEED": "0",  # an order of sets that chance decides would make a replay differ
    "SDL_AUDIODRIVER": "dummy",
    "SDL_VIDEODRIVER": "dummy",
}


@cache
def command(extra: tuple[str, ...] = ()) -> Command:
    """The program, with the modules `extra` between what it imports and itself."""
    names = (*SOURCES[:-1], *extra, SOURCES[-1])
    arguments = [part for name in names for part in (name, _source(name))]
    # Neither the working directory nor a user's own packages are looked at for what is imported.
    return Command(["python3", "-P", "-s", "-c", _source("environments.gym.guest.loader"), *arguments], env=ENV)


def _source(name: str) -> str:
    """Read as a file: the server has neither NumPy nor Gymnasium, so it cannot import these. Raises: LookupError."""
    package, *folders = name.split(".")
    found = find_spec(package)
    for place in (found and found.submodule_search_locations) or ():
        file = Path(place, *folders).with_suffix(".py")
        if file.is_file():
            return file.read_text()
    raise LookupError(f"there is no source of the module {name}")


class JunkError(ValueError):
    """An answer is not what the program would say."""


@dataclass(frozen=True)
class Reply:
    """What a request came to. Without an answer the program is gone."""

    result: CommandResult
    answer: dict[str, Any] | None = None

    @property
    def late(self) -> bool:
        """The time limit passed, whether or not it came to an end then."""
        return self.result.ending is Ending.TIMEOUT


class Driver:
    """One program, in one sandbox."""

    def __init__(self, sandbox: Sandbox, session: Session) -> None:
        self._sandbox = sandbox
        self._session = session

    @classmethod
    async def start(cls, sandbox: Sandbox, extra: tuple[str, ...] = ()) -> Driver:
        """Raises: CommandNotStartedError, SandboxGoneError."""
        return cls(sandbox, await sandbox.open_session(SESSION, command(extra)))

    @classmethod
    def attach(cls, sandbox: Sandbox) -> Driver:
        """The one that was started before; its first request tells whether it still runs."""
        return cls(sandbox, sandbox.attach_session(SESSION))

    async def ask(self, request: bytes, context: StepContext) -> Reply:
        """Send a request and wait for its answer, each in as many parts as it takes.

        Raises: SandboxError when the program does not run any more, SandboxGoneError, JunkError.
        """
        for part in _parts(request):
            result = await self._call(part, context)
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
                return Reply(first, _parse(b"".join(whole)))
            result = await self._call(GO_ON, context)
            if result.message is None or not result.alive:
                return Reply(result)

    async def _call(self, message: bytes, context: StepContext) -> CommandResult:
        return await self._session.call(
            message, timeout_s=context.timeout_s, grace_s=STOP_S, on_output=context.on_output
        )

    async def close(self) -> None:
        """End it. Idempotent. Raises: SandboxGoneError."""
        await self._session.close()


def _parts(request: bytes) -> Iterator[bytes]:
    while len(request) > MAX_PART:
        yield MORE + request[:MAX_PART]
        request = request[MAX_PART:]
    yield LAST + request


def _parse(data: bytes) -> dict[str, Any]:
    try:
        answer = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise JunkError("not JSON") from error
    if not isinstance(answer, dict):
        raise JunkError("not an object")
    return answer
