"""The Messages API: content blocks, results as `tool_result` blocks of one user message.

    {"role": "assistant", "content": [
        {"type": "text", "text": "I will look."},
        {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"query": "rain"}}]}
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "..."}]}

The API wants all results of a message in the next one, before any text, and one for every id: refused calls have
theirs, with `is_error`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from environments.protocols.draft import Draft, refused_turn
from environments.protocols.hints import quoted
from environments.protocols.jsontext import JsonError, check_value
from environments.protocols.messages import MessageError, Picture, block_text, check_text, read_blocks, read_members
from environments.protocols.openai import read_id
from environments.protocols.protocol import (
    FormatProblem,
    JsonObject,
    Protocol,
    Result,
    ToolSchema,
    Turn,
    shown_problems,
)


class Anthropic(Protocol):
    name = "anthropic"

    def parse(self, message: Any, tools: Mapping[str, ToolSchema], index: int = 1) -> Turn:
        draft = Draft(tools, self.settings.max_calls, index)
        try:
            blocks = _blocks(message)
            texts, uses = self._sort(blocks, draft)
        except MessageError as error:
            return refused_turn(error.code, str(error))
        seen: set[str] = set()
        for use in uses:
            _read_use(use, draft, seen, self.settings.max_chars)
        if uses:
            draft.texts = texts
        else:
            draft.answer = "".join(texts).strip()
        return draft.turn("the message is empty: call a tool, or give your answer")

    def _sort(self, blocks: Sequence[Mapping[str, Any]], draft: Draft) -> tuple[list[str], list[Mapping[str, Any]]]:
        """Texts and calls; thoughts go into the draft. Raises: MessageError."""
        texts: list[str] = []
        uses: list[Mapping[str, Any]] = []
        for block in blocks:
            kind = block.get("type")
            if kind == "text":
                texts.append(block_text(block, "text"))
            elif kind == "thinking":
                draft.thoughts.append(block_text(block, "thinking"))
            elif kind == "tool_use":
                uses.append(block)
            elif kind != "redacted_thinking":
                raise MessageError("not_a_message", f"no block of an assistant's message has the type {quoted(kind)}")
        check_text("".join(texts) + "".join(draft.thoughts), self.settings.max_chars)
        return texts, uses

    def _render(self, turn: Turn) -> JsonObject:
        blocks: list[JsonObject] = []
        if turn.thought:
            blocks.append({"type": "thinking", "thinking": turn.thought, "signature": ""})
        if text := (turn.text if turn.calls else turn.answer):
            blocks.append({"type": "text", "text": text})
        for number, call in enumerate(turn.calls, 1):
            call_id = call.call_id or f"call_{number}"
            blocks.append({"type": "tool_use", "id": call_id, "name": call.name, "input": call.arguments})
        return {"role": "assistant", "content": blocks}

    def render_user(self, text: str, pictures: Sequence[Picture] = ()) -> JsonObject:
        return {"role": "user", "content": _content(text, pictures)}

    def render_results(
        self, turn: Turn, results: Sequence[Result], problems: Sequence[FormatProblem] | None = None
    ) -> list[JsonObject]:
        told = shown_problems(turn, problems)
        blocks = [
            _result_block(result.call.call_id, _content(result.content, result.pictures), result.error)
            for result in results
        ]
        blocks += [_result_block(each.call_id, f"Error: {each.message}", True) for each in told if each.call_id]
        blocks += [{"type": "text", "text": f"Error: {each.message}"} for each in told if not each.call_id]
        return [{"role": "user", "content": blocks}] if blocks else []

    def instructions(self, tools: Mapping[str, ToolSchema]) -> str | None:
        return None

    def tool_schemas(self, tools: Mapping[str, ToolSchema]) -> list[JsonObject]:
        return [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in tools.values()
        ]


def _blocks(message: Any) -> Sequence[Mapping[str, Any]]:
    """The message's content as blocks. Raises: MessageError."""
    content = message if isinstance(message, str) else read_members(message).get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else read_blocks(content)


def _read_use(use: Mapping[str, Any], draft: Draft, seen: set[str], max_chars: int) -> None:
    call_id = read_id(use, draft, seen)
    if call_id is None:
        return
    name, arguments = use.get("name"), use.get("input")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        wrong = "'name' is not a string" if not isinstance(name, str) else f"'input' is {quoted(arguments)}, no object"
        draft.refuse("bad_call", f"a tool_use has a name and an object 'input': {wrong}", call_id)
        return
    try:
        check_value(arguments, max_chars)
    except JsonError as error:
        draft.refuse("bad_json", f"the input of {quoted(name)} is not taken: {error}", call_id)
        return
    draft.add_call(name, arguments, call_id)


def _content(text: str, pictures: Sequence[Picture]) -> str | list[JsonObject]:
    if not pictures:
        return text
    sources = [{"type": "base64", "media_type": each.media_type, "data": each.data} for each in pictures]
    said = [{"type": "text", "text": text}] if text else []
    return [*said, *({"type": "image", "source": source} for source in sources)]


def _result_block(call_id: str | None, content: str | list[JsonObject], error: bool) -> JsonObject:
    block: JsonObject = {"type": "tool_result", "tool_use_id": call_id, "content": content}
    return block | ({"is_error": True} if error else {})
