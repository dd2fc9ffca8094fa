"""What a protocol is: the codec between an assistant's message and calls of tools, and between results and messages.

    turn = protocol.parse(message, tools)             what the policy asked for, and what was wrong with it
    results = [Result(call, run(call)) for call in turn.calls]
    messages += protocol.render_results(turn, results)

Protocols are pure: no clock, no I/O, no state. Two promises hold for each of them. **No call is in `Turn.calls` that
the message does not contain exactly**: what is doubtful becomes a `FormatProblem` that says to the policy what was
wrong, and is not run. And **only this one assistant message is read**: what tools said can never become a call, nor
can it close the frame that it is put into. Parsing takes time linear in the message's length, whatever the message
is.

Protocols are forgiving where the meaning is beyond doubt, a closing tag that the sampler cut off after a complete JSON
object, say: the call runs, and a problem that is not `fatal` tells the reward that the form was wrong.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from environments.protocols.messages import Picture, with_pictures
from environments.protocols.schema import schema_like
from environments.protocols.settings import Settings

JsonObject = dict[str, Any]

PROBLEMS: Mapping[str, str] = {
    "not_a_message": "The message has not the shape of an assistant's message, or holds what no text can hold",
    "too_long": "The message is longer than `max_chars`",
    "unclosed_tag": "A tag was opened and not closed, or closed and not opened",
    "bad_json": "What should be JSON is not",
    "bad_call": "The call has not the form that the protocol gives it",
    "unknown_tool": "There is no tool of this name",
    "wrong_arguments": "The arguments do not fit the tool's parameters",
    "too_many_calls": "There are more calls than `max_calls`; those beyond it did not run",
    "text_after_call": "Something was said after the call, where the result has to come first",
    "stray_text": "Something was said outside of the protocol's tags",
    "made_up_result": "The message goes on with a result of its own making: nothing from there on was read",
    "no_thought": "There is no thought, though `thought_required` asks for one",
    "no_action": "There is neither a call nor an answer",
}
"""Every code of a problem, and what it means. Closed: readers may rely on it."""


@dataclass(frozen=True)
class ToolSchema:
    """A tool as the policy is told of it."""

    name: str
    description: str
    parameters: JsonObject
    """JSON Schema of the object of arguments."""


@dataclass(frozen=True)
class Call:
    """A well-formed call: the tool exists, the arguments fit its parameters."""

    name: str
    arguments: JsonObject
    call_id: str = ""
    """As the message gives it; else `call_1`, `call_2`, ... by position, those that are refused counted."""


@dataclass(frozen=True)
class FormatProblem:
    """What was wrong with a message."""

    code: str
    """One of `PROBLEMS`."""
    message: str
    """For the policy: what was wrong, with which value, and what would be right."""
    call_id: str | None = None
    """The call that it is about; None for the message as a whole."""
    fatal: bool = True
    """What it is about was not carried out. Otherwise the meaning was clear, and only the form was wrong."""

    def __post_init__(self) -> None:
        if self.code not in PROBLEMS:
            raise ValueError(f"{self.code!r} is none of the codes in PROBLEMS")


@dataclass(frozen=True)
class Turn:
    """What one assistant message says. Of a message with neither calls nor an answer, some problem is fatal."""

    thought: str | None = None
    """What was marked as reasoning, without its tags."""
    calls: tuple[Call, ...] = ()
    """To be run in this order. Beside refused calls the good ones run, but none beyond the first `max_calls` calls:
    where one is allowed and the first is refused, none runs."""
    answer: str | None = None
    """The final answer, where no call was made."""
    text: str | None = None
    """What was said beside calls, in protocols that allow for it; no answer."""
    problems: tuple[FormatProblem, ...] = ()


@dataclass(frozen=True)
class Result:
    """What one call came to."""

    call: Call
    content: str
    pictures: tuple[Picture, ...] = ()
    error: bool = False
    """The call ran and failed, or was refused by the tool itself."""
    number: int | None = None
    """Of the observation in the episode, from 1, where the protocol cites observations. None for what takes no number:
    a call that was refused before it ran."""


class Protocol(ABC):
    """One format. Instances are immutable and may be shared; `protocol()` makes them."""

    name: ClassVar[str]
    settings_type: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def check(self, tools: Mapping[str, ToolSchema]) -> None:  # noqa: B027  # most call any tool
        """That it can call what there is. Raises: ValueError, naming the setting that says what it calls."""

    @abstractmethod
    def parse(self, message: Any, tools: Mapping[str, ToolSchema], index: int = 1) -> Turn:
        """Read an assistant's message: text, or `{"role": "assistant", "content", ...}`, or anything else at all.

        `index` is the number of the message's first call in the episode, so that ids that are made from positions can
        be unique in it. Never raises.
        """

    def render_turn(self, turn: Turn) -> JsonObject:
        """The assistant message that `parse` reads as this turn: for scripted policies and tests.

        Raises: ValueError where the format cannot say it, such as an argument that holds the tag that ends arguments.
        """
        message = self._render(turn)
        index = int(turn.calls[0].call_id.rpartition("_")[2]) if turn.calls and _is_made(turn.calls[0].call_id) else 1
        read = self.parse(message, _tools_of(turn), index)
        if _said(read) != _said(turn) or read.problems:
            found = "; ".join(f"{problem.code}: {problem.message}" for problem in read.problems)
            raise ValueError(
                f"{self.name} cannot say this turn so that it is read as the same ({found or 'it differs'})"
            )
        return message

    @abstractmethod
    def _render(self, turn: Turn) -> JsonObject:
        """The message, if the format can say it."""

    def render_user(self, text: str, pictures: Sequence[Picture] = ()) -> JsonObject:
        """A message to the policy that is no result of a call: what the episode begins with."""
        return {"role": "user", "content": with_pictures(text, pictures)}

    @abstractmethod
    def render_results(
        self, turn: Turn, results: Sequence[Result], problems: Sequence[FormatProblem] | None = None
    ) -> list[JsonObject]:
        """The messages that tell the policy what its calls came to, in the format's own shape.

        `problems` (the turn's, if None) are told where they are fatal; what was forgiven is for the reward alone. Each
        call, run or refused, has one result or fatal problem.
        """

    @abstractmethod
    def instructions(self, tools: Mapping[str, ToolSchema]) -> str | None:
        """For the system prompt: the format, and the tools. None where tools are passed beside the messages."""

    def tool_schemas(self, tools: Mapping[str, ToolSchema]) -> list[JsonObject]:
        """The tools as chat templates and APIs take them."""
        return [function_schema(tool) for tool in tools.values()]


def function_schema(tool: ToolSchema) -> JsonObject:
    """As OpenAI and the chat templates of open models name a tool."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def shown_problems(turn: Turn, problems: Sequence[FormatProblem] | None) -> list[FormatProblem]:
    """Those that the policy is told of."""
    return [problem for problem in (turn.problems if problems is None else problems) if problem.fatal]


def _is_made(call_id: str) -> bool:
    head, _, number = call_id.rpartition("_")
    return head == "call" and number.isascii() and number.isdecimal() and len(number) < 10


def _tools_of(turn: Turn) -> dict[str, ToolSchema]:
    """Tools that take the arguments of the turn's calls."""
    by_name: dict[str, list[JsonObject]] = {}
    for call in turn.calls:
        by_name.setdefault(call.name, []).append(call.arguments)
    return {name: ToolSchema(name, "", schema_like(arguments)) for name, arguments in by_name.items()}


def _said(turn: Turn) -> tuple[Any, ...]:
    texts = ((text or "").strip() for text in (turn.thought, turn.answer, turn.text))
    return (*texts, [(call.name, _exact(call.arguments)) for call in turn.calls])


def _exact(value: Any) -> Any:
    """With types, since 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {key: _exact(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_exact(member) for member in value]
    return type(value), value
