"""The kit whose tools are those of MCP servers: listed at run time, and listed anew when a server says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from environments.environment import JsonObject
from environments.tasks import Task
from environments.tools.kit import Kit
from environments.tools.mcp.connection import Connection
from environments.tools.mcp.listing import exposed_names
from environments.tools.mcp.remote import ServiceConnection
from environments.tools.mcp.servers import Program, parse_servers
from environments.tools.mcp.stdio import ProgramConnection
from environments.tools.tool import Tool, ToolContext, ToolResult
from envserver.runtimes.base import Sandbox


def mcp_kits(value: Any) -> list[Kit]:
    """The kit of what a task or a caller asks for; none where nothing is. Raises: ValueError."""
    servers = parse_servers(value)
    if not servers:
        return []
    runs_code = any(isinstance(server, Program) for server in servers)
    connections = {
        server.name: ProgramConnection(server) if isinstance(server, Program) else ServiceConnection(server)
        for server in servers
    }
    return [(McpKit if runs_code else RemoteMcpKit)(connections)]


class McpKit(Kit):
    """MCP servers, at least one of which is a program in the sandbox."""

    name: ClassVar[str] = "mcp"
    runs_code: ClassVar[bool] = True

    def __init__(self, connections: Mapping[str, Connection]) -> None:
        super().__init__()
        self._connections = connections
        self._shown: dict[str, Tool] = {}
        self._shown_of: Sequence[Any] = ()
        """The listings that `_shown` was made of."""

    @property
    def tools(self) -> Mapping[str, Tool]:
        listings = [connection.tools for connection in self._connections.values()]
        if len(listings) != len(self._shown_of) or any(
            one is not other for one, other in zip(listings, self._shown_of, strict=True)
        ):
            self._shown, self._shown_of = self._show(), listings
        return self._shown

    def _show(self) -> dict[str, Tool]:
        listed = {server: connection.tools for server, connection in self._connections.items()}
        described = {(server, tool.name): tool for server, tools in listed.items() for tool in tools}
        shown = {}
        for name, (server, own_name) in exposed_names(listed).items():
            tool = described[server, own_name]
            call = partial(self._call, server, own_name)
            shown[name] = Tool(name, tool.description, tool.parameters, call)
        return shown

    async def _call(self, server: str, tool: str, context: ToolContext, arguments: JsonObject) -> ToolResult:
        return await self._connections[server].call(context, tool, arguments)

    async def begin(self, sandbox: Sandbox, task: Task, seed: int) -> None:
        for connection in self._connections.values():
            await connection.begin(sandbox)

    def snapshot(self) -> JsonObject:
        return {name: connection.snapshot() for name, connection in self._connections.items()}

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        for name, connection in self._connections.items():
            connection.restore(sandbox, state[name])


class RemoteMcpKit(McpKit):
    """Services alone: nothing of them runs in the sandbox."""

    runs_code: ClassVar[bool] = False
