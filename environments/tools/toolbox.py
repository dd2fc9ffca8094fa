"""The tools of one episode: finds the one that a call names, applies the rules, and shows what it came to.

A call that names no tool, or whose arguments do not fit, has run nothing: a `format_error`, which takes no number.
Every other call has a number, which is how an answer cites it, also one that a budget or bad luck stopped.
"""

from __future__ import annotations

import asyncio
import base64
import difflib
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from environments.environment import JsonObject, StepContext, Transition
from environments.tasks import Task
from environments.tools.kit import Kit
from environments.tools.pages import Pages
from environments.tools.record import CallNote, CallRecord, digest_of
from environments.tools.rules import Rules
from environments.tools.tool import ArgumentsError, Tool, ToolContext, ToolError, ToolResult
from envserver.runtimes.base import Sandbox
from envserver_sdk.models import Outcome


class CallError(ValueError):
    """A call that names no tool, or whose arguments do not fit; the message is fit for the policy."""


class Toolbox:
    """Belongs to one generation of an episode."""

    def __init__(self, kits: Sequence[Kit], rules: Rules, seed: int) -> None:
        self.kits = tuple(kits)
        self.record = CallRecord()
        self._rules, self._seed = rules, seed
        self._pages = Pages(rules.page_chars)
        self._sandbox: Sandbox

    async def begin(self, sandbox: Sandbox, task: Task) -> None:
        """Raises: ValueError for two tools of one name, or a kit that cannot serve the task; SandboxError."""
        self._sandbox = sandbox
        for kit in self.kits:
            await kit.begin(sandbox, task, self._seed)
        self._check_names()

    def _check_names(self) -> None:
        names = [name for kit in self.kits for name in kit.tools] + list(self._pages.tools)
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two kits have a tool called {sorted(twice)[0]!r}")

    @property
    def tools(self) -> dict[str, Tool]:
        """What can be called now."""
        found = {name: tool for kit in self.kits for name, tool in kit.tools.items()}
        return found | (self._pages.tools if self._pages.kept else {})

    def schemas(self) -> list[JsonObject]:
        """Name, description and JSON Schema of each."""
        return [
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in self.tools.values()
        ]

    async def call(self, name: Any, arguments: Any, step: StepContext) -> Transition:
        """What one call comes to. Raises: CallError when it ran nothing; SandboxError."""
        tool = self._find(name)
        if not isinstance(arguments, dict):
            raise CallError(f"the arguments of {name} must be an object, not {type(arguments).__name__}")
        number, digest = self.record.next_number, digest_of(name, arguments)
        seed = _seed_of(self._seed, number)
        try:
            result = await self._run(tool, arguments, ToolContext(self._sandbox, step, seed))
        except ArgumentsError as error:
            raise CallError(str(error)) from None
        self.record.notes.append(CallNote(number, name, digest, result.error, result.seen))
        observation = await self._show(number, name, result)
        return Transition(observation, outcome=result.outcome, info=dict(result.info))

    def _find(self, name: Any) -> Tool:
        tools = self.tools
        if isinstance(name, str) and name in tools:
            return tools[name]
        shown = repr(name[:64]) if isinstance(name, str) else type(name).__name__
        near = difflib.get_close_matches(name[:64], tools, n=3) if isinstance(name, str) else []
        hint = f"did you mean {' or '.join(near)}?" if near else f"the tools are {', '.join(sorted(tools)) or 'none'}"
        raise CallError(f"there is no tool {shown}; {hint}")

    async def _run(self, tool: Tool, arguments: JsonObject, context: ToolContext) -> ToolResult:
        if over := self._rules.exceeded(self.record.used, tool.name):
            return ToolResult(f"Error: {over}.", error=True, members={"refused": "budget"})
        luck = self._rules.luck(context.seed)
        if luck.latency_s:
            if luck.latency_s > context.step.timeout_s:
                await asyncio.sleep(context.step.timeout_s)
                return ToolResult("Error: the tool did not answer in time.", error=True, outcome=Outcome.POLICY_TIMEOUT)
            await asyncio.sleep(luck.latency_s)
        if luck.fails:
            return ToolResult("Error: the service is not available right now; nothing was done.", error=True)
        try:
            return await tool.call(context, arguments)
        except ArgumentsError:
            raise
        except ToolError as error:
            return ToolResult(f"Error: {error}", error=True)

    async def _show(self, number: int, name: str, result: ToolResult) -> JsonObject:
        shown = await self._pages.show(self._sandbox, number, result.text)
        observation: JsonObject = {"number": number, "tool": name, **shown, **result.members}
        if result.error:
            observation["error"] = True
        if result.pictures:
            observation["images"] = [
                {"format": _format(picture), "data": base64.b64encode(picture).decode()} for picture in result.pictures
            ]
        return observation

    @property
    def prompt(self) -> str | None:
        """What is to be done, where a kit says so and not the task."""
        return next((kit.prompt for kit in self.kits if kit.prompt is not None), None)

    def verdict(self, answer: str | None) -> JsonObject:
        """For the grader `checks`."""
        return {name: value for kit in self.kits for name, value in kit.verdict(answer).items()}

    def begin_turn(self, number: int) -> None:
        for kit in self.kits:
            kit.begin_turn(number)

    def snapshot(self) -> JsonObject:
        kits = {kit.name: kit.snapshot() for kit in self.kits}
        return {"record": self.record.snapshot(), "kept": self._pages.snapshot(), "kits": kits}

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._sandbox = sandbox
        self.record = CallRecord.restored(state["record"])
        self._pages.restore(state["kept"])
        for kit in self.kits:
            kit.restore(sandbox, task, state["kits"][kit.name])

    def facts(self) -> Mapping[str, Any]:
        """For the graders."""
        kits = {kit.name: found for kit in self.kits if (found := kit.facts())}
        return {**self.record.snapshot(), "offered": sorted(self.tools), "kits": kits}


def _format(picture: bytes) -> str:
    return "webp" if picture.startswith(b"RIFF") else "png"


def _seed_of(seed: int, number: int) -> int:
    """One call's, the same whenever the call is made again."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:8], "big")
