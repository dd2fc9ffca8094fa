"""What a run of the suite found: for a person, for a program, and as a page."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from typing import Any

from envserver.probes.base import Category, Result


@dataclass
class Neighbour:
    """Times of a neighbour's smallest step, in seconds: measured, since a slow host is not a hole."""

    before: list[float] = field(default_factory=list)
    during: list[float] = field(default_factory=list)

    def as_dict(self) -> dict[str, float]:
        if not self.during:
            return {}
        return {
            "steps": len(self.during),
            "before_p50_ms": round(median(self.before) * 1000, 1),
            "during_p50_ms": round(median(self.during) * 1000, 1),
            "during_max_ms": round(max(self.during) * 1000, 1),
        }


@dataclass(frozen=True)
class Report:
    """One runtime's."""

    runtime: str
    results: tuple[Result, ...]
    neighbour: Neighbour
    duration_s: float

    @property
    def holds(self) -> bool:
        """Whether every probe that applies was denied what it tried."""
        return all(result.holds for result in self.results)

    @property
    def failures(self) -> list[Result]:
        return [result for result in self.results if not result.holds]

    def totals(self) -> dict[str, int]:
        """By `Result.word`."""
        counted = Counter(result.word for result in self.results)
        return {word: counted[word] for word in ("pass", "FAIL", "not applicable")}

    def by_category(self) -> Iterator[tuple[Category, list[Result]]]:
        for category in Category:
            if found := [result for result in self.results if result.probe.category is category]:
                yield category, found

    def facts(self) -> dict[str, str]:
        return {
            "runtime": self.runtime,
            "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
            "envserver": version("envserver"),
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.facts(),
            "ok": self.holds,
            "duration_s": round(self.duration_s, 1),
            "totals": self.totals(),
            "neighbour": self.neighbour.as_dict(),
            "probes": [_described(result, self.runtime) for result in self.results],
        }

    def markdown(self) -> str:
        """A page of its own."""
        totals = ", ".join(f"{count} {word}" for word, count in self.totals().items())
        lines = [f"# Containment: {self.runtime}", "", f"{totals}; {self.duration_s:.0f} s.", ""]
        lines += [f"- {name}: {value}" for name, value in {**self.facts(), **self.neighbour.as_dict()}.items()]
        for category, results in self.by_category():
            lines += [
                "",
                f"## {category}",
                "",
                "| probe | it tries to | result | outcome | control |",
                "|---|---|---|---|---|",
            ]
            lines += [_row(self.cells(result)) for result in results]
        return "\n".join([*lines, ""])

    def cells(self, result: Result) -> tuple[str, str, str, str, str]:
        """Of a table: probe, what it tries, result, outcome or reason, control."""
        probe = result.probe
        outcome = result.reason if result.outcome is None else result.outcome
        if not result.holds:
            outcome += f" (expected: {' or '.join(sorted(probe.passing(self.runtime)))})"
        return probe.name, probe.tries, result.word, outcome, probe.control.value


def _described(result: Result, runtime: str) -> dict[str, Any]:
    probe = result.probe
    difference = probe.differs.get(runtime)
    return {
        "name": probe.name,
        "category": probe.category.value,
        "tries": probe.tries,
        "control": probe.control.value,
        "passes": sorted(probe.passing(runtime)),
        "differs": difference.reason if difference else None,
        "result": result.word.lower(),
        "outcome": result.outcome,
        "reason": result.reason,
    }


def _row(cells: Sequence[str]) -> str:
    """Of a Markdown table: what comes from inside must neither end a cell nor begin another construct."""
    escaped = (cell.encode("ascii", "backslashreplace").decode() for cell in cells)
    return "| " + " | ".join(" ".join(cell.translate(_MARKDOWN).split()) for cell in escaped) + " |"


_MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>()#|!"})
