"""The program in the sandbox that hosts the environment.

Its sources are sent along, the SDK's codec among them: one source of truth for both ends. It is never replaced. With
it the environment's state is gone, and so is the episode.
"""

from __future__ import annotations

from functools import cache

from environments.programs import Program, program
from envserver.runtimes.base import Command, Sandbox

SESSION = "gym"

SOURCES = (
    "envserver_sdk.gymnasium.codec",
    "envserver_sdk.gymnasium.descriptions",
    "environments.gym.known",
    "environments.guest.channel",
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
    return program((*SOURCES[:-1], *extra, SOURCES[-1]), ENV)


class Driver(Program):
    """One program, in one sandbox."""

    @classmethod
    async def start(cls, sandbox: Sandbox, extra: tuple[str, ...] = ()) -> Driver:
        """Raises: CommandNotStartedError, SandboxGoneError."""
        return cls(sandbox, await sandbox.open_session(SESSION, command(extra)))

    @classmethod
    def attach(cls, sandbox: Sandbox) -> Driver:
        """The one that was started before; its first request tells whether it still runs."""
        return cls(sandbox, sandbox.attach_session(SESSION))
