"""A kit whose tools are those of a world: described by the task, carried out by a simulator in the sandbox.

A task asks for it with `hidden["world"]`:

    program   which world: a module of environments/tools/guest/
    spec      how it begins
    tools     [{"name", "description", "parameters"}], parameters as a JSON Schema
    since     {tool: the turn from which on there is one}, for tools that come later

What the world came to is taken down call by call, by digests that the world says of its own state. They are believed
because the world is trusted and nothing of the policy runs beside it (`checks_state`): its arguments are data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from environments.environment import JsonObject
from environments.protocols.schema import check_arguments
from environments.tasks import Task
from environments.tools.kit import Kit
from environments.tools.tool import ArgumentsError, Tool, ToolContext, ToolResult
from environments.tools.worlds.record import WorldRecord
from environments.tools.worlds.session import WorldLostError, WorldSession, WorldSpec
from envserver.runtimes.base import Ending, Sandbox
from envserver_sdk.models import Outcome

MAX_ARGUMENTS_BYTES = 16_384
"""Of one call: arguments are taken down, and notes are part of every snapshot."""
LOST = {Ending.TIMEOUT: Outcome.POLICY_TIMEOUT, Ending.OVERFLOW: Outcome.OUTPUT_OVERFLOW}


class WorldKit(Kit):
    """One world. When it ends before its episode, every further call says so, and nothing that it came to counts."""

    name: ClassVar[str] = "world"
    checks_state: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._world: WorldSession
        self._given: Mapping[str, Any] = {}
        self._all: dict[str, Tool] = {}
        self._record = WorldRecord()

    @property
    def tools(self) -> Mapping[str, Tool]:
        turn, since = len(self._record.turns), self._given.get("since", {})
        return {name: tool for name, tool in self._all.items() if since.get(name, 1) <= turn}

    async def begin(self, sandbox: Sandbox, task: Task, seed: int) -> None:
        self._describe(task)
        self._world = WorldSession(sandbox)
        try:
            opened = await self._world.open(WorldSpec.of(self._given))
        except WorldLostError as error:
            raise ValueError(f"the world of task {task.task_id} does not begin: {error}") from error
        self._record = WorldRecord(dict(opened.digests))

    def _describe(self, task: Task) -> None:
        if "world" not in task.hidden:
            raise ValueError(f"task {task.task_id} has no world")
        self._given = task.hidden["world"]
        self._all = {
            each["name"]: Tool(each["name"], each["description"], each["parameters"], partial(self._call, each))
            for each in self._given["tools"]
        }

    def begin_turn(self, number: int) -> None:
        self._record.begin_turn(number)

    async def _call(self, described: Mapping[str, Any], context: ToolContext, arguments: JsonObject) -> ToolResult:
        name = described["name"]
        require_fit(name, described["parameters"], arguments)
        if self._record.lost:
            return ToolResult("the world has ended: nothing can be called any more", error=True)
        try:
            answer = await self._world.call(name, arguments, timeout_s=context.step.timeout_s)
        except WorldLostError as error:
            self._record.lost = True
            outcome = LOST.get(error.ending, Outcome.POLICY_KILLED)
            return ToolResult(f"the world has ended: {error}", outcome=outcome, error=True)
        self._record.turns[-1].add(name, arguments, answer)
        outcome = Outcome.POLICY_TIMEOUT if answer.interrupted else Outcome.OK
        return ToolResult(answer.text, outcome=outcome, error=answer.error)

    def snapshot(self) -> JsonObject:
        return self._record.as_json()

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._describe(task)
        self._world = WorldSession.attached(sandbox)
        self._record = WorldRecord.of(state)

    def facts(self) -> Mapping[str, Any]:
        return self._record.as_json()


def require_fit(name: str, schema: Mapping[str, Any], arguments: JsonObject) -> None:
    """Raises: ArgumentsError."""
    size = len(json.dumps(arguments))
    if size > MAX_ARGUMENTS_BYTES:
        raise ArgumentsError(f"{name}: the arguments are {size} bytes, at most {MAX_ARGUMENTS_BYTES} are taken")
    if found := check_arguments(arguments, schema):
        raise ArgumentsError(f"{name}: {'; '.join(found)}")
