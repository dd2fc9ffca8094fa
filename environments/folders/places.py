"""Faults of a task set, each with the place where it is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Fault:
    """What is wrong, with which value, and what would be right; `line` counts from 1, 0 is the file as a whole."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}" if self.line else f"{self.path}: {self.reason}"


class TaskFolderError(Exception):
    """A folder is no task set that could be played; `faults` has every reason, in the order of files and lines."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(map(str, self.faults)))


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where something known is like it, else what is known."""
    names = sorted(known)
    like = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {like[0]!r}?" if like else f"; known: {', '.join(names)}"
