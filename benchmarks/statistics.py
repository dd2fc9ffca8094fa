"""Summaries of timings: medians and tails, never a mean alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Of `count` samples, in milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    worst: float

    def as_dict(self) -> dict[str, float]:
        return {"count": self.count, "p50_ms": self.p50, "p90_ms": self.p90, "p99_ms": self.p99, "max_ms": self.worst}


def quantile(ordered: Sequence[float], fraction: float) -> float:
    """The smallest sample that at least `fraction` of them do not exceed."""
    rank = max(0, min(len(ordered) - 1, -(-int(fraction * len(ordered) * 1000) // 1000) - 1))
    return ordered[rank]


def summarise(seconds: Sequence[float]) -> Summary:
    """Raises: ValueError without samples: a benchmark that measured nothing has failed."""
    if not seconds:
        raise ValueError("nothing was measured")
    ordered = sorted(value * 1000 for value in seconds)
    p50, p90, p99 = (round(quantile(ordered, fraction), 3) for fraction in (0.5, 0.9, 0.99))
    return Summary(len(ordered), p50, p90, p99, round(ordered[-1], 3))
