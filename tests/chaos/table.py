"""The report of a campaign: what was done and broken, what was found, and how long coming back took."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.statistics import quantile
from tests.chaos.checker import INVARIANTS
from tests.chaos.faults import UNREACHABLE, WALK


class Report:
    """The lines of all seeds."""

    def __init__(self) -> None:
        self.seeds: list[dict[str, Any]] = []

    def add(self, line: dict[str, Any]) -> None:
        self.seeds.append(line)

    @classmethod
    def load(cls, file: Path) -> Report:
        report = cls()
        report.seeds = [json.loads(line) for line in file.read_text().splitlines()]
        return report

    def sum(self, member: str) -> int:
        return sum(int(line[member]) for line in self.seeds)

    def count(self, member: str) -> Counter[str]:
        return Counter(name for line in self.seeds for name in line[member])

    @property
    def broken(self) -> Counter[str]:
        """Violations by invariant."""
        return Counter(name for line in self.seeds for name, _ in line["violations"])

    @property
    def never_fired(self) -> list[str]:
        """Failpoints that were armed in some seed, fired in none, and ought to have."""
        armed, fired = self.count("armed"), self.count("fired")
        return [name for name in WALK if armed[name] and not fired[name] and name not in UNREACHABLE]

    @property
    def passed(self) -> bool:
        return not self.broken and not self.never_fired


def render(report: Report, kept: Path) -> str:
    """For people."""
    answered = [each[0] for line in report.seeds for each in line["recoveries"]]
    attached = [each[1] for line in report.seeds for each in line["recoveries"] if each[1] is not None]
    took = [line["took_s"] for line in report.seeds]
    lines = [
        "",
        f"seeds           {len(report.seeds)}, {sum(took) / 60:.1f} min, longest {max(took, default=0):.1f} s",
        f"calls sent      {report.sum('calls')}, answered {report.sum('answered')}",
        f"episodes        {report.sum('episodes')}, steps {report.sum('steps')}",
        "faults          " + _counted(report.count("faults")),
        f"recoveries      {len(answered)}",
        f"  exec to first answer      {_spread(answered)}",
        f"  exec to all re-attached   {_spread(attached)}",
        "",
        "failpoint                                    armed  fired",
    ]
    armed, fired = report.count("armed"), report.count("fired")
    lines += [f"{name:44} {armed[name]:5} {fired[name]:6} {UNREACHABLE.get(name, '')}".rstrip() for name in WALK]
    lines += ["", "invariant            violations"]
    lines += [f"{name:20} {report.broken[name]:10}  {_first_line(INVARIANTS[name].__doc__)}" for name in INVARIANTS]
    if report.never_fired:
        lines += ["", "armed and never fired: " + ", ".join(report.never_fired)]
    for line in report.seeds:
        if line["violations"]:
            lines.append(f"seed {line['seed']}: {kept}/seed-{line['seed']}.json; again: {_again(line['seed'])}")
            lines += [f"    {name}: {what}"[:600] for name, what in line["violations"][:5]]
    return "\n".join(lines)


def _again(seed: int) -> str:
    return f"python -m tests.chaos --seeds 1 --first-seed {seed}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _spread(values: list[float]) -> str:
    if not values:
        return "not measured"
    ordered = sorted(values)
    return f"p50 {quantile(ordered, 0.5):.2f} s, p99 {quantile(ordered, 0.99):.2f} s, worst {ordered[-1]:.2f} s"


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]
