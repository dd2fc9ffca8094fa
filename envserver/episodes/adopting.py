"""What a starting server asks its runtime: a launcher that is being started again, too, is waited for.

That nobody answers says nothing about a sandbox, which runs without a launcher. Only one that the launcher does not
have, or whose guest agent does not answer while the launcher does, is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from envserver.logs import get_logger
from envserver.runtimes.base import (
    Runtime,
    RuntimeUnavailableError,
    Sandbox,
    SandboxCheckpoint,
    SandboxGoneError,
    SandboxInfo,
    SandboxSpec,
    SandboxState,
)

T = TypeVar("T")

log = get_logger(__name__)

LAUNCHER_S = 60.0
"""How long a launcher may be away."""
PAUSE_S = 0.1
ADOPT_TRIES = 3


class PatientRuntime:
    """A runtime, for the time of a recovery. All methods raise RuntimeUnavailableError when nobody answers for long."""

    def __init__(self, runtime: Runtime, start_timeout_s: float) -> None:
        self._runtime = runtime
        self._start_timeout_s = start_timeout_s

    async def sandboxes(self) -> list[SandboxInfo]:
        return await self._insist(self._runtime.list)

    async def checkpoints(self) -> Sequence[SandboxCheckpoint]:
        return await self._insist(self._runtime.checkpoints)

    async def adopt(self, sandbox_id: str, spec: SandboxSpec) -> Sandbox:
        """Raises: SandboxGoneError, TimeoutError."""
        failure: Exception | None = None
        for _ in range(ADOPT_TRIES):
            try:
                async with asyncio.timeout(self._start_timeout_s):
                    return await self._runtime.adopt(sandbox_id, spec)
            except RuntimeUnavailableError as error:
                log.info("adopting_again", sandbox_id=sandbox_id, error=repr(error)[:300])
                failure = error
            found = {info.sandbox_id: info.state for info in await self.sandboxes()}
            if found.get(sandbox_id, SandboxState.ENDED) is SandboxState.ENDED:
                break
        raise SandboxGoneError(f"sandbox {sandbox_id} cannot be taken over: {failure}") from failure

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        give_up_at = asyncio.get_running_loop().time() + LAUNCHER_S
        while True:
            try:
                return await ask()
            except RuntimeUnavailableError:
                if asyncio.get_running_loop().time() > give_up_at:
                    raise
            await asyncio.sleep(PAUSE_S)
