"""What a check finds, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`warn` is worth a look; `fail` keeps a node from starting or from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Purpose(StrEnum):
    """What the checks are asked for: before a node is started, or to look at everything."""

    UP = "up"
    ALL = "all"


@dataclass(frozen=True)
class Finding:
    """One check's result; whatever is not ok names its remedy."""

    name: str
    level: Level
    detail: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "level": self.level.value, "detail": self.detail, "remedy": self.remedy}


@dataclass(frozen=True)
class Settings:
    """Where the node is, or is to be."""

    project: str = "envserver"
    host: str = "127.0.0.1"
    port: int = 8000
    url: str = "http://127.0.0.1:8000"
    layers_gib: float = 16.0
