"""A kit whose tools do nothing: a call is taken down, to be compared with the calls that would have been right.

Arguments are not checked against the schema: whether they fit is part of what is judged, and a refusal would be a
second try.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from environments.environment import JsonObject
from environments.tasks import Task
from environments.tools.kit import Kit
from environments.tools.tool import Tool, ToolContext, ToolResult
from environments.tools.worlds.kit import require_fit
from environments.tools.worlds.record import Call, WorldRecord
from envserver.runtimes.base import Sandbox

ANSWER = "The call was recorded."


class RecordingKit(Kit):
    """The tools of `task.hidden["recorded"]`: [{"name", "description", "parameters"}]."""

    name: ClassVar[str] = "recorded"

    def __init__(self) -> None:
        super().__init__()
        self._record = WorldRecord()
        self._described: dict[str, Tool] = {}

    @property
    def tools(self) -> Mapping[str, Tool]:
        return self._described

    async def begin(self, sandbox: Sandbox, task: Task, seed: int) -> None:
        if "recorded" not in task.hidden:
            raise ValueError(f"task {task.task_id} has no tools to record")
        self._describe(task)

    def _describe(self, task: Task) -> None:
        self._described = {
            each["name"]: Tool(each["name"], each["description"], each["parameters"], partial(self._call, each["name"]))
            for each in task.hidden["recorded"]
        }

    def begin_turn(self, number: int) -> None:
        self._record.begin_turn(number)

    async def _call(self, name: str, context: ToolContext, arguments: JsonObject) -> ToolResult:
        require_fit(name, {"additionalProperties": True}, arguments)
        self._record.turns[-1].calls.append(Call(name, arguments))
        return ToolResult(ANSWER)

    def snapshot(self) -> JsonObject:
        return self._record.as_json()

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._describe(task)
        self._record = WorldRecord.of(state)

    def facts(self) -> Mapping[str, Any]:
        return self._record.as_json()
