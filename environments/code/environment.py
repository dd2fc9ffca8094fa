"""The code environment: dispatches actions, and says how a step ended.

A step is one round trip to the sandbox where it can be: sessions are opened by the first step that needs them, and only
a step that failed asks whether a disk is full. Limits on memory and processes are the actor's to notice, from the
kernel's counters. What a step asks for depends on its action, the answers and what `snapshot` holds, nothing else:
another server may have to go through it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from environments.artifacts import export
from environments.code.actions import WORKSPACE, Action, ActionError, action_schema, parse_action
from environments.code.files import REASONS, edit_file, read_file, write_file
from environments.code.humaneval import HumanEval
from environments.code.observations import OBSERVATION_SCHEMA
from environments.code.programs import run_program
from environments.code.room import checked_for_room
from environments.code.sessions import BASH, PYTHON, LiveSession
from environments.environment import Artifacts, Environment, EnvironmentSpec, StepContext, Transition
from environments.tasks import Task, TaskSet
from envserver.runtimes.base import CommandNotStartedError, Sandbox, SandboxFileError
from envserver_sdk.models import Outcome

FILE_ACTIONS = {"write_file": write_file, "read_file": read_file, "edit": edit_file}


class CodeEnvironment(Environment):
    """A policy that writes and runs code in /workspace."""

    spec: ClassVar[EnvironmentSpec] = EnvironmentSpec(
        name="code",
        description="A live Python interpreter, a live shell, whole programs and files, without a network",
        image="code",
        action_schema=action_schema(),
        observation_schema=OBSERVATION_SCHEMA,
    )

    def __init__(self) -> None:
        self._sandbox: Sandbox
        self._task: Task
        self._sessions: dict[str, LiveSession] = {}
        self._programs = 0

    async def prepare(self, sandbox: Sandbox) -> None:
        """Start the interpreter and the shell."""
        self._sandbox = sandbox
        self._sessions = _sessions(sandbox)
        for session in self._sessions.values():
            await session.open()

    @classmethod
    def task_sets(cls) -> Mapping[str, TaskSet]:
        return {HumanEval.name: HumanEval()}

    @classmethod
    def check(cls, task: Task, options: Mapping[str, Any]) -> None:
        if options:
            raise ValueError(f"unknown options {sorted(options)}: the code environment takes none")

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        self.check(task, options)
        self._sandbox, self._task = sandbox, task
        if not self._sessions:  # else they were prepared
            self._sessions = _sessions(sandbox)
        for path, data in task.files.items():
            await sandbox.write_file(path, data)
        return {"prompt": task.prompt, "workspace": WORKSPACE}, {}

    async def step(self, action: Any, context: StepContext) -> Transition:
        try:
            parsed = parse_action(action)
        except ActionError as error:
            return Transition({"error": str(error)}, outcome=Outcome.FORMAT_ERROR)
        if parsed.type == "submit":
            return Transition({}, submitted=True)
        try:
            observation, outcome = await self._carry_out(parsed, context)
        except SandboxFileError as error:
            reason = REASONS.get(error.code, error.code)
            observation, outcome = {"error": f"{error.path}: {reason}"}, Outcome.OK
            if error.code == "no_space":
                outcome = Outcome.DISK_FULL
        except CommandNotStartedError as error:
            observation, outcome = {"error": f"the program could not be started: {error}"}, Outcome.OK
        outcome = await checked_for_room(self._sandbox, observation, outcome)
        return Transition(observation, outcome=outcome)

    async def _carry_out(self, action: Action, context: StepContext) -> tuple[dict[str, Any], Outcome]:
        if action.type == "python":
            return await self._sessions["python"].step(action["code"], context)
        if action.type == "bash":
            return await self._sessions["bash"].step(action["command"], context)
        if action.type == "run":
            self._programs += 1
            return await run_program(self._sandbox, self._programs, action, context)
        return await FILE_ACTIONS[action.type](self._sandbox, action), Outcome.OK

    async def artifacts(self) -> Artifacts:
        files, problems = await export(self._sandbox, self._task.artifacts)
        return Artifacts(files, problems)

    def snapshot(self) -> dict[str, Any]:
        sessions = {name: session.snapshot() for name, session in self._sessions.items()}
        return {"programs": self._programs, "sessions": sessions}

    def restore(self, sandbox: Sandbox, task: Task, state: dict[str, Any]) -> None:
        self._sandbox, self._task = sandbox, task
        self._programs = state["programs"]
        self._sessions = _sessions(sandbox)
        for name, session in self._sessions.items():
            session.restore(state["sessions"][name])


def _sessions(sandbox: Sandbox) -> dict[str, LiveSession]:
    return {kind.name: LiveSession(sandbox, kind) for kind in (PYTHON, BASH)}
