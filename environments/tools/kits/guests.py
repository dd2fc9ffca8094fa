"""Programs of ours in the sandbox that kits put questions to: JSON there, texts and pictures back.

Their state, if any, is in the sandbox: a checkpoint saves it and a fork has it. When one ends, the next question begins
it again, and the result says that what it held is gone.
"""

from __future__ import annotations

import base64
import json
from importlib import resources

from environments.code.actions import WORKSPACE
from environments.code.observations import python_answer
from environments.code.sessions import LiveSession, SessionKind
from environments.environment import JsonObject
from environments.tools.tool import ToolContext, ToolResult
from envserver.runtimes.base import Command, CommandNotStartedError, Sandbox

MAX_SAID = 500


def guest_kind(name: str, *arguments: str) -> SessionKind:
    """The session of a program `guest/<name>_session.py`, whose answers are shaped like the interpreter's."""
    source = (resources.files("environments.tools") / f"guest/{name}_session.py").read_text(encoding="utf-8")
    # Isolated: neither the environment nor files of the policy change what the program itself imports.
    return SessionKind(name, Command(["python3", "-I", "-c", source, *arguments], cwd=WORKSPACE), python_answer)


class Guest:
    """One program in one sandbox."""

    def __init__(self, sandbox: Sandbox, kind: SessionKind) -> None:
        self._session = LiveSession(sandbox, kind)

    async def ask(self, context: ToolContext, question: JsonObject, *, seen: tuple[str, ...] = ()) -> ToolResult:
        """`seen` is what a good answer shows. Raises: SandboxGoneError."""
        try:
            said, outcome = await self._session.step(json.dumps(question), context.step)
        except CommandNotStartedError as error:
            return ToolResult(f"Error: the tool could not be started: {error}", error=True)
        failed = "error" in said or "result" not in said
        parts = [f"Error: {said['error']}" if "error" in said else said.get("result", "")]
        if said.get("session") != "live":
            parts.append(f"[{said.get('note', said.get('session'))}]")
        if failed and said.get("stderr"):
            parts.append(said["stderr"][-MAX_SAID:])
        pictures = tuple(base64.b64decode(picture["data"]) for picture in said.get("images", ()))
        text = "\n".join(part for part in parts if part)
        return ToolResult(text, pictures, () if failed else seen, outcome, failed)

    def snapshot(self) -> JsonObject:
        return dict(self._session.snapshot())

    def restore(self, state: JsonObject) -> None:
        self._session.restore(state)
