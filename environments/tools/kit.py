"""A kit: tools that share something for the life of an episode, such as a session in the sandbox or a database.

A kit's methods that are marked with `tool` are its tools. Where its tools are found out at run time (another program
lists them), it overrides `tools`; they may change from one step to the next.

As everywhere in an environment, a call asks the sandbox for what its arguments and `snapshot` decide and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from environments.environment import JsonObject, Needs
from environments.tasks import Task
from environments.tools.tool import Tool, ToolFunction
from envserver.runtimes.base import Sandbox
from envserver_sdk.models import ToolInfo


class Kit:
    """The tools of one kind in one episode. An instance serves one generation."""

    name: ClassVar[str]
    """By which a task or an episode's options ask for it."""
    runs_code: ClassVar[bool] = False
    """Whether the policy's own code runs in the sandbox through it: never beside a world whose state is checked."""
    checks_state: ClassVar[bool] = False
    """Whether what its part of the sandbox came to is believed for a reward: never beside a kit that runs code."""
    needs: ClassVar[Needs | None] = None
    """Where its sandbox is not that of the tools environment."""
    takes_options: ClassVar[bool] = False
    """Whether a caller's `options` may have a member of its name, an object."""

    beside_code: bool = False
    """Whether a kit of the same episode runs the policy's code, which may then have broken what this one runs."""

    def __init__(self) -> None:
        self._tools = {function.name: function.bind(self) for function in self.marked()}

    @classmethod
    def marked(cls) -> list[ToolFunction]:
        """Its methods that are tools, by name."""
        members = (getattr(cls, attribute) for attribute in dir(cls))
        return [member for member in members if isinstance(member, ToolFunction)]

    @classmethod
    def infos(cls) -> list[ToolInfo]:
        """Its tools, as far as they are known before an episode."""
        return [
            ToolInfo(name=each.name, description=each.description, parameters=each.parameters) for each in cls.marked()
        ]

    def check(self, task: Task, options: JsonObject) -> None:  # most have nothing to choose
        """That `set_up` would take these. Raises: ValueError."""

    def set_up(self, task: Task, seed: int, options: JsonObject) -> None:  # most have nothing to choose
        """Before `begin` or `restore`. Raises: ValueError for options or a task that it does not take."""

    @property
    def prompt(self) -> str | None:
        """What is to be done, where the task leaves it to the kit to say so."""
        return None

    @property
    def tools(self) -> Mapping[str, Tool]:
        """What can be called now, by name."""
        return self._tools

    async def begin(self, sandbox: Sandbox, task: Task, seed: int) -> None:
        """Once, in a fresh sandbox. Raises: SandboxError; ValueError for a task that it cannot serve."""

    def begin_turn(self, number: int) -> None:
        """The user is about to speak for the `number`-th time, from 1; the turn before has ended."""

    def verdict(self, answer: str | None) -> JsonObject:
        """For the grader `checks`, of a kit whose part of the world is the server's; `answer` is the last one."""
        return {}

    def snapshot(self) -> JsonObject:
        """What decides the next call and is not in the sandbox, as JSON."""
        return {}

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        """In place of `begin`, in a new instance. Makes no call to the sandbox."""

    def facts(self) -> Mapping[str, Any]:
        """What its episode came to, for the graders: JSON that no policy can write, from what `snapshot` holds.

        The sandbox's processes are stopped by then, so what a world came to is taken down call by call.
        """
        return {}
