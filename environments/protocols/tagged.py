"""Thought and answer in tags, the answer being a call or final.

    <think>I need the population.</think><answer><tool>lookup{"city": "Oslo"}</tool></answer>
    observation[1]: 717,710
    <think>That is all.</think><answer>717,710 people, see observation[1].</answer>

The first tool runs. The number in the reply is the observation's in the episode, so that the final answer can cite it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from environments.protocols.draft import Draft
from environments.protocols.frames import TEMPLATE_TOKENS, escape, quote_lines, tags_pattern
from environments.protocols.hints import quoted
from environments.protocols.jsoncalls import ReadCall, read_named_call
from environments.protocols.jsontext import encode
from environments.protocols.protocol import FormatProblem, JsonObject, Result, ToolSchema, Turn
from environments.protocols.reading import THINK, marker_pattern
from environments.protocols.settings import TextSettings
from environments.protocols.text import CallReading, TextProtocol, assistant, thought_text

_MARKERS = marker_pattern([*THINK, "<answer>", "</answer>", "<tool>", "</tool>"])
_TAGS = tags_pattern("think", "answer", "tool")
_REPLY_LINES = re.compile(r"^(?=[ \t]*+(?:observation\[|error:))", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class TaggedSettings(TextSettings):
    max_calls: int | None = 1


class Tagged(TextProtocol):
    name = "tagged"
    settings_type = TaggedSettings
    no_action = (
        "there is no answer: write <think>...</think><answer><tool>name{...}</tool></answer> to call a tool, or "
        "<answer>...</answer> to finish"
    )

    def _read(self, text: str, draft: Draft) -> None:
        _Reading(text, draft, _MARKERS, THINK, self.settings.stop).run()

    def _render(self, turn: Turn) -> JsonObject:
        calls = "".join(f"<tool>{call.name}{encode(call.arguments)}</tool>" for call in turn.calls)
        return assistant(f"{thought_text(turn)}<answer>{calls}{turn.answer or ''}</answer>")

    def _frame(self, result: Result) -> str:
        label = "error" if result.number is None else f"observation[{result.number}]"
        return f"{label}: {quote_lines(escape(result.content, _TAGS), _REPLY_LINES)}"

    def _frame_problem(self, problem: FormatProblem) -> str:
        return f"error: {escape(problem.message, TEMPLATE_TOKENS)}"

    def instructions(self, tools: Mapping[str, ToolSchema]) -> str | None:
        shown = "\n".join(f"{tool.name}{encode(tool.parameters)}: {tool.description}" for tool in tools.values())
        return (
            f"You can call these tools, shown with the JSON Schema of their arguments:\n{shown}\n\n"
            "In each message, think first and then answer with one call:\n"
            "<think>...</think><answer><tool>name{...}</tool></answer>\n"
            "The reply is observation[i]: ..., i being its number. When you know the answer, finish with\n"
            "<think>...</think><answer>...</answer>\n"
            "where you can cite what you saw as observation[i]."
        )


class _Reading(CallReading):
    def __init__(
        self, text: str, draft: Draft, markers: re.Pattern[str], think: tuple[str, str], stop: tuple[str, ...]
    ) -> None:
        super().__init__(text, draft, markers, think, stop)
        self.forget()

    def forget(self) -> None:
        self._in_answer = False
        self._answered = False
        self._answer: list[str] = []

    def at(self, match: re.Match[str]) -> None:
        marker = match[0]
        if marker == "<answer>":
            self._at_answer()
        elif marker == "<tool>":
            self._at_tool()
        elif marker == "</answer>" and self._in_answer:
            self._in_answer = False
        else:
            self.draft.forgive("unclosed_tag", f"{marker} closes nothing")

    def outside(self, start: int, end: int) -> None:
        text = self.text[start:end]
        if self._in_answer:
            self._answer.append(text)
        elif text and not text.isspace():
            code = "text_after_call" if self.draft.attempts else "stray_text"
            place = "after" if self._answered else "before"
            self.draft.forgive(code, f"there is text {place} the answer: {quoted(text.strip()[:40])}")

    def read_call(self, closer: str) -> ReadCall:
        return read_named_call(self.text, self.position, closer)

    def _at_answer(self) -> None:
        if self._answered:
            self.draft.forgive("stray_text", "only the first <answer> counts")
            self.disbelieve()
        self._in_answer = not self._answered
        self._answered = True

    def _at_tool(self) -> None:
        if not self._in_answer:
            self.draft.refuse("bad_call", "a <tool> has to stand inside of <answer>...</answer>")
            self.disbelieve()
            return
        self.take_call("</tool>")

    def finish(self) -> None:
        answer = "".join(self._answer).strip()
        if self._in_answer and self.believed and not self.is_cut_off("</answer>"):
            if self.draft.attempts:
                self.draft.forgive("unclosed_tag", "the answer is not closed by </answer>")
            else:
                self.draft.refuse("unclosed_tag", "the answer is not closed by </answer>, so it may be cut off")
        if self.draft.attempts and answer:
            self.draft.forgive("stray_text", f"there is text beside the call: {quoted(answer[:40])}")
        self.draft.answer = answer
