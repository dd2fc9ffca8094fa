"""Fenced code as the action.

    I will count the lines.
    ```bash
    wc -l data.csv
    ```

The first block in a configured language is handed to that language's tool; other blocks are text. A message without
such a block is the answer. A fence closes as in Markdown: a line of as many backticks or more, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from environments.protocols.draft import Draft
from environments.protocols.frames import TEMPLATE_TOKENS, escape, fenced, tags_pattern
from environments.protocols.hints import quoted, there_are
from environments.protocols.protocol import FormatProblem, JsonObject, Result, ToolSchema, Turn
from environments.protocols.reading import THINK, Reading
from environments.protocols.settings import TextSettings
from environments.protocols.text import TextProtocol, assistant, calls_text, takes_one, thought_text

_MARKERS = re.compile(r"</?think>|^ {0,3}(?P<fence>`{3,}+)(?P<language>[^`\n]*+)(?:\n|\Z)", re.MULTILINE)
_FENCE_LINE = re.compile(r"^ {0,3}(`{3,}+)[ \t\r]*+(?:\n|\Z)", re.MULTILINE)
_TAGS = tags_pattern("think")
_OUTPUT = ("output", "result", "stdout")

DEFAULT_BLOCKS: Mapping[str, Mapping[str, str]] = {
    "python": {"tool": "python", "argument": "code"},
    "py": {"tool": "python", "argument": "code"},
    "bash": {"tool": "bash", "argument": "command"},
    "sh": {"tool": "bash", "argument": "command"},
}


@dataclass(frozen=True)
class CodeBlockSettings(TextSettings):
    max_calls: int | None = 1
    blocks: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: DEFAULT_BLOCKS)
    """By a fence's language: the tool, and its one argument that takes the code. The first language of a tool is the
    one that it is rendered in."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.blocks, Mapping) or not self.blocks:
            raise ValueError(f"blocks is {quoted(self.blocks)}: an object with a member for each language")
        for language, target in self.blocks.items():
            if not isinstance(language, str) or not re.fullmatch(r"[\w+#.-]{1,32}", language):
                raise ValueError(f"blocks: {quoted(language)} is no language of a fence")
            if not _is_target(target):
                raise ValueError(f'blocks: {language} needs {{"tool": ..., "argument": ...}}, both texts')


def _is_target(target: Any) -> bool:
    return (
        isinstance(target, Mapping)
        and set(target) == {"tool", "argument"}
        and all(isinstance(value, str) and value for value in target.values())
    )


class CodeBlock(TextProtocol):
    name = "code_block"
    settings_type: ClassVar[type[TextSettings]] = CodeBlockSettings
    settings: CodeBlockSettings
    no_action = "there is neither a code block nor an answer"

    def check(self, tools: Mapping[str, ToolSchema]) -> None:
        targets = [(target["tool"], target["argument"]) for target in self.settings.blocks.values()]
        if not any(name in tools and takes_one(tools[name], argument) for name, argument in targets):
            wanted = " or ".join(dict.fromkeys(f"{quoted(name)} with {quoted(argument)}" for name, argument in targets))
            raise ValueError(f"{self.name} calls {wanted}, and no tool is called so; set 'blocks': {there_are(tools)}")

    def _read(self, text: str, draft: Draft) -> None:
        _Reading(text, draft, self.settings).run()

    def _render(self, turn: Turn) -> JsonObject:
        blocks = []
        for call in turn.calls:
            language, code = self._language(call.name, call.arguments)
            blocks.append(fenced(f"{code}\n", language))
        return assistant(calls_text(turn, thought_text(turn), blocks))

    def _language(self, tool: str, arguments: JsonObject) -> tuple[str, str]:
        for language, target in self.settings.blocks.items():
            if target["tool"] == tool and list(arguments) == [target["argument"]]:
                return language, arguments[target["argument"]]
        raise ValueError(f"{self.name} has no language for {quoted(tool)} with {', '.join(arguments) or 'no argument'}")

    def _frame(self, result: Result) -> str:
        return fenced(escape(result.content, _TAGS), "output")

    def _frame_problem(self, problem: FormatProblem) -> str:
        return fenced(f"Error: {escape(problem.message, TEMPLATE_TOKENS)}", "output")

    def instructions(self, tools: Mapping[str, ToolSchema]) -> str | None:
        lines = [
            f"- ```{language} runs {target['tool']}: {tools[target['tool']].description}"
            for language, target in self.settings.blocks.items()
            if target["tool"] in tools
        ]
        return (
            "To act, write one fenced code block in one of these languages:\n"
            + "\n".join(lines)
            + "\nClose it with ``` on a line of its own, and stop: the result comes in an ```output block. A message "
            "without such a block is your answer."
        )


class _Reading(Reading):
    def __init__(self, text: str, draft: Draft, settings: CodeBlockSettings) -> None:
        super().__init__(text, draft, _MARKERS, THINK, settings.stop)
        self._blocks = settings.blocks
        self._last = ""

    def at(self, match: re.Match[str]) -> None:
        language = match["language"].strip().lower()
        if self.draft.attempts and language in _OUTPUT:
            self.made_up(f"```{language}")
            return
        end, following = self._find_end(len(match["fence"]))
        if end < 0 and not self.is_cut_off("```"):
            self._at_unclosed(match, language)
            return
        end, following = (end, following) if end >= 0 else (len(self.text), len(self.text))
        code = self.text[self.position : end]
        self.position = following
        if language in self._blocks:
            self._take(self._blocks[language], code.removesuffix("\n").removesuffix("\r"))
        else:
            self.outside(match.start(), following)

    def outside(self, start: int, end: int) -> None:
        text = self.text[start:end]
        self.draft.texts.append(text)
        if text and not text.isspace():
            self._last = "text"

    def _find_end(self, length: int) -> tuple[int, int]:
        """Where the code ends, and where the text goes on; -1 where it does not end."""
        place = self.position
        while found := _FENCE_LINE.search(self.text, place):
            if len(found[1]) >= length:
                return found.start(), found.end()
            place = found.end()
        return -1, -1

    def _at_unclosed(self, match: re.Match[str], language: str) -> None:
        if language in self._blocks:
            message = "the code block is not closed by ``` on a line of its own, so it may be cut off"
            self.draft.refuse("unclosed_tag", message, self.draft.open_call())
            self._last = "call"
        else:
            self.outside(match.start(), len(self.text))
        self.disbelieve()

    def _take(self, target: Mapping[str, str], code: str) -> None:
        self._last = "call"
        call_id = self.draft.open_call()
        if call_id is None:
            self.disbelieve()
        elif not code.strip():
            self.draft.refuse("bad_call", "the code block is empty", call_id)
        else:
            self.draft.add_call(target["tool"], {target["argument"]: code}, call_id)

    def finish(self) -> None:
        if not self.draft.attempts:
            self.draft.answer = "".join(self.draft.texts).strip()
            self.draft.texts = []
        elif self._last == "text":
            self.draft.forgive("text_after_call", "there is text after the code block: wait for its output")
