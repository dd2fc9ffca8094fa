"""The live interpreter and the live shell of the code environment, as tools.

Each is a kit, so that a task may give one without the other. Both keep their state in the sandbox, so a checkpoint has
it; when a session had to be replaced, the result says so.
"""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from environments.code.actions import ActionError, parse_action
from environments.code.room import checked_for_room
from environments.code.sessions import BASH, PYTHON, LiveSession, SessionKind
from environments.environment import JsonObject
from environments.showing import as_text, pictures_of
from environments.tasks import Task
from environments.tools.kit import Kit
from environments.tools.tool import ArgumentsError, ToolContext, ToolError, ToolResult, tool
from envserver.runtimes.base import CommandNotStartedError, Sandbox
from envserver_sdk.models import Outcome


class SessionKit(Kit):
    """One session of a kind, opened by its first call."""

    runs_code: ClassVar[bool] = True
    kind: ClassVar[SessionKind]

    def __init__(self) -> None:
        super().__init__()
        self._session: LiveSession

    async def begin(self, sandbox: Sandbox, task: Task, seed: int) -> None:
        self._session = LiveSession(sandbox, self.kind)

    async def _run(self, context: ToolContext, action: JsonObject) -> ToolResult:
        """Carry out the one text of an action that the code environment knows."""
        try:
            parsed = parse_action(action)
        except ActionError as error:
            raise ArgumentsError(str(error)) from None
        (source,) = parsed.members.values()
        try:
            observation, outcome = await self._session.step(source, context.step)
        except CommandNotStartedError as error:
            raise ToolError(f"the program could not be started: {error}") from None
        outcome = await checked_for_room(context.sandbox, observation, outcome)
        return shown(observation, outcome)

    def snapshot(self) -> JsonObject:
        return dict(self._session.snapshot())

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._session = LiveSession(sandbox, self.kind)
        self._session.restore(state)


class PythonKit(SessionKit):
    """One tool: a cell in the live interpreter."""

    name: ClassVar[str] = "python"
    kind: ClassVar[SessionKind] = PYTHON

    @tool
    async def python(self, context: ToolContext, code: str) -> ToolResult:
        """Run a cell in a live Python interpreter: variables persist, a last expression is shown, figures of
        matplotlib are pictures. There is no network; the directory is /workspace.

        Args:
            code: Python source.
        """
        return await self._run(context, {"type": "python", "code": code})


class BashKit(SessionKit):
    """One tool: a command in the live shell."""

    name: ClassVar[str] = "bash"
    kind: ClassVar[SessionKind] = BASH

    @tool
    async def bash(self, context: ToolContext, command: str) -> ToolResult:
        """Run a command in a live shell: directory, variables and background jobs persist. There is no network; it
        begins in /workspace.

        Args:
            command: Shell source.
        """
        return await self._run(context, {"type": "bash", "command": command})


def shown(observation: dict[str, Any], outcome: Outcome) -> ToolResult:
    """An observation of the code environment as a result. It failed if it says an error or another status than 0."""
    failed = bool(observation.get("error") or observation.get("exit_code") or observation.get("signal"))
    pictures = tuple(base64.b64decode(picture.data) for picture in pictures_of(observation))
    return ToolResult(as_text(observation), pictures, outcome=outcome, error=failed or outcome is not Outcome.OK)
