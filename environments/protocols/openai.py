"""Chat completions: `tool_calls` beside the content, results as `tool` messages that name the call's id.

    {"role": "assistant", "content": null, "tool_calls": [
        {"id": "call_a", "type": "function", "function": {"name": "search", "arguments": "{\\"query\\": \\"rain\\"}"}}]}
    {"role": "tool", "tool_call_id": "call_a", "content": "..."}

The API wants a `tool` message for every id, so each refused call is answered under its own. It takes no pictures there:
they follow in a user message. Arguments may also be an object, as chat templates have them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from environments.protocols.draft import Draft, refused_turn
from environments.protocols.hints import quoted
from environments.protocols.jsontext import JsonError, check_value, decode, encode
from environments.protocols.messages import Message, MessageError, check_length, read_message, with_pictures
from environments.protocols.protocol import (
    FormatProblem,
    JsonObject,
    Protocol,
    Result,
    ToolSchema,
    Turn,
    shown_problems,
)
from environments.protocols.reading import THINK
from environments.protocols.schema import kind_of

MAX_ID_CHARS = 256


class OpenAI(Protocol):
    name = "openai"

    def parse(self, message: Any, tools: Mapping[str, ToolSchema], index: int = 1) -> Turn:
        try:
            read = read_message(message, self.settings.max_chars)
            check_length(_chars(read), self.settings.max_chars)
        except MessageError as error:
            return refused_turn(error.code, str(error))
        draft = Draft(tools, self.settings.max_calls, index)
        thought, text = split_thought(read.text)
        draft.thoughts += filter(None, [read.thought, thought])
        seen: set[str] = set()
        for entry in read.tool_calls:
            _read_call(entry, draft, seen, self.settings.max_chars)
        if read.tool_calls:
            draft.texts.append(text)
        else:
            draft.answer = text.strip()
        return draft.turn("the message is empty: call a tool, or give your answer")

    def _render(self, turn: Turn) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": turn.text if turn.calls else turn.answer}
        if turn.thought:
            message["reasoning_content"] = turn.thought
        if turn.calls:
            message["tool_calls"] = [
                {
                    "id": call.call_id or f"call_{number}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": encode(call.arguments)},
                }
                for number, call in enumerate(turn.calls, 1)
            ]
        return message

    def render_results(
        self, turn: Turn, results: Sequence[Result], problems: Sequence[FormatProblem] | None = None
    ) -> list[JsonObject]:
        messages = [_tool_message(result.call.call_id, result.content) for result in results]
        told = shown_problems(turn, problems)
        messages += [_tool_message(each.call_id, f"Error: {each.message}") for each in told if each.call_id]
        for result in results:
            if result.pictures:
                content = with_pictures(f"Pictures of {result.call.call_id}:", result.pictures)
                messages.append({"role": "user", "content": content})
        return messages + [{"role": "user", "content": f"Error: {each.message}"} for each in told if not each.call_id]

    def instructions(self, tools: Mapping[str, ToolSchema]) -> str | None:
        return None


def split_thought(text: str) -> tuple[str | None, str]:
    """A thought in tags that a server has left at the beginning of the text, and the rest."""
    begin, end = THINK
    place = text.find(end) if text.lstrip().startswith(begin) else -1
    if place < 0:
        return None, text
    return text[:place].lstrip().removeprefix(begin).strip(), text[place + len(end) :]


def read_id(entry: Mapping[str, Any], draft: Draft, seen: set[str]) -> str | None:
    """Count a call under the id that it has. None where it is not to be read any further."""
    given = entry.get("id")
    valid = isinstance(given, str) and 0 < len(given) <= MAX_ID_CHARS
    call_id = draft.open_call(given if valid and isinstance(given, str) else "")
    if call_id is None:
        return None
    if call_id in seen:
        draft.refuse("bad_call", f"the id {quoted(call_id)} is that of another call in this message", call_id)
        return None
    seen.add(call_id)
    return call_id


def _read_call(entry: Any, draft: Draft, seen: set[str], max_chars: int) -> None:
    if not isinstance(entry, Mapping):
        draft.refuse("bad_call", f"an entry of 'tool_calls' is {quoted(entry)}, must be an object", draft.open_call())
        return
    call_id = read_id(entry, draft, seen)
    if call_id is None:
        return
    function = entry.get("function")
    if entry.get("type", "function") != "function" or not isinstance(function, Mapping):
        draft.refuse("bad_call", "a call has the type 'function' and an object 'function'", call_id)
        return
    if not isinstance(function.get("name"), str):
        draft.refuse("bad_call", f"the function's name is {quoted(function.get('name'))}, must be a string", call_id)
        return
    try:
        arguments, forgiven = _read_arguments(function.get("arguments"), max_chars)
    except JsonError as error:
        draft.refuse("bad_json", f"the arguments of {quoted(function['name'])} are no JSON: {error}", call_id)
        return
    if not isinstance(arguments, dict):
        kind = kind_of(arguments)
        draft.refuse("bad_call", f"the arguments of {quoted(function['name'])} are {kind}, must be an object", call_id)
        return
    if forgiven:
        draft.forgive("bad_json", forgiven, call_id)
    draft.add_call(function["name"], arguments, call_id)


def _read_arguments(given: Any, max_chars: int) -> tuple[Any, str | None]:
    """Of a call: JSON as text, where nothing means none; or the value itself. Raises: JsonError."""
    if isinstance(given, str):
        return decode(given) if given.strip() else ({}, None)
    check_value(given, max_chars)
    return given, None


def _chars(message: Message) -> int:
    """Of the text and all arguments that are text together; objects are counted where they are read."""
    functions = [entry.get("function") for entry in message.tool_calls if isinstance(entry, Mapping)]
    arguments = [function.get("arguments") for function in functions if isinstance(function, Mapping)]
    return len(message.text) + sum(len(each) for each in arguments if isinstance(each, str))


def _tool_message(call_id: str | None, content: str) -> JsonObject:
    return {"role": "tool", "tool_call_id": call_id, "content": content}
