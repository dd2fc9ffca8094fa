"""The `run` action: a whole program from a fresh directory, compiled where its language needs it.

Sources lie in /tmp/run-N, so that they do not clutter what the policy works on; the program runs in
/workspace and finds modules and headers there.
"""

from __future__ import annotations

import time
from typing import Any

from environments.code.actions import WORKSPACE, Action
from environments.code.observations import OUTCOMES, show_ending, show_output
from environments.code.sessions import USER_ENV
from environments.environment import StepContext
from envserver.runtimes.base import Command, CommandResult, OutputLimits, Sandbox
from envserver_sdk.models import Outcome

OUTPUT = OutputLimits()
ENV = {**USER_ENV, "PYTHONPATH": WORKSPACE, "NODE_PATH": WORKSPACE}

SOURCES = {"python": "main.py", "bash": "main.sh", "javascript": "main.js", "c": "main.c", "cpp": "main.cpp"}
COMPILERS = {"c": ["gcc", "-O2", "-std=gnu17"], "cpp": ["g++", "-O2", "-std=gnu++20"]}
INTERPRETERS = {"python": "python3", "bash": "bash", "javascript": "node"}


async def run_program(
    sandbox: Sandbox, number: int, action: Action, context: StepContext
) -> tuple[dict[str, Any], Outcome]:
    """Write, compile and run the program and return (observation, outcome).

    Raises: SandboxFileError when its source cannot be written, CommandNotStartedError, SandboxGoneError.
    """
    language = action["language"]
    directory = f"/tmp/run-{number}"
    source = f"{directory}/{SOURCES[language]}"
    deadline = time.monotonic() + context.timeout_s
    await sandbox.write_file(source, action["code"].encode())
    if language not in COMPILERS:
        return await _run(sandbox, [INTERPRETERS[language], source], action, context, deadline)
    program = f"{directory}/main"
    compiler = [*COMPILERS[language], "-I", WORKSPACE, "-o", program, source, "-lm"]
    compiled = await _execute(sandbox, compiler, b"", context, deadline)
    if compiled.exit_code != 0 or compiled.ending in OUTCOMES:
        return _show(compiled, context, "compile")
    return await _run(sandbox, [program], action, context, deadline)


async def _run(
    sandbox: Sandbox, argv: list[str], action: Action, context: StepContext, deadline: float
) -> tuple[dict[str, Any], Outcome]:
    stdin = action.members.get("stdin", "").encode()
    return _show(await _execute(sandbox, argv, stdin, context, deadline), context, "run")


async def _execute(
    sandbox: Sandbox, argv: list[str], stdin: bytes, context: StepContext, deadline: float
) -> CommandResult:
    command = Command(argv, cwd=WORKSPACE, env=ENV)
    # The clock's only say. A step that another server goes through again passes other limits here, and they are not
    # looked at: programs that have run or still run go by those of the first time.
    left_s = max(0.001, deadline - time.monotonic())
    return await sandbox.run(command, stdin=stdin, timeout_s=left_s, output=OUTPUT, on_output=context.on_output)


def _show(result: CommandResult, context: StepContext, phase: str) -> tuple[dict[str, Any], Outcome]:
    observation = show_output(result) | {"exit_code": result.exit_code, "signal": result.signal, "phase": phase}
    outcome = OUTCOMES.get(result.ending, Outcome.OK)
    if outcome is not Outcome.OK:
        observation["error"] = show_ending(result, context.timeout_s, OUTPUT.stop_bytes)
    elif phase == "compile":
        observation["error"] = "the program was not run: it does not compile"
    return observation, outcome
