"""What is measured: thermocouples that lag, are noisy, and may fail without saying so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from random import Random

ABSENT = -273.15
"""What a sensor without a signal reads."""
LOWEST, HIGHEST = ABSENT, 2000.0


class Fault(StrEnum):
    """How a sensor fails."""

    STUCK = "stuck"
    """It goes on saying what it said last."""
    DRIFT = "drift"
    """It says more and more, or less and less: `rate` K a minute."""
    DROPOUT = "dropout"
    """It says nothing in some minutes, at random: in a share of `rate`."""


@dataclass(frozen=True)
class Failure:
    """One sensor's, from one minute to another."""

    sensor: str
    fault: Fault
    begins: int
    ends: int = 1_000_000
    rate: float = 0.0


@dataclass(frozen=True)
class Gauge:
    """How a thermocouple is made."""

    lag_s: float = 15.0
    noise: float = 0.6
    """Standard deviation, K."""
    offset: float = 0.0


class Thermocouple:
    """One sensor; `read` once a minute."""

    def __init__(self, gauge: Gauge, temperature: float, failures: tuple[Failure, ...]) -> None:
        self._gauge = gauge
        self._junction = temperature
        self._failures = failures
        self._last = temperature

    def follow(self, temperature: float, seconds: float) -> None:
        """The junction comes closer to what it is in: a first-order lag, solved exactly."""
        self._junction += (temperature - self._junction) * -math.expm1(-seconds / self._gauge.lag_s)

    def read(self, minute: int, random: Random) -> float:
        """°C. Two numbers are drawn whatever happens, so that a fault changes nobody else's noise."""
        noise, chance = random.gauss(), random.random()
        value = self._junction + self._gauge.offset + self._gauge.noise * noise
        for failure in self._failures:
            if failure.begins <= minute < failure.ends:
                value = self._failed(failure, value, minute, chance)
        value = min(HIGHEST, max(LOWEST, value))
        if value != ABSENT:
            self._last = value
        return value

    def _failed(self, failure: Failure, value: float, minute: int, chance: float) -> float:
        if failure.fault is Fault.STUCK:
            return self._last
        if failure.fault is Fault.DRIFT:
            return value + failure.rate * (minute - failure.begins)
        return ABSENT if chance < failure.rate else value
