"""What happened in one seed: every attempt at a call with the very bytes of its answer, every fault, what was left.

The checker sees nothing else, so a saved history can be checked again without a node.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

Document = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One attempt at one call. Times are seconds since the seed began."""

    client: int
    via: str
    """http, ws, sdk, or copy: the proxy sent a client's request once more."""
    op: str
    """As the WebSocket's method is called."""
    target: str = ""
    """The episode, checkpoint or group that it is about."""
    key: str = ""
    generation: int = 0
    index: int = 0
    kind: str = ""
    """Of a step: what its action is like (workload.ACTIONS)."""
    token: str = ""
    """Of a step: what its action appends to a file; of a put: the file's content."""
    sent_at: float = 0.0
    ended_at: float = 0.0
    status: int = 0
    """0: the connection ended without an answer."""
    body: str = ""
    """The answer's bytes, a character each (latin-1); from the SDK the model's JSON."""

    @property
    def ok(self) -> bool:
        """Answered with a result."""
        return self.status in (200, 201)

    @property
    def document(self) -> Document:
        """The answer, if it is an object."""
        try:
            document = json.loads(self.body.encode("latin-1"))
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def code(self) -> str:
        """Which problem was answered; empty for a result."""
        return "" if self.ok else str(self.document.get("type", "")).rpartition(":")[2]

    @property
    def name(self) -> tuple[str, int, int]:
        """Of the step that this is about."""
        return self.target, self.generation, self.index


@dataclass(frozen=True)
class Seen:
    """What stood in the file of tokens of an episode's world, while none of its steps ran."""

    episode: str
    generation: int
    index: int
    """Of the last step that was answered before."""
    tokens: list[str]
    at: float


@dataclass(frozen=True)
class Fault:
    """Something that was broken on purpose."""

    kind: str
    at: float
    until: float
    detail: str = ""
    """A failpoint's name, an episode's id."""


@dataclass(frozen=True)
class Start:
    """One start of the server over what an earlier one left. Seconds from its exec."""

    at: float
    answered_s: float
    attached_s: float | None
    """Until no episode was on its way any more; None where it was killed before."""
    episodes: int = 0


@dataclass(frozen=True)
class World:
    """One generation of an episode, as the journal has it."""

    episode: str
    generation: int
    origin: str
    first_index: int
    parent: tuple[str, int] | None
    kind: str
    """Of the checkpoint that it began from; empty without one."""
    key: str


@dataclass(frozen=True)
class Kept:
    """One step as the journal has it."""

    episode: str
    generation: int
    index: int
    action: str
    result: str | None
    """latin-1, as in `Call.body`."""


@dataclass(frozen=True)
class Ended:
    """One episode as the journal has it."""

    episode: str
    state: str
    reason: str
    closed: bool
    key: str
    group: str
    generation: int
    index: int
    reward: float
    grade: str | None


@dataclass(frozen=True)
class SavedState:
    """One checkpoint as the journal has it."""

    checkpoint: str
    episode: str
    kind: str
    automatic: bool
    key: str
    deleted: bool


@dataclass
class Final:
    """What was left when everything had been driven to its end."""

    worlds: list[World] = field(default_factory=list)
    steps: list[Kept] = field(default_factory=list)
    episodes: list[Ended] = field(default_factory=list)
    checkpoints: list[SavedState] = field(default_factory=list)
    forgetful: bool = False
    """The journal was told to forget closed episodes: what is missing there was there once."""
    open_episodes: list[str] = field(default_factory=list)
    capacity: Document = field(default_factory=dict)
    quota_free: bool = True
    """An episode that takes the tenant's whole quota of disk could be made."""
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    """What that is, where it differs."""
    defects: list[str] = field(default_factory=list)
    """Lines of the server's log that only a defect writes, and exits that nobody asked for."""
    unfinished: list[str] = field(default_factory=list)
    """What was not answered in time once all faults were over."""


@dataclass
class History:
    """All of one seed."""

    seed: int
    calls: list[Call] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    fired: list[str] = field(default_factory=list)
    """Failpoints at which a process was killed."""
    final: Final = field(default_factory=Final)

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def load(cls, file: Path) -> History:
        return TypeAdapter(cls).validate_json(file.read_text())
