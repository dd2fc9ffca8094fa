"""What the protocols have in common that read calls from text: the message around it, and results as user messages."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from environments.protocols.draft import Draft, refused_turn
from environments.protocols.jsoncalls import CallError, ReadCall
from environments.protocols.jsontext import encode
from environments.protocols.messages import MessageError, read_message, with_pictures
from environments.protocols.protocol import (
    FormatProblem,
    JsonObject,
    Protocol,
    Result,
    ToolSchema,
    Turn,
    function_schema,
    shown_problems,
)
from environments.protocols.reading import Reading
from environments.protocols.settings import CALLS_LIMIT, TextSettings


class TextProtocol(Protocol):
    """Reads `content`; takes reasoning that an inference server has taken out of it as thought."""

    settings_type: ClassVar[type[TextSettings]] = TextSettings
    settings: TextSettings
    no_action: ClassVar[str]
    """What the policy is told to write, where it wrote nothing to carry out."""

    def parse(self, message: Any, tools: Mapping[str, ToolSchema], index: int = 1) -> Turn:
        try:
            read = read_message(message, self.settings.max_chars)
            if read.tool_calls:
                raise MessageError("not_a_message", f"{self.name} reads calls from the text, not from 'tool_calls'")
        except MessageError as error:
            return refused_turn(error.code, str(error))
        draft = Draft(tools, min(self.settings.max_calls or CALLS_LIMIT, CALLS_LIMIT), index)
        self._read(self._without_end_tokens(read.text), draft)
        if read.thought:
            draft.thoughts.insert(0, read.thought)
        if self.settings.thought_required and not any(map(str.strip, draft.thoughts)):
            draft.forgive("no_thought", "there is no thought before the action")
        return draft.turn(self.no_action)

    @abstractmethod
    def _read(self, text: str, draft: Draft) -> None:
        """Read a text into the draft."""

    def render_results(
        self, turn: Turn, results: Sequence[Result], problems: Sequence[FormatProblem] | None = None
    ) -> list[JsonObject]:
        told: list[tuple[int, str]] = [(_position(each.call.call_id), self._frame(each)) for each in results]
        told += [(_position(each.call_id), self._frame_problem(each)) for each in shown_problems(turn, problems)]
        text = "\n".join(frame for _, frame in sorted(told, key=lambda item: item[0]))
        pictures = [picture for result in results for picture in result.pictures]
        return [{"role": "user", "content": with_pictures(text, pictures)}] if told else []

    @abstractmethod
    def _frame(self, result: Result) -> str:
        """One result as the policy sees it; nothing in it can close the frame."""

    @abstractmethod
    def _frame_problem(self, problem: FormatProblem) -> str:
        """One problem as the policy sees it."""

    def _without_end_tokens(self, text: str) -> str:
        end = _end_of_words(text, len(text))
        while ended := next((token for token in self.settings.end_tokens if text.endswith(token, 0, end)), None):
            end = _end_of_words(text, end - len(ended))
        return text[:end]


class CallReading(Reading):
    """A reading of calls between tags, whose bodies tell by themselves where they end."""

    def take_call(self, closer: str) -> None:
        """Read the call that begins at `position` into the draft, and go on behind it."""
        call_id = self.draft.open_call()
        if call_id is None:
            self.disbelieve()
            return
        try:
            call = self.read_call(closer)
            self._close(call, closer, call_id)
        except CallError as error:
            self.draft.refuse(error.code, str(error), call_id)
            self.skip_broken(closer)
            return
        for code, message in call.forgiven:
            self.draft.forgive(code, message, call_id)
        self.draft.add_call(call.name, call.arguments, call_id)

    @abstractmethod
    def read_call(self, closer: str) -> ReadCall:
        """The body of a call at `position`. Raises: CallError."""

    def _close(self, call: ReadCall, closer: str, call_id: str) -> None:
        """Go on behind the closing tag; a complete call may lack it before another tag or the end of the text."""
        if self.text.startswith(closer, call.end):
            self.position = call.end + len(closer)
            return
        if call.end < len(self.text) and not self._markers.match(self.text, call.end):
            after = self.text[call.end : call.end + 20]
            message = f"after the call, where {closer} has to be, comes {after!r}"
            raise CallError("bad_call", message)
        self.position = call.end
        if call.end < len(self.text) or not self.is_cut_off(closer):
            self.draft.forgive("unclosed_tag", f"the call is not closed by {closer}", call_id)


def calls_text(turn: Turn, before: str, each: Sequence[str]) -> str:
    """Thought and text in front, the calls behind, each on a line of its own."""
    return "\n".join(filter(None, [before, turn.text or "", *each, turn.answer or ""]))


def thought_text(turn: Turn, begin: str = "<think>", end: str = "</think>") -> str:
    return f"{begin}{turn.thought}{end}" if turn.thought else ""


def assistant(text: str) -> JsonObject:
    return {"role": "assistant", "content": text}


def takes_one(tool: ToolSchema, argument: str) -> bool:
    """Whether it can be called with this argument and no other."""
    required = tool.parameters.get("required", ())
    return argument in tool.parameters.get("properties", {argument: {}}) and set(required) <= {argument}


def listed(tools: Mapping[str, ToolSchema]) -> str:
    """The tools for a system prompt, one a line."""
    return "\n".join(encode(function_schema(tool)) for tool in tools.values())


def _end_of_words(text: str, end: int) -> int:
    while end and text[end - 1].isspace():
        end -= 1
    return end


def _position(call_id: str | None) -> int:
    """Of a call among those of its message; problems of the message as a whole come last."""
    number = (call_id or "").rpartition("_")[2]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else 1 << 30
