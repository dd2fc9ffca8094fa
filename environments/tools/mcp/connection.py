"""What the kit asks of an MCP server, wherever it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from environments.environment import JsonObject
from environments.tools.mcp.listing import ListedTool
from environments.tools.tool import ToolContext, ToolResult
from envserver.runtimes.base import Sandbox


class ServiceError(Exception):
    """A service, or the way to it, failed; the message is fit for a policy."""


class SessionOverError(ServiceError):
    """The service knows the session no more: it has done nothing."""


class Connection(ABC):
    """One server in one episode."""

    def __init__(self) -> None:
        self.tools: Sequence[ListedTool] = ()
        """As it listed them last."""

    @abstractmethod
    async def begin(self, sandbox: Sandbox) -> None:
        """Once, in a fresh sandbox. Raises: ValueError when it cannot be used, and why; SandboxError."""

    @abstractmethod
    async def call(self, context: ToolContext, tool: str, arguments: JsonObject) -> ToolResult:
        """Call a tool by the server's own name for it. Raises: SandboxGoneError."""

    def snapshot(self) -> JsonObject:
        """What decides the next call and is not in the sandbox."""
        return {"tools": [tool.as_json() for tool in self.tools]}

    def restore(self, sandbox: Sandbox, state: JsonObject) -> None:
        """In place of `begin`. Makes no call."""
        self.tools = [ListedTool(**tool) for tool in state["tools"]]
