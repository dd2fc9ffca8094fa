"""Search-R1: one tool, called by a query in tags.

    <think>Who wrote it?</think><search> author of Dune </search>
    <information>Dune is a novel by Frank Herbert ...</information>
    <answer> Frank Herbert </answer>

The first of search and answer counts. A query is plain text, which does not tell where it ends: one that is not
closed may be cut off and does not run, unless `stop` says that the sampler leaves the tag out. Format:
https://github.com/PeterGriffinJin/Search-R1
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from environments.protocols.draft import Draft
from environments.protocols.frames import escape, tags_pattern
from environments.protocols.hints import did_you_mean, quoted
from environments.protocols.protocol import FormatProblem, JsonObject, Result, ToolSchema, Turn
from environments.protocols.reading import THINK, Reading, marker_pattern
from environments.protocols.settings import TextSettings
from environments.protocols.text import TextProtocol, assistant, takes_one, thought_text

_MARKERS = marker_pattern([*THINK, "<search>", "</search>", "<answer>", "</answer>", "<information>", "</information>"])
_TAGS = tags_pattern("information", "search", "answer", "think")
_FRAME = tags_pattern("information")


@dataclass(frozen=True)
class SearchR1Settings(TextSettings):
    max_calls: int | None = 1
    tool: str = "search_web"
    """The tool that searches."""
    argument: str = "query"
    """Its argument that takes the query."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("tool", "argument"):
            if not getattr(self, name):
                raise ValueError(f"{name} has to be set")


class SearchR1(TextProtocol):
    name = "search_r1"
    settings_type: ClassVar[type[TextSettings]] = SearchR1Settings
    settings: SearchR1Settings
    no_action = (
        "there is neither a search nor an answer: write <search>...</search> to search, or <answer>...</answer> to "
        "finish"
    )

    def check(self, tools: Mapping[str, ToolSchema]) -> None:
        name, argument = self.settings.tool, self.settings.argument
        if name not in tools:
            hint = did_you_mean(name, tools)
            raise ValueError(f"{self.name} calls {quoted(name)}, and there is no such tool; set 'tool': {hint}")
        if not takes_one(tools[name], argument):
            raise ValueError(f"{self.name} calls {name} with {quoted(argument)} alone, which it does not take")

    def _read(self, text: str, draft: Draft) -> None:
        _Reading(text, draft, self.settings).run()

    def _render(self, turn: Turn) -> JsonObject:
        for call in turn.calls:
            if call.name != self.settings.tool or list(call.arguments) != [self.settings.argument]:
                raise ValueError(f"{self.name} calls {self.settings.tool} with {self.settings.argument}, nothing else")
        calls = "".join(f"<search>{call.arguments[self.settings.argument]}</search>" for call in turn.calls)
        return assistant(f"{thought_text(turn)}{calls}{'' if turn.calls else f'<answer>{turn.answer}</answer>'}")

    def _frame(self, result: Result) -> str:
        return f"<information>{escape(result.content, _TAGS)}</information>"

    def _frame_problem(self, problem: FormatProblem) -> str:
        return f"<information>Error: {escape(problem.message, _FRAME)}</information>"

    def instructions(self, tools: Mapping[str, ToolSchema]) -> str | None:
        return (
            "Reason inside <think> and </think> whenever you have learnt something new. If you lack knowledge, search "
            "for it with <search>query</search>: the results come between <information> and </information>. Search as "
            "often as you need. Then give the answer alone, without explanations: <answer>Beijing</answer>."
        )


class _Reading(Reading):
    def __init__(self, text: str, draft: Draft, settings: SearchR1Settings) -> None:
        super().__init__(text, draft, _MARKERS, THINK, settings.stop)
        self._settings = settings
        self.forget()

    def forget(self) -> None:
        self._open = ""
        self._body: list[str] = []
        self._answered = False
        self._torn = False
        """A thought stands inside of the open tag: the query without it is none that the text contains."""

    def at(self, match: re.Match[str]) -> None:
        marker = match[0]
        if self._open:
            self._at_end(marker)
        elif marker in ("<search>", "<answer>"):
            self._at_begin(marker)
        elif marker in ("<information>", "</information>"):
            self.made_up(marker)
        else:
            self.draft.forgive("unclosed_tag", f"{marker} closes nothing")

    def outside(self, start: int, end: int) -> None:
        text = self.text[start:end]
        if self._open:
            self._body.append(text)
        elif text and not text.isspace():
            code = "text_after_call" if self.draft.attempts else "stray_text"
            self.draft.forgive(code, f"there is text outside of the tags: {quoted(text.strip()[:40])}")

    def at_thought(self) -> None:
        self._torn = bool(self._open)

    def _at_begin(self, marker: str) -> None:
        if self._answered or (marker == "<answer>" and self.draft.attempts):
            self.draft.forgive("text_after_call", f"{marker} after a search or an answer does not count")
            self.disbelieve()
            return
        self._open, self._body, self._torn = marker, [], False

    def _at_end(self, marker: str) -> None:
        closer = self._open.replace("<", "</")
        if marker == closer:
            self._take("".join(self._body).strip())
            return
        call_id = self.draft.open_call() if self._open == "<search>" else None
        self.draft.refuse("unclosed_tag", f"{self._open} is not closed by {closer} before {marker}", call_id)
        self._open = ""
        self.disbelieve()

    def _take(self, body: str) -> None:
        opened, self._open = self._open, ""
        if opened == "<answer>":
            self.draft.answer, self._answered = body, True
            return
        call_id = self.draft.open_call()
        if call_id is None:
            self.disbelieve()
        elif self._torn:
            self.draft.refuse("bad_call", "a thought stands inside of <search>: think before it", call_id)
        elif not body:
            self.draft.refuse("wrong_arguments", "the query is empty: write it between <search> and </search>", call_id)
        else:
            self.draft.add_call(self._settings.tool, {self._settings.argument: body}, call_id)

    def finish(self) -> None:
        if not self._open:
            return
        closer = self._open.replace("<", "</")
        if self.is_cut_off(closer):
            self._take("".join(self._body).strip())
        else:
            call_id = self.draft.open_call() if self._open == "<search>" else None
            self.draft.refuse("unclosed_tag", f"{self._open} is not closed by {closer}, so it may be cut off", call_id)
