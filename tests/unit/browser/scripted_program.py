"""A session whose program answers from a list."""

from __future__ import annotations

import json
from typing import Any

from envserver.runtimes.base import CommandResult, Ending, Output, OutputLimits, Session

Answer = dict[str, Any] | CommandResult | Exception


class ScriptedSession(Session):
    """Says its answers one after the other, and keeps what it heard."""

    name = "browser"

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.heard: list[dict[str, Any]] = []
        self.closed = False

    async def call(
        self,
        message: bytes,
        *,
        timeout_s: float,
        grace_s: float = 0.5,
        output: OutputLimits = OutputLimits(),
        on_output: Any = None,
    ) -> CommandResult:
        assert message[:1] == b"."
        self.heard.append(json.loads(message[1:]))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, CommandResult):
            return answer
        said = b"." + json.dumps(answer).encode()
        return CommandResult(Ending.MESSAGE, Output(), Output(), 0.01, message=said, alive=True)

    async def close(self) -> None:
        self.closed = True
