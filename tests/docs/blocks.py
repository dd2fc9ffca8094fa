"""Finds the fenced blocks of a Markdown file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
_NOT_RUN = re.compile(r"<!--\s*not run: (?P<reason>.+?)\s*-->")


@dataclass(frozen=True)
class Block:
    path: Path
    line: int
    language: str
    text: str
    not_run: str | None
    """The reason that the file gives in a comment right before the block."""

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Everything that users and contributors read."""
    patterns = ("*.md", "docs/*.md", "sdk/*.md", "environments/**/*.md", "examples/**/*.md")
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def find_blocks(path: Path) -> Iterator[Block]:
    lines = path.read_text().splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        first = number
        while lines[number].strip() != "```":
            number += 1
        indent = len(opening["indent"])
        comment = _NOT_RUN.search(_last_text(lines[: first - 1]))
        yield Block(
            path,
            first,
            opening["language"],
            "\n".join(line[indent:] for line in lines[first:number]) + "\n",
            comment["reason"] if comment else None,
        )
        number += 1


def _last_text(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line.strip()), "")
