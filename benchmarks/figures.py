"""What a benchmark reports, and how much it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.statistics import Summary


@dataclass(frozen=True)
class Sizes:
    creates: int = 40
    steps: int = 1000
    in_flight: int = 16
    throughput_steps: int = 4000
    churn_episodes: int = 160
    idle_episodes: int = 20
    peer_rounds: int = 10
    pool_claims: int = 30
    density_episodes: int = 1000
    density_s: float = 30.0


SHORT = Sizes(
    creates=5,
    steps=50,
    in_flight=4,
    throughput_steps=100,
    churn_episodes=12,
    idle_episodes=3,
    peer_rounds=2,
    pool_claims=3,
    density_episodes=20,
    density_s=2.0,
)


@dataclass(frozen=True)
class Figure:
    """One line of the report: a summary of times, or a single value with its unit."""

    name: str
    target: str
    times: Summary | None = None
    value: float | None = None
    unit: str = ""

    def as_dict(self) -> dict[str, Any]:
        measured = self.times.as_dict() if self.times else {"value": self.value, "unit": self.unit}
        return {"name": self.name, "target": self.target, **measured}
