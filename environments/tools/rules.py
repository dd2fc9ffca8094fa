"""What limits an episode's calls: budgets, latency, failures, and how much of a long result is shown at once.

All chance comes from the seed of the call, so that a step which is gone through again meets the same luck.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

ALL = "*"
MAX_LATENCY_S = 60.0
MIN_PAGE_CHARS = 200


@dataclass(frozen=True)
class Rules:
    """The members of a task's or a caller's options with these names; a caller's come first."""

    budgets: Mapping[str, int] = field(default_factory=dict)
    """Most calls of a tool, by its name; `*` is for all together."""
    latency_s: tuple[float, float] = (0.0, 0.0)
    """Each call takes so much longer, at least and at most."""
    failure_rate: float = 0.0
    """Of calls that fail without having run, as a service that is away does."""
    page_chars: int = 6000
    """A longer result is shown in pages of so many characters."""

    def __post_init__(self) -> None:
        low, high = self.latency_s
        if not 0 <= low <= high <= MAX_LATENCY_S:
            raise ValueError(f"latency_s is {[low, high]}: two numbers from 0 to {MAX_LATENCY_S:g}, the smaller first")
        if not 0 <= self.failure_rate <= 1:
            raise ValueError(f"failure_rate is {self.failure_rate}: a number from 0 to 1")
        if self.page_chars < MIN_PAGE_CHARS:
            raise ValueError(f"page_chars is {self.page_chars}: at least {MIN_PAGE_CHARS}")
        for name, most in self.budgets.items():
            if most < 0:
                raise ValueError(f"budgets: {name} is {most}: 0 or more")

    def exceeded(self, used: Mapping[str, int], name: str) -> str | None:
        """Which budget another call of `name` would exceed, in words for the policy."""
        total = sum(used.values())
        if ALL in self.budgets and total >= self.budgets[ALL]:
            return f"all {self.budgets[ALL]} calls of this episode are used up: give your answer"
        if name in self.budgets and used.get(name, 0) >= self.budgets[name]:
            return f"all {self.budgets[name]} calls of {name} are used up; other tools may have some left"
        return None

    def luck(self, seed: int) -> Luck:
        """Of one call."""
        if not self.failure_rate and not self.latency_s[1]:
            return Luck(0.0, fails=False)
        rng = random.Random(seed)
        return Luck(rng.uniform(*self.latency_s), fails=rng.random() < self.failure_rate)


@dataclass(frozen=True)
class Luck:
    """What the world around a tool does to one call."""

    latency_s: float
    fails: bool


RULES = frozenset(each.name for each in fields(Rules))


def parse_rules(*levels: Mapping[str, Any]) -> Rules:
    """Rules from options: what comes later wins, of two budgets the smaller. Raises: ValueError, naming the member."""
    members: dict[str, Any] = {}
    budgets: dict[str, int] = {}
    for level in levels:
        for name in RULES & level.keys():
            members[name] = _typed(name, level[name])
        for tool, most in members.pop("budgets", {}).items():
            budgets[tool] = min(most, budgets.get(tool, most))
    return Rules(budgets=budgets, **members)


def _typed(name: str, value: Any) -> Any:
    if name == "budgets" and isinstance(value, Mapping) and all(type(most) is int for most in value.values()):
        return dict(value)
    if name == "latency_s" and isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value)):
        return (float(value[0]), float(value[1]))
    if name == "failure_rate" and _is_number(value):
        return float(value)
    if name == "page_chars" and type(value) is int:
        return value
    raise ValueError(f"{name} is {str(value)[:80]!r}; see docs/tools.md for what it takes")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
