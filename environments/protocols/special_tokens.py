"""Formats that differ in nothing but their tokens: yours, by configuration.

    <|call|>{"name": "search", "arguments": {"query": "rain"}}<|/call|>         body: json
    <|call|>search<|sep|>{"query": "rain"}<|/call|>                             body: name_then_json

Text outside of calls is the answer where there is no call, or only what stands between `answer_begin` and `answer_end`
where these are set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from environments.protocols.draft import Draft
from environments.protocols.frames import escape, markers_pattern
from environments.protocols.hints import quoted
from environments.protocols.jsoncalls import ReadCall, read_named_call, read_object_call
from environments.protocols.jsontext import encode
from environments.protocols.protocol import Call, FormatProblem, JsonObject, Result, ToolSchema, Turn
from environments.protocols.reading import marker_pattern
from environments.protocols.settings import TextSettings
from environments.protocols.text import CallReading, TextProtocol, assistant, calls_text, listed, thought_text

BODIES = ("json", "name_then_json")
_REQUIRED = ("call_begin", "result_begin", "result_end", "think_begin", "think_end")


@dataclass(frozen=True)
class SpecialTokensSettings(TextSettings):
    """The tokens. An empty one is not used."""

    call_begin: str = ""
    """Has to be set."""
    call_end: str = ""
    """Empty where a call ends with its JSON."""
    separator: str = ""
    """Between name and arguments, with `name_then_json`."""
    ignored: tuple[str, ...] = ()
    """Tokens that may stand around calls and mean nothing, such as `<|calls_begin|>`."""
    body: str = "json"
    """How a call is written: `json` or `name_then_json`."""
    arguments_key: str = "arguments"
    """The member of a `json` body that holds the arguments."""
    result_begin: str = ""
    """Has to be set."""
    result_end: str = ""
    """Has to be set."""
    answer_begin: str = ""
    answer_end: str = ""
    think_begin: str = "<think>"
    think_end: str = "</think>"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.body not in BODIES:
            raise ValueError(f"body is {quoted(self.body)}: one of {', '.join(BODIES)}")
        if self.separator and self.body == "json":
            raise ValueError(f"separator is {quoted(self.separator)}: only name_then_json has one")
        if bool(self.answer_begin) != bool(self.answer_end):
            raise ValueError("answer_begin and answer_end are set together, or not at all")
        for name in _REQUIRED:
            if not getattr(self, name):
                raise ValueError(f"{name} has to be set")
        self._check_tokens()

    def tokens(self) -> list[str]:
        """All that are used, but the separator."""
        named = (*_REQUIRED, "call_end", "answer_begin", "answer_end")
        return [token for token in (*(getattr(self, name) for name in named), *self.ignored) if token]

    def _check_tokens(self) -> None:
        tokens = self.tokens()
        for token in (*tokens, *filter(None, [self.separator])):
            if token[0].isalnum() or token[0] in "#{\"'" or set(token) & set("&;") or token != token.strip():
                raise ValueError(
                    f"{quoted(token)} cannot be a token: it begins with no letter, digit, quote, brace or #, holds "
                    "no & or ; and has no space around it"
                )
        if len(set(tokens)) < len(tokens):
            twice = next(token for token in tokens if tokens.count(token) > 1)
            raise ValueError(f"{quoted(twice)} is given for two tokens: each needs one of its own")


class SpecialTokens(TextProtocol):
    """Calls between two tokens, results between two others."""

    name = "special_tokens"
    settings_type: ClassVar[type[TextSettings]] = SpecialTokensSettings
    settings: SpecialTokensSettings

    def __init__(self, settings: SpecialTokensSettings) -> None:
        super().__init__(settings)
        self._markers = marker_pattern(settings.tokens())
        self._escaped = markers_pattern([*settings.tokens(), settings.separator])
        self._frame_escaped = markers_pattern([settings.result_begin, settings.result_end])

    @property
    def no_action(self) -> str:  # type: ignore[override]
        answer = (
            f"{self.settings.answer_begin}...{self.settings.answer_end}" if self.settings.answer_begin else "a text"
        )
        return f"there is neither a call nor an answer: write {self._form()}, or {answer}"

    def _read(self, text: str, draft: Draft) -> None:
        think = (self.settings.think_begin, self.settings.think_end)
        _Reading(text, draft, self._markers, think, self.settings).run()

    def _render(self, turn: Turn) -> JsonObject:
        thought = thought_text(turn, self.settings.think_begin, self.settings.think_end)
        answer = turn.answer
        if answer is not None and self.settings.answer_begin:
            answer = f"{self.settings.answer_begin}{answer}{self.settings.answer_end}"
        said = Turn(text=turn.text, answer=answer)
        return assistant(calls_text(said, thought, [self._call_text(call) for call in turn.calls]))

    def _call_text(self, call: Call) -> str:
        tokens = self.settings
        if tokens.body == "json":
            body = encode({"name": call.name, tokens.arguments_key: call.arguments})
        else:
            body = f"{call.name}{tokens.separator}{encode(call.arguments)}"
        return f"{tokens.call_begin}{body}{tokens.call_end}"

    def _frame(self, result: Result) -> str:
        return self._framed(escape(result.content, self._escaped))

    def _frame_problem(self, problem: FormatProblem) -> str:
        return self._framed(f"Error: {escape(problem.message, self._frame_escaped)}")

    def _framed(self, text: str) -> str:
        return f"{self.settings.result_begin}{text}{self.settings.result_end}"

    def _form(self) -> str:
        tokens = self.settings
        body = (
            f'{{"name": "...", "{tokens.arguments_key}": {{...}}}}'
            if tokens.body == "json"
            else f"name{tokens.separator}{{...}}"
        )
        return f"{tokens.call_begin}{body}{tokens.call_end}"

    def instructions(self, tools: Mapping[str, ToolSchema]) -> str | None:
        tokens = self.settings
        answer = f" between {tokens.answer_begin} and {tokens.answer_end}" if tokens.answer_begin else ""
        return (
            f"You can call these functions:\n{listed(tools)}\n\n"
            f"Think between {tokens.think_begin} and {tokens.think_end}. To call a function, write\n{self._form()}\n"
            f"with its arguments as a JSON object. Its result comes between {tokens.result_begin} and "
            f"{tokens.result_end}; never write these yourself. When you need no more calls, give your answer{answer}."
        )


class _Reading(CallReading):
    def __init__(
        self,
        text: str,
        draft: Draft,
        markers: re.Pattern[str],
        think: tuple[str, str],
        tokens: SpecialTokensSettings,
    ) -> None:
        super().__init__(text, draft, markers, think, tokens.stop)
        self._tokens = tokens
        self._in_answer = False
        self._answer: list[str] | None = None
        self._last = ""

    def forget(self) -> None:
        self._in_answer, self._answer, self._last = False, None, ""

    def at(self, match: re.Match[str]) -> None:
        tokens, marker = self._tokens, match[0]
        if self._in_answer and marker != tokens.answer_end:
            self.draft.refuse("stray_text", f"{marker} stands inside of the answer")
        elif marker == tokens.call_begin:
            self._at_call()
        elif marker == tokens.answer_begin:
            self._at_answer()
        elif marker == tokens.answer_end and self._in_answer:
            self._in_answer = False
        elif marker in (tokens.call_end, tokens.answer_end):
            # Where all text may be an answer, the remains of a broken call must not be one.
            report = self.draft.forgive if tokens.answer_begin else self.draft.refuse
            report("unclosed_tag", f"{marker} closes nothing")
        elif marker in (tokens.result_begin, tokens.result_end):
            self.made_up(marker)

    def outside(self, start: int, end: int) -> None:
        text = self.text[start:end]
        if self._in_answer and self._answer is not None:
            self._answer.append(text)
            return
        self.draft.texts.append(text)
        if text and not text.isspace():
            self._last = "text"
            if self._answer is not None:
                self.draft.forgive("stray_text", f"there is text after the answer: {quoted(text.strip()[:40])}")

    def read_call(self, closer: str) -> ReadCall:
        tokens = self._tokens
        if tokens.body == "json":
            return read_object_call(self.text, self.position, tokens.arguments_key)
        return read_named_call(self.text, self.position, closer, tokens.separator)

    def _at_call(self) -> None:
        if self._answer is not None:
            self.draft.refuse("too_many_calls", "a call after the answer does not run")
            self.disbelieve()
            return
        self._last = "call"
        self.take_call(self._tokens.call_end)

    def _at_answer(self) -> None:
        if self.draft.attempts:
            self.draft.forgive("text_after_call", "an answer beside a call is not taken: wait for the result")
        if self._answer is not None:
            self.draft.forgive("stray_text", "only the first answer counts")
            self.disbelieve()
            return
        self._in_answer, self._answer = True, []

    def finish(self) -> None:
        if self._in_answer and not self.is_cut_off(self._tokens.answer_end):
            self.draft.refuse("unclosed_tag", f"the answer is not closed by {self._tokens.answer_end}")
        if self.draft.attempts and self._last == "text":
            self.draft.forgive("text_after_call", "there is text after the last call: wait for the result")
        if self._tokens.answer_begin:
            self.draft.answer = "".join(self._answer or []).strip()
        elif not self.draft.attempts:
            self.draft.answer = "".join(self.draft.texts).strip()
            self.draft.texts = []
