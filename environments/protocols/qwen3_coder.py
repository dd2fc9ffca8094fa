"""Qwen3-Coder: calls in tags that look like XML and are not.

    <tool_call>
    <function=search>
    <parameter=query>
    rain in Oslo
    </parameter>
    </function>
    </tool_call>

Values are written as they are, nothing is escaped, and one line break after the opening and before the closing tag is
not part of them. Their types are those that the tool's parameters name: `5` is a number for an integer and a text for
a string. A value that holds `<parameter=` or `</function>` is most likely one whose closing tag is missing, so the
call does not run. The opening `<tool_call>` is often missing, and then forgiven.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from environments.protocols.draft import Draft
from environments.protocols.frames import escape, tags_pattern
from environments.protocols.hints import MAX_SHOWN_CHARS, quoted
from environments.protocols.jsoncalls import CallError, ReadCall
from environments.protocols.jsontext import JsonError, decode, encode, skip_whitespace
from environments.protocols.protocol import Call, FormatProblem, JsonObject, Result, ToolSchema, Turn
from environments.protocols.reading import THINK
from environments.protocols.schema import allowed_kinds, kind_of
from environments.protocols.text import CallReading, TextProtocol, assistant, calls_text, listed, thought_text

_MARKERS = re.compile(r"</?think>|</?tool_call>|</?tool_response>|<function=|</function>")
_ESCAPED = tags_pattern("tool_response", "tool_call", "think", "function=", "function")
_FRAME = tags_pattern("tool_response")
_NAME = re.compile(rf"[^<>\s]{{1,{2 * MAX_SHOWN_CHARS}}}+(?=>)")
_PARAMETER, _PARAMETER_END = "<parameter=", "</parameter>"
_FUNCTION, _FUNCTION_END = "<function=", "</function>"
_FORM = "<function=name>\\n<parameter=key>\\nvalue\\n</parameter>\\n</function>"


class Qwen3Coder(TextProtocol):
    name = "qwen3_coder"
    no_action = "there is neither a call nor an answer"

    def _read(self, text: str, draft: Draft) -> None:
        _Reading(text, draft, _MARKERS, THINK, self.settings.stop).run()

    def _render(self, turn: Turn) -> JsonObject:
        return assistant(calls_text(turn, thought_text(turn), [_call_text(call) for call in turn.calls]))

    def _frame(self, result: Result) -> str:
        return _framed(escape(result.content, _ESCAPED))

    def _frame_problem(self, problem: FormatProblem) -> str:
        return _framed(f"Error: {escape(problem.message, _FRAME)}")

    def instructions(self, tools: Mapping[str, ToolSchema]) -> str | None:
        return (
            f"You can call these functions:\n<tools>\n{listed(tools)}\n</tools>\n\n"
            "Write a call in exactly this form, one block for each call, values as they are without quotes or escapes, "
            "objects and lists as JSON:\n"
            "<tool_call>\n<function=name>\n<parameter=key>\nvalue\n</parameter>\n</function>\n</tool_call>\n"
            "You may reason before a call, not after it: the results come between <tool_response> tags. Without a "
            "call, what you write is your answer."
        )


def _framed(text: str) -> str:
    return f"<tool_response>\n{text}\n</tool_response>"


def _call_text(call: Call) -> str:
    values = [(key, value if isinstance(value, str) else encode(value)) for key, value in call.arguments.items()]
    lines = [f"{_PARAMETER}{key}>\n{value}\n{_PARAMETER_END}" for key, value in values]
    return "\n".join(["<tool_call>", f"{_FUNCTION}{call.name}>", *lines, _FUNCTION_END, "</tool_call>"])


class _Reading(CallReading):
    _last = ""

    def outside(self, start: int, end: int) -> None:
        text = self.text[start:end]
        self.draft.texts.append(text)
        if text and not text.isspace():
            self._last = "text"

    def at(self, match: re.Match[str]) -> None:
        marker = match[0]
        if marker in ("<tool_call>", _FUNCTION):
            self._last = "call"
            self.position = match.start()
            self.take_call("</tool_call>")
        elif "tool_response" in marker:
            self.made_up(marker)
        else:
            self.draft.refuse("unclosed_tag", f"{marker} closes nothing")

    def read_call(self, closer: str) -> ReadCall:
        forgiven: list[tuple[str, str]] = []
        if self.text.startswith("<tool_call>", self.position):
            self.position = skip_whitespace(self.text, self.position + len("<tool_call>"))
        else:
            forgiven.append(("unclosed_tag", "<tool_call> is missing before <function=...>"))
        if not self.text.startswith(_FUNCTION, self.position):
            found = quoted(self.text[self.position : self.position + 20])
            raise CallError("bad_call", f"a call begins with {_FUNCTION}name>, not with {found}; write {_FORM}")
        name = self._read_name(_FUNCTION)
        values = self._read_values(name)
        return ReadCall(
            name, _typed(values, self.draft.tools.get(name)), skip_whitespace(self.text, self.position), forgiven
        )

    def _read_name(self, before: str) -> str:
        found = _NAME.match(self.text, self.position + len(before))
        if found is None:
            raise CallError("bad_call", f"{before} needs a name and >; write {_FORM}")
        self.position = found.end() + 1
        return found[0]

    def _read_values(self, name: str) -> dict[str, str]:
        values: dict[str, str] = {}
        while True:
            self.position = skip_whitespace(self.text, self.position)
            if self.text.startswith(_FUNCTION_END, self.position):
                self.position += len(_FUNCTION_END)
                return values
            if self.position == len(self.text):
                raise CallError(
                    "unclosed_tag", f"{_FUNCTION}{name}> is not closed by {_FUNCTION_END}: it may be cut off"
                )
            if not self.text.startswith(_PARAMETER, self.position):
                found = quoted(self.text[self.position : self.position + 20])
                raise CallError("bad_call", f"{_PARAMETER}key> or {_FUNCTION_END} has to come where {found} is")
            key = self._read_name(_PARAMETER)
            if key in values:
                raise CallError("bad_call", f"the parameter {quoted(key)} appears twice")
            values[key] = self._read_value(key)

    def _read_value(self, key: str) -> str:
        end = self.text.find(_PARAMETER_END, self.position)
        value = self.text[self.position : end] if end >= 0 else ""
        if end < 0 or _PARAMETER in value or _FUNCTION_END in value:
            raise CallError("unclosed_tag", f"{_PARAMETER}{key}> is not closed by {_PARAMETER_END}")
        self.position = end + len(_PARAMETER_END)
        if value.startswith("\r\n"):
            return value[2:].removesuffix("\n").removesuffix("\r")
        return value.removeprefix("\n").removesuffix("\n") if value.startswith("\n") else value

    def finish(self) -> None:
        if not self.draft.attempts:
            self.draft.answer = "".join(self.draft.texts).strip()
            self.draft.texts = []
        elif self._last == "text":
            self.draft.forgive("text_after_call", "there is text after the last call: wait for the result")


def _typed(values: Mapping[str, str], tool: ToolSchema | None) -> dict[str, Any]:
    """The values with the types that the tool's parameters name; what does not fit stays text, and is refused as
    such."""
    parameters = tool.parameters if tool else {}
    schemas = parameters.get("properties", {})
    return {key: _value(text, allowed_kinds(schemas.get(key, True), parameters)) for key, text in values.items()}


def _value(text: str, kinds: frozenset[str]) -> Any:
    if not kinds - {"string"}:
        return text
    stripped = text.strip()
    if "boolean" in kinds and stripped.lower() in ("true", "false"):
        return stripped.lower() == "true"
    try:
        value, _ = decode(stripped)
    except JsonError:
        return text
    kind = kind_of(value)
    return value if kind in kinds or (kind == "integer" and "number" in kinds) else text
