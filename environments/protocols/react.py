"""ReAct: labelled lines.

    Thought: I need the population.
    Action: lookup
    Action Input: {"city": "Oslo"}
    Observation: 717,710
    Thought: I now know the final answer.
    Final Answer: 717,710

A message begins anywhere in this, most often behind a `Thought:` that the prompt has written. Models that are not
stopped go on with an observation of their own making, and with what follows from it: nothing from there on is
believed. For a tool with one text argument, an input that is no JSON object is that argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from environments.protocols.draft import Draft
from environments.protocols.frames import TEMPLATE_TOKENS, escape, quote_lines, tags_pattern
from environments.protocols.hints import MAX_SHOWN_CHARS, quoted
from environments.protocols.jsoncalls import CallError, read_arguments
from environments.protocols.jsontext import JsonError, decode, encode
from environments.protocols.protocol import FormatProblem, JsonObject, Result, ToolSchema, Turn
from environments.protocols.reading import THINK, Reading
from environments.protocols.settings import TextSettings
from environments.protocols.text import TextProtocol, assistant

_LABELS = r"Thought|Action Input|Action|Observation|Final Answer"
_MARKERS = re.compile(rf"</?think>|\n[ \t]*+\*{{0,2}}+(?P<label>{_LABELS})\*{{0,2}}+:\*{{0,2}}+")
"""A label begins a line. The line break belongs to the marker, since a search for two characters is faster than one for
the beginnings of lines; the text is read with a line break in front."""
_LABELLED_LINES = re.compile(rf"^(?=[ \t]*+\*{{0,2}}+(?:{_LABELS}|Error)\*{{0,2}}+:)", re.MULTILINE | re.IGNORECASE)
_TAGS = tags_pattern("think")
_NO_INPUT = "an Action needs a line 'Action Input:' with a JSON object of arguments behind it"


@dataclass(frozen=True)
class ReActSettings(TextSettings):
    max_calls: int | None = 1


class ReAct(TextProtocol):
    name = "react"
    settings_type = ReActSettings
    no_action = (
        "there is neither an action nor an answer: write 'Action:' and 'Action Input:' lines to call a tool, or "
        "'Final Answer:' to finish"
    )

    def _read(self, text: str, draft: Draft) -> None:
        _Reading(f"\n{text}", draft, _MARKERS, THINK, self.settings.stop).run()

    def _render(self, turn: Turn) -> JsonObject:
        lines = [f"Thought: {turn.thought}"] if turn.thought else []
        for call in turn.calls:
            lines += [f"Action: {call.name}", f"Action Input: {encode(call.arguments)}"]
        return assistant("\n".join(lines if turn.calls else [*lines, f"Final Answer: {turn.answer or ''}"]))

    def _frame(self, result: Result) -> str:
        return f"Observation: {quote_lines(escape(result.content, _TAGS), _LABELLED_LINES)}"

    def _frame_problem(self, problem: FormatProblem) -> str:
        return f"Observation: Error: {escape(problem.message, TEMPLATE_TOKENS)}"

    def instructions(self, tools: Mapping[str, ToolSchema]) -> str | None:
        shown = "\n".join(
            f"{tool.name}: {tool.description} Arguments: {encode(tool.parameters)}" for tool in tools.values()
        )
        return (
            f"You can use these tools, shown with the JSON Schema of their arguments:\n{shown}\n\n"
            "Write in this form:\n"
            "Thought: what you think\n"
            f"Action: one of {', '.join(tools)}\n"
            'Action Input: its arguments as a JSON object, such as {"key": "value"}\n'
            "and stop: the result comes as\nObservation: ...\n"
            "Repeat this as often as you need. When you know the answer:\n"
            "Thought: I now know the final answer\n"
            "Final Answer: the answer"
        )


class _Reading(Reading):
    def __init__(
        self, text: str, draft: Draft, markers: re.Pattern[str], think: tuple[str, str], stop: tuple[str, ...]
    ) -> None:
        super().__init__(text, draft, markers, think, stop)
        self.forget()

    def forget(self) -> None:
        self._action: str | None = None
        self._call_id: str | None = None

    def at(self, match: re.Match[str]) -> None:
        label = match["label"]
        if self._action is not None and label != "Action Input":
            self._refuse_action()
        if label == "Observation":
            self.made_up("Observation:")
        elif label == "Action":
            self._at_action()
        elif label == "Action Input":
            self._at_input()
        elif label == "Final Answer":
            self._at_answer()

    def outside(self, start: int, end: int) -> None:
        text = self.text[start:end].strip()
        if not text:
            return
        if self.draft.attempts:
            self.draft.forgive("text_after_call", f"there is text after the action: {quoted(text[:40])}")
        else:
            self.draft.thoughts.append(text)

    def _at_action(self) -> None:
        end = self.text.find("\n", self.position)
        end = len(self.text) if end < 0 else end
        self._call_id = self.draft.open_call()
        if self._call_id is None:
            self.disbelieve()
            return
        self._action = self.text[self.position : end].strip().strip("`*")[: 2 * MAX_SHOWN_CHARS]
        self.position = end

    def _at_input(self) -> None:
        action, call_id, self._action = self._action, self._call_id, None
        if action is None or call_id is None:
            self.draft.refuse("bad_call", "'Action Input:' has to follow a line 'Action:' with the tool's name")
            return
        try:
            arguments = self._read_input(self.draft.tools.get(action), call_id)
        except CallError as error:
            self.draft.refuse(error.code, str(error), call_id)
            return
        self.draft.add_call(action, arguments, call_id)

    def _read_input(self, tool: ToolSchema | None, call_id: str) -> dict[str, Any]:
        """The arguments at `position`; goes on behind them."""
        start = self.position
        following = self._markers.search(self.text, start)
        end = following.start() if following else len(self.text)
        bare = self.text[start:end].strip()
        only = _only_text_argument(tool)
        if only is not None and not bare.startswith(("{", "```")):
            self.position = end
            return {only: _unquoted(bare)}
        try:
            arguments, end, forgiven = read_arguments(self.text, start)
        except CallError:
            self.position = end
            raise
        while self.text[end - 1].isspace():
            end -= 1  # the next label needs the line break before it
        self.position = end
        for code, message in forgiven:
            self.draft.forgive(code, message, call_id)
        return arguments

    def _at_answer(self) -> None:
        if self.draft.attempts:
            self.draft.forgive("text_after_call", "an answer beside an action is not taken: wait for the observation")
            self.disbelieve()
            return
        start = self.position
        self.disbelieve()
        if self.position == len(self.text):  # else what looks like an answer is still thought
            self.draft.answer = self.text[start:].strip()

    def _refuse_action(self) -> None:
        self.draft.refuse("bad_call", _NO_INPUT, self._call_id)
        self._action = None

    def finish(self) -> None:
        if self._action is not None:
            self._refuse_action()


def _only_text_argument(tool: ToolSchema | None) -> str | None:
    members = tool.parameters.get("properties", {}) if tool else {}
    if len(members) != 1:
        return None
    name, schema = next(iter(members.items()))
    return name if isinstance(schema, Mapping) and schema.get("type") == "string" else None


def _unquoted(text: str) -> str:
    """A text that is written as a JSON string is meant as what the string says."""
    if not text.startswith('"'):
        return text
    try:
        value, _ = decode(text)
    except JsonError:
        return text
    return value if isinstance(value, str) else text
