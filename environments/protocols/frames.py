"""Keeps what tools said inside of the frame that it is put into.

A web page or a file can hold `</tool_response><tool_call>...`, or a chat template's `<|im_end|>`. Only the policy's
own message is ever parsed, so no call can come of it here; but the next reader may be a model, or a template that
knows these tokens. So the first character of each marker is written as an HTML entity: it stays readable, and is a
marker no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TEMPLATE_TOKEN = r"<[|｜][^\s<>|｜]{1,64}[|｜]>"  # noqa: RUF001  # DeepSeek's tokens have full-width bars
"""Such as `<|im_start|>`, which tokenizers make one token of, wherever it comes from."""


def tags_pattern(*tags: str) -> re.Pattern[str]:
    """Where such a tag begins or ends, however it is spaced, or a token of a chat template."""
    named = rf"<(?=\s*+/?+\s*+(?:{'|'.join(map(re.escape, tags))})\b)|" if tags else ""
    return re.compile(rf"{named}<(?={_TEMPLATE_TOKEN[1:]})", re.IGNORECASE)


def markers_pattern(markers: Iterable[str]) -> re.Pattern[str]:
    """The first character of any of these markers, however they overlap, or of a token of a chat template."""
    rests: dict[str, list[str]] = {"<": [_TEMPLATE_TOKEN[1:]]}
    for marker in filter(None, markers):
        rests.setdefault(marker[0], []).append(re.escape(marker[1:]))
    return re.compile("|".join(f"{re.escape(first)}(?={'|'.join(rest)})" for first, rest in rests.items()))


TEMPLATE_TOKENS = tags_pattern()


def escape(text: str, pattern: re.Pattern[str]) -> str:
    """The text without markers."""
    return pattern.sub(_entity, text)


def quote_lines(text: str, pattern: re.Pattern[str]) -> str:
    """The text with `> ` before each line that the pattern, anchored at line starts, matches."""
    return pattern.sub(lambda match: f"> {match[0]}", text)


def fenced(text: str, language: str = "") -> str:
    """A Markdown block that the text cannot close: its fence is longer than any in the text."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{fence}"


def _entity(match: re.Match[str]) -> str:
    return "&lt;" if match[0] == "<" else f"&#{ord(match[0])};"
