"""Hermes, and Qwen before its Coder: JSON between `<tool_call>` tags, several allowed.

    <tool_call>
    {"name": "search", "arguments": {"query": "rain"}}
    </tool_call>

Results come back in `<tool_response>`, those of one message in one, in the order of the calls: the format has no ids.
The closing tag is often missing at the end of the output, for samplers stop there: a complete object runs all the
same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from environments.protocols.frames import escape, tags_pattern
from environments.protocols.jsontext import encode
from environments.protocols.protocol import Call, FormatProblem, Result, ToolSchema
from environments.protocols.settings import TextSettings
from environments.protocols.special_tokens import SpecialTokens, SpecialTokensSettings
from environments.protocols.text import listed

_ESCAPED = tags_pattern("tool_response", "tool_call", "think")
_FRAME = tags_pattern("tool_response")
"""All that is escaped in a problem, which has to name tags as they are to be written."""


def _framed(text: str) -> str:
    return f"<tool_response>\n{text}\n</tool_response>"


def _with_tokens(settings: TextSettings) -> SpecialTokensSettings:
    return SpecialTokensSettings(
        **vars(settings),
        call_begin="<tool_call>",
        call_end="</tool_call>",
        result_begin="<tool_response>",
        result_end="</tool_response>",
    )


class Hermes(SpecialTokens):
    """`special_tokens` with tokens of its own, and line breaks where models were trained on them."""

    name = "hermes"
    settings_type: ClassVar[type[TextSettings]] = TextSettings

    def __init__(self, settings: TextSettings) -> None:
        super().__init__(_with_tokens(settings))

    def _call_text(self, call: Call) -> str:
        return f"<tool_call>\n{encode({'name': call.name, 'arguments': call.arguments})}\n</tool_call>"

    def _frame(self, result: Result) -> str:
        return _framed(escape(result.content, _ESCAPED))

    def _frame_problem(self, problem: FormatProblem) -> str:
        return _framed(f"Error: {escape(problem.message, _FRAME)}")

    def instructions(self, tools: Mapping[str, ToolSchema]) -> str | None:
        return (
            "You may call functions to help with the user's request. Their signatures:\n"
            f"<tools>\n{listed(tools)}\n</tools>\n\n"
            "For each call, write a JSON object with the function's name and arguments between tags:\n"
            '<tool_call>\n{"name": "...", "arguments": {...}}\n</tool_call>\n'
            "Then stop: the results come between <tool_response> tags. Without a call, what you write is your answer."
        )
