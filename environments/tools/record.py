"""What an episode's calls were: the server's own notes, which rewards are made of and no policy can write."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from environments.environment import JsonObject

MAX_CALLS = 1000


@dataclass(frozen=True)
class CallNote:
    """One call that ran, or was refused by a rule."""

    number: int
    """From 1: an answer cites it as observation[number]."""
    tool: str
    digest: str
    """Of name and arguments: the same digest is the same call."""
    error: bool = False
    seen: tuple[str, ...] = ()

    def as_json(self) -> JsonObject:
        """By hand: every step writes all of them, and `dataclasses.asdict` takes a hundred times as long."""
        return {
            "number": self.number, "tool": self.tool, "digest": self.digest, "error": self.error,
            "seen": list(self.seen),
        }  # fmt: skip


class CallRecord:
    """The calls of one generation, in order."""

    def __init__(self, notes: list[CallNote] | None = None, format_errors: int = 0) -> None:
        self.notes = notes or []
        self.format_errors = format_errors

    @property
    def next_number(self) -> int:
        return len(self.notes) + 1

    @property
    def used(self) -> Counter[str]:
        """Calls by tool."""
        return Counter(note.tool for note in self.notes)

    def repeats(self, digest: str) -> bool:
        """Whether the same call was made before."""
        return any(note.digest == digest for note in self.notes)

    def snapshot(self) -> JsonObject:
        return {"calls": [note.as_json() for note in self.notes], "format_errors": self.format_errors}

    @classmethod
    def restored(cls, state: JsonObject) -> CallRecord:
        notes = [CallNote(**{**note, "seen": tuple(note["seen"])}) for note in state["calls"]]
        return cls(notes, state["format_errors"])


def digest_of(name: str, arguments: Any) -> str:
    """Names a call by what it asks for."""
    text = json.dumps([name, arguments], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
