"""An MCP server somewhere else: this server calls it, by streamable HTTP and the official client.

Each call opens a connection, goes on with the session that the service gave, and leaves it open there; so nothing of a
conversation is in this process, and the next server goes on with it. What the official client needs (`pip install
"envserver[mcp]"`) is imported when it is first used.

A service lies outside of what is exactly once: a call whose server is killed before the answer was written down is made
again, under the same name in `_meta["envserver/call"]`, by which the service may tell. A fork shares its session.
"""

from __future__ import annotations

import asyncio
import importlib
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from environments.environment import JsonObject
from environments.tools.mcp.connection import Connection, ServiceError, SessionOverError
from environments.tools.mcp.listing import ListingError, clean, parse_listing
from environments.tools.mcp.operator import NotAllowedError, current
from environments.tools.mcp.results import show_result
from environments.tools.mcp.servers import Service
from environments.tools.tool import ToolContext, ToolResult
from envserver.runtimes.base import Sandbox
from envserver_sdk.models import Outcome

if TYPE_CHECKING:
    from environments.tools.mcp.wire import Exchange

CALL_NAME = "envserver/call"
BEGIN_TIMEOUT_S = 30.0


class ServiceConnection(Connection):
    """One service in one episode."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self._session: JsonObject = {}
        """How the conversation goes on: see `Exchange.session`."""

    async def begin(self, sandbox: Sandbox) -> None:
        name = self._service.name
        try:
            async with asyncio.timeout(BEGIN_TIMEOUT_S):
                await self._meet()
        except NotAllowedError as error:
            raise ValueError(f"mcp: {name}: {error}") from None
        except TimeoutError:
            raise ValueError(f"mcp: {name}: {self._service.host} did not answer within {BEGIN_TIMEOUT_S:g} s") from None
        except (ServiceError, ListingError) as error:
            raise ValueError(f"mcp: {name}: {self._service.host}: {error}") from None

    async def _meet(self) -> None:
        async with await self._exchange({}) as exchange:
            await exchange.greet()
            self.tools = parse_listing(await exchange.list_tools())
            self._session = exchange.session

    async def call(self, context: ToolContext, tool: str, arguments: JsonObject) -> ToolResult:
        notes: list[str] = []
        named = {CALL_NAME: f"{context.sandbox.sandbox_id}-{context.seed:016x}"}
        try:
            async with asyncio.timeout(context.step.timeout_s):
                return await self._call(tool, arguments, named, notes)
        except NotAllowedError as error:
            return self._failure(str(error), notes)
        except TimeoutError:
            message = (
                f"it did not answer within {context.step.timeout_s:g} s; whether it did what it was asked is unknown"
            )
            return self._failure(message, notes, Outcome.POLICY_TIMEOUT)
        except (ServiceError, ListingError) as error:
            return self._failure(str(error), notes)

    async def _call(self, tool: str, arguments: JsonObject, named: JsonObject, notes: list[str]) -> ToolResult:
        try:
            return await self._ask(tool, arguments, named, notes)
        except SessionOverError:
            # The service knows the session no more, so it has not run the call.
            notes.append(f"note: the service {self._service.name} began a new session: earlier state of it is gone")
            await self._meet()
            return await self._ask(tool, arguments, named, notes)

    async def _ask(self, tool: str, arguments: JsonObject, named: JsonObject, notes: list[str]) -> ToolResult:
        async with await self._exchange(self._session) as exchange:
            result = await exchange.call(tool, arguments, named)
            if exchange.tools_changed:
                try:
                    self.tools = parse_listing(await exchange.list_tools())
                except ListingError as error:
                    notes.append(f"note: the service {self._service.name} has changed its tools, but {error}")
        return show_result(result, notes, {"session": "restarted"} if notes else {})

    async def _exchange(self, session: JsonObject) -> AbstractAsyncContextManager[Exchange]:
        """Raises: NotAllowedError, also for want of the official client."""
        operator = current()
        operator.check_host(self._service.host)
        try:
            # Not on the event loop: the package takes its time.
            wire = await asyncio.to_thread(importlib.import_module, "environments.tools.mcp.wire")
        except ImportError:
            raise NotAllowedError("this server lacks the official MCP client: pip install 'envserver[mcp]'") from None
        made: AbstractAsyncContextManager[Exchange] = wire.exchange(self._service, operator, session)
        return made

    def _failure(self, message: str, notes: list[str], outcome: Outcome = Outcome.OK) -> ToolResult:
        text = f"Error: the service {self._service.name}: {clean(message)}"
        return ToolResult("\n".join([*notes, text]), outcome=outcome, error=True)

    def snapshot(self) -> JsonObject:
        return {**super().snapshot(), "session": self._session}

    def restore(self, sandbox: Sandbox, state: JsonObject) -> None:
        super().restore(sandbox, state)
        self._session = state["session"]
