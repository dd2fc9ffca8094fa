"""What a policy did to a world, turn by turn: the server's own notes, from which the graders make a verdict.

Notes are small, since they are part of every snapshot: results and states are digests, and of a state only those parts
that have changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from environments.environment import JsonObject
from environments.tools.worlds.session import WorldAnswer


@dataclass(frozen=True)
class Call:
    """One call that ran."""

    tool: str
    arguments: JsonObject
    result: str = ""
    """Digest of what it answered."""
    error: bool = False
    changed: tuple[str, ...] = ()
    """The parts of the state that it changed."""

    def as_json(self) -> JsonObject:
        members: JsonObject = {"tool": self.tool, "arguments": self.arguments, "result": self.result}
        return members | {"error": self.error, "changed": list(self.changed)}

    @classmethod
    def of(cls, data: JsonObject) -> Call:
        return cls(data["tool"], data["arguments"], data["result"], data["error"], tuple(data["changed"]))


@dataclass
class Turn:
    """What happened between two utterances of the user."""

    calls: list[Call] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    """Of the parts of the state that were another at the turn's beginning."""

    def add(self, tool: str, arguments: JsonObject, answer: WorldAnswer) -> None:
        self.digests |= answer.digests
        changed = tuple(sorted(answer.digests))
        self.calls.append(Call(tool, arguments, result_digest(answer.text), answer.error, changed))

    def as_json(self) -> JsonObject:
        return {"calls": [call.as_json() for call in self.calls], "digests": self.digests}

    @classmethod
    def of(cls, data: JsonObject) -> Turn:
        return cls([Call.of(call) for call in data["calls"]], dict(data["digests"]))


@dataclass
class WorldRecord:
    """All turns of one generation. `beginning` are the digests of the whole state before the first."""

    beginning: dict[str, str] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=lambda: [Turn()])
    lost: bool = False
    """The world ended before the episode did."""

    def begin_turn(self, number: int) -> None:
        while len(self.turns) < number:
            self.turns.append(Turn())

    def states(self) -> list[dict[str, str]]:
        """The whole state at the end of each turn."""
        state, states = dict(self.beginning), []
        for turn in self.turns:
            state = {part: digest for part, digest in {**state, **turn.digests}.items() if digest}
            states.append(state)
        return states

    def as_json(self) -> JsonObject:
        turns: list[Any] = [turn.as_json() for turn in self.turns]
        return {"beginning": self.beginning, "turns": turns, "lost": self.lost}

    @classmethod
    def of(cls, data: JsonObject) -> WorldRecord:
        return cls(dict(data["beginning"]), [Turn.of(turn) for turn in data["turns"]], data["lost"])


def result_digest(text: str) -> str:
    """Half of SHA-256 is plenty for results that nobody chose freely."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
