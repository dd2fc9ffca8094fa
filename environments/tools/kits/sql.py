"""A database of the episode's own, filled from the task's files: `public["sql"] = {"tables": {name: path}}`.

It is a file in the sandbox, written and read there by a program of ours (guest/sql_session.py). A task without tables
has an empty one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from environments.code.room import checked_for_room
from environments.code.sessions import SessionKind
from environments.environment import JsonObject, StepContext
from environments.tasks import Task
from environments.tools.kit import Kit
from environments.tools.kits.guests import Guest, guest_kind
from environments.tools.tool import ToolContext, ToolResult, tool
from envserver.runtimes.base import Sandbox

DATABASE = "/workspace/database.sqlite"
MAX_QUERY_CHARS = 100_000
FILL_TIMEOUT_S = 60.0
ENDINGS = (".csv", ".tsv", ".sql")


class SqlKit(Kit):
    """Two tools over one database, which may be changed."""

    name: ClassVar[str] = "sql"
    runs_code: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._guest: Guest

    async def begin(self, sandbox: Sandbox, task: Task, seed: int) -> None:
        """Fills the tables now, on nobody's time. Raises: ValueError, SandboxError."""
        self._guest = Guest(sandbox, sql_kind(task))
        if not tables_of(task):
            return
        filled = await self._ask(ToolContext(sandbox, StepContext(FILL_TIMEOUT_S), seed), "tables")
        if filled.error:
            raise ValueError(f"the tables of task {task.task_id} cannot be filled: {filled.text}")

    @tool
    async def sql(
        self, context: ToolContext, query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARS)]
    ) -> ToolResult:
        """Run SQL on the episode's SQLite database, which may be changed. Several statements are separated by
        semicolons; the first that fails ends the call, and those before it stay done.

        Args:
            query: Such as SELECT count(*) FROM orders.
        """
        return await self._ask(context, "sql", query=query)

    @tool
    async def tables(self, context: ToolContext) -> ToolResult:
        """List the database's tables and views with their columns, types and numbers of rows."""
        return await self._ask(context, "tables")

    async def _ask(self, context: ToolContext, name: str, **arguments: Any) -> ToolResult:
        result = await self._guest.ask(context, {"tool": name, "arguments": arguments})
        failed = {"error": result.error}
        return replace(result, outcome=await checked_for_room(context.sandbox, failed, result.outcome))

    def snapshot(self) -> JsonObject:
        return self._guest.snapshot()

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._guest = Guest(sandbox, sql_kind(task))
        self._guest.restore(state)


def tables_of(task: Task) -> dict[str, str]:
    """The files that a task's tables are filled from. Raises: ValueError."""
    tables = task.public.get("sql", {}).get("tables", {})
    for name, path in tables.items():
        if not isinstance(path, str) or not path.startswith("/") or not path.endswith(ENDINGS):
            shown = f"sql.tables.{name} of task {task.task_id} is {str(path)[:80]!r}"
            raise ValueError(f"{shown}: an absolute path that ends in {', '.join(ENDINGS)}")
    return dict(tables)


def sql_kind(task: Task) -> SessionKind:
    """The task's database program."""
    return guest_kind("sql", json.dumps({"database": DATABASE, "tables": tables_of(task)}))
