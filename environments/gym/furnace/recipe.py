"""What the workpiece shall go through: ramps, soaks and a cooling, as temperature over time.

A soak is scored once its first minutes, `equalise`, are over: a core is always behind its surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What a minute of a recipe is for."""

    RAMP = "ramp"
    EQUALISE = "equalise"
    SOAK = "soak"
    COOL = "cool"


@dataclass(frozen=True)
class Segment:
    """To `target` °C within `ramp` minutes, then `equalise` and `soak` minutes there."""

    target: float
    ramp: int
    equalise: int = 0
    soak: int = 0

    @property
    def minutes(self) -> int:
        return self.ramp + self.equalise + self.soak


@dataclass(frozen=True)
class Recipe:
    """Segments after one another, from `start` °C; the last one is the cooling."""

    start: float
    segments: tuple[Segment, ...]

    @property
    def minutes(self) -> int:
        return sum(segment.minutes for segment in self.segments)

    @property
    def top(self) -> float:
        """The highest target."""
        return max(segment.target for segment in self.segments)

    def target(self, minute: float) -> float:
        """What the workpiece should have then, °C; before the beginning the start's, after the end the last."""
        level, left = self.start, max(0.0, minute)
        for segment in self.segments:
            if left < segment.ramp:
                return level + (segment.target - level) * left / segment.ramp
            if left < segment.minutes:
                return segment.target
            level, left = segment.target, left - segment.minutes
        return level

    def phase(self, minute: float) -> Phase:
        """What the minute that begins then is for."""
        left = minute
        for number, segment in enumerate(self.segments):
            if left < segment.ramp:
                return Phase.COOL if number == len(self.segments) - 1 else Phase.RAMP
            if left < segment.ramp + segment.equalise:
                return Phase.EQUALISE
            if left < segment.minutes:
                return Phase.SOAK
            left -= segment.minutes
        return Phase.COOL

    def count(self, *phases: Phase) -> int:
        """Minutes of these phases."""
        return sum(self.phase(minute) in phases for minute in range(self.minutes))
