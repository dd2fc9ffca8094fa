"""A tool: a typed Python function that a policy may call, with the schema that its signature and docstring give.

    @tool
    async def open_page(context: ToolContext, page_id: str, part: int = 1) -> ToolResult:
        '''Read one page of the corpus.

        Args:
            page_id: As a search result names it.
            part: Which part of a long page, from 1.
        '''

The first parameters that are called `self` and `context` are no arguments of the policy's. Arguments are checked
strictly (no string becomes a number), and whatever does not fit is told in a sentence that a model can act on.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from environments.environment import JsonObject, StepContext
from envserver.runtimes.base import Sandbox
from envserver_sdk.models import Outcome

_OURS = ("self", "context")
_ARGUMENT = re.compile(r"^(\w+): ?(.*)$")


class ToolError(Exception):
    """What a tool says when it cannot do what it was asked for; the message is fit for the policy."""


class ArgumentsError(ToolError):
    """The arguments do not fit the schema: nothing was run."""


@dataclass(frozen=True)
class ToolResult:
    """What one call came to, as the policy sees it."""

    text: str
    pictures: tuple[bytes, ...] = ()
    """PNG, or WebP."""
    seen: tuple[str, ...] = ()
    """Ids of the documents that it shows: what an answer may cite."""
    outcome: Outcome = Outcome.OK
    error: bool = False
    """The call ran and failed, as `text` tells."""
    members: JsonObject = field(default_factory=dict)
    """More of the observation, for readers that are programs."""
    info: JsonObject = field(default_factory=dict)
    """Of the step, for the trainer and not for the policy."""


@dataclass(frozen=True)
class ToolContext:
    """What a call is given beside its arguments."""

    sandbox: Sandbox
    step: StepContext
    seed: int
    """Of this call: the episode's seed and the number of the call decide it."""


class Tool:
    """One function with its name, its description, and the JSON Schema of its arguments."""

    def __init__(
        self,
        name: str,
        description: str,
        parameters: JsonObject,
        run: Callable[[ToolContext, JsonObject], Awaitable[ToolResult]],
    ) -> None:
        self.name = name
        self.description = description
        self.parameters = parameters
        self._run = run

    async def call(self, context: ToolContext, arguments: JsonObject) -> ToolResult:
        """Raises: ArgumentsError before anything ran; ToolError; envserver.runtimes.base.SandboxError."""
        return await self._run(context, arguments)


Function = Callable[..., Awaitable[ToolResult | str]]


@dataclass(frozen=True)
class ToolFunction:
    """A function that `tool` marked, before it is bound to what holds its state."""

    function: Function
    name: str
    description: str
    arguments: type[BaseModel]
    parameters: JsonObject

    def bind(self, owner: object | None = None) -> Tool:
        """As a tool of `owner`, where it is a method."""
        function = self.function if owner is None else partial(self.function, owner)
        return Tool(self.name, self.description, self.parameters, partial(self._call, function))

    async def _call(self, function: Function, context: ToolContext, arguments: JsonObject) -> ToolResult:
        result = await function(context, **checked(self.name, self.arguments, arguments))
        return ToolResult(result) if isinstance(result, str) else result


def tool(function: Function) -> ToolFunction:
    """Make a tool of a function or a method. Raises: TypeError for one that is not fully typed and described."""
    description, told = _read_docstring(inspect.getdoc(function) or "")
    if not description:
        raise TypeError(f"{function.__name__} has no docstring: a policy would not know what it is for")
    hints = get_type_hints(function, include_extras=True)
    members: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in _OURS:
            continue
        if name not in hints or name not in told:
            raise TypeError(f"{function.__name__}: {name} needs a type, and a line under `Args:`")
        default = ... if parameter.default is parameter.empty else parameter.default
        members[name] = (hints[name], Field(default, description=told.pop(name)))
    if told:
        raise TypeError(f"{function.__name__} takes no {', '.join(told)}")
    arguments = create_model(function.__name__, __config__=ConfigDict(extra="forbid", strict=True), **members)
    return ToolFunction(function, function.__name__, description, arguments, schema_of(arguments))


def schema_of(arguments: type[BaseModel]) -> JsonObject:
    """The JSON Schema of a model's members, without the titles that pydantic adds."""
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    for member in schema.get("properties", {}).values():
        member.pop("title", None)
    return schema


def checked(name: str, model: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the function takes them. Raises: ArgumentsError."""
    try:
        parsed = model.model_validate(dict(arguments))
    except ValidationError as error:
        raise ArgumentsError(f"{name}: {'; '.join(_explain(each, model) for each in error.errors()[:5])}") from None
    return {member: getattr(parsed, member) for member in model.model_fields}


def _explain(error: Any, model: type[BaseModel]) -> str:
    place = ".".join(map(str, error["loc"])) or "arguments"
    if error["type"] == "missing":
        return f"the argument {place!r} is missing: {model.model_fields[str(error['loc'][0])].description}"
    if error["type"] == "extra_forbidden":
        known = ", ".join(repr(member) for member in model.model_fields) or "none"
        return f"there is no argument {place[:64]!r}; it takes {known}"
    given = repr(error["input"])
    return f"{place!r} is {given[:64]}{'…' if len(given) > 64 else ''}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The description, and what is said of each argument under `Args:`."""
    description, _, rest = text.partition("\nArgs:\n")
    told: dict[str, str] = {}
    for line in rest.splitlines():
        if not line.strip():
            break
        begun = _ARGUMENT.match(line.removeprefix("    "))
        if begun and not line.startswith("     "):
            told[begun[1]] = begun[2]
        elif told:
            last = next(reversed(told))
            told[last] = f"{told[last]} {line.strip()}".strip()
    return " ".join(description.split()), told
