"""The live interpreter and the live shell: opened at their first step, replaced when they end.

A step's result says what became of its session: `live`, `interrupted` (stopped in time, state kept), `lost` (ended;
the next step begins a new one), and, for the first step of a replacement, `restarted`. State never vanishes silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from environments.code import bash
from environments.code.actions import WORKSPACE
from environments.code.observations import (
    OUTCOMES,
    JunkError,
    bash_answer,
    python_answer,
    show_death,
    show_ending,
    show_output,
)
from environments.environment import StepContext
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
from envserver_sdk.models import Outcome

USER_ENV = {"MPLBACKEND": "Agg"}
"""Added to the sandbox's own: figures are drawn without a display."""

OUTPUT = OutputLimits()


@dataclass(frozen=True)
class SessionKind:
    """What tells an interpreter from a shell."""

    name: str
    command: Command
    answer: Callable[[bytes], dict[str, Any]]
    feed: bytes = b""
    preamble: bytes = b""
    """Put before the first message."""
    may_exit: bool = False
    """Ending by itself is ordinary use."""


PYTHON = SessionKind(
    "python",
    Command(
        # Isolated: neither the environment nor files of the policy change what the driver itself imports.
        ["python3", "-I", "-c", (resources.files("environments.code") / "guest/python_session.py").read_text()],
        cwd=WORKSPACE,
        env=USER_ENV,
    ),
    python_answer,
)

BASH = SessionKind(
    "bash",
    Command(["bash", "-c", bash.START], cwd=WORKSPACE, env=USER_ENV),
    bash_answer,
    feed=bash.FEED,
    preamble=bash.PREAMBLE,
    may_exit=True,
)


class LiveSession:
    """One session of a kind after another, in one sandbox."""

    def __init__(self, sandbox: Sandbox, kind: SessionKind) -> None:
        self._sandbox = sandbox
        self._kind = kind
        self._session: Session | None = None
        self._opened_before = False
        self._greeted = False

    def snapshot(self) -> dict[str, bool]:
        """All that decides what the next step asks for."""
        return {"open": self._session is not None, "opened_before": self._opened_before, "greeted": self._greeted}

    def restore(self, state: dict[str, bool]) -> None:
        """Go on from a snapshot. Where the session has ended since, its next step finds out and says so."""
        self._session = self._sandbox.attach_session(self._kind.name) if state["open"] else None
        self._opened_before, self._greeted = state["opened_before"], state["greeted"]

    async def open(self) -> None:
        """Start it ahead of its first step. Raises: CommandNotStartedError, SandboxGoneError."""
        kind = self._kind
        self._session = await self._sandbox.open_session(kind.name, kind.command, feed=kind.feed)
        self._opened_before, self._greeted = True, False

    async def step(self, text: str, context: StepContext) -> tuple[dict[str, Any], Outcome]:
        """Run `text` and return (observation, outcome).

        Raises: CommandNotStartedError when no session can be started, SandboxGoneError.
        """
        restarted = self._session is None and self._opened_before
        try:
            result = await self._call(text, context)
        except SandboxGoneError:
            raise
        except SandboxError:
            # The session died between two steps, so nothing of this one has run.
            if self._session is None:
                raise
            await self._drop()
            restarted = True
            result = await self._call(text, context)
        observation, outcome = await self._read(result, context)
        if restarted:
            self._mark_restarted(observation)
        return observation, outcome

    async def _call(self, text: str, context: StepContext) -> CommandResult:
        if self._session is None:
            await self.open()
        assert self._session is not None
        message = text.encode() if self._greeted else self._kind.preamble + text.encode()
        self._greeted = True
        return await self._session.call(
            message, timeout_s=context.timeout_s, output=OUTPUT, on_output=context.on_output
        )

    async def _read(self, result: CommandResult, context: StepContext) -> tuple[dict[str, Any], Outcome]:
        observation = show_output(result)
        outcome = OUTCOMES.get(result.ending, Outcome.OK)
        if result.message is not None and result.alive:
            try:
                answer = self._kind.answer(result.message)
            except JunkError as error:
                await self._drop()
                note = f"the session broke its own protocol ({error}) and was ended"
                return self._lost(observation, note), Outcome.POLICY_KILLED
            observation |= answer | {"truncated": observation["truncated"] or answer.get("truncated", False)}
            observation["session"] = "interrupted" if result.interrupted else "live"
        else:
            await self._drop()
            self._describe_end(result, observation, context)
            if outcome is Outcome.OK and not self._ended_by_itself(result):
                outcome = Outcome.POLICY_KILLED
        if outcome is not Outcome.OK:
            self._describe_stop(result, observation, context)
        return observation, outcome

    def _ended_by_itself(self, result: CommandResult) -> bool:
        return self._kind.may_exit and result.ending is Ending.EXITED and result.exit_code is not None

    def _describe_end(self, result: CommandResult, observation: dict[str, Any], context: StepContext) -> None:
        if result.ending is Ending.BAD_MESSAGE:
            self._lost(observation, "the session broke its own protocol and was ended")
        elif result.ending in OUTCOMES:
            self._lost(observation, "an interrupt did not stop it in time, so the session was killed")
        else:
            self._lost(observation, f"the session is gone: {show_death(result)}")
            observation |= {"exit_code": result.exit_code, "signal": result.signal}

    def _describe_stop(self, result: CommandResult, observation: dict[str, Any], context: StepContext) -> None:
        if result.ending not in OUTCOMES:
            return
        observation["error"] = show_ending(result, context.timeout_s, OUTPUT.stop_bytes)
        if result.interrupted:
            observation["note"] = "the step was interrupted; the session and its state live on"

    def _lost(self, observation: dict[str, Any], note: str) -> dict[str, Any]:
        observation |= {"session": "lost", "note": f"{note}; its state is lost, the next step begins a new one"}
        return observation

    def _mark_restarted(self, observation: dict[str, Any]) -> None:
        if observation["session"] == "live":
            observation["session"] = "restarted"
            observation["note"] = "this step began a new session: earlier state of it is gone, files are kept"

    async def _drop(self) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()
