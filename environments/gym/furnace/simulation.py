"""A run of a scenario, minute by minute: commands in, readings and events out.

A command for power takes effect after the scenario's delay; the interlock and a weak supply may take it away. The
interlock has a sensor of its own that does not fail. Everything that is random comes from the seed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

from environments.gym.furnace.scenarios import SENSORS, Scenario, varied
from environments.gym.furnace.scoring import Score
from environments.gym.furnace.sensors import Gauge, Thermocouple

SLICE_S = 10
"""Between two looks of the interlock."""
REARMED_BELOW = 60.0
"""K below the limit at which the interlock gives power back."""
HOT_DOOR = 600.0
"""°C in the chamber above which the door must stay closed."""
MAX_TRIPS = 3
OFFSET = 1.0
"""Standard deviation of a sensor's constant error, K."""


@dataclass(frozen=True)
class Readings:
    """What there is to know at the end of a minute."""

    minute: int
    sensors: dict[str, float]
    power: float
    """Share of the full power that is delivered."""
    door: bool
    interlock: bool
    price: float


class Run:
    """One scenario with one seed."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.plant = varied(scenario.plant, seed)
        self.state = self.plant.at_rest()
        self.minute = 0
        self.cost = self.energy_kwh = 0.0
        self.trips = 0
        self.interlock = self.over = False
        self.score = Score(scenario)
        self._random = Random(seed)
        self._delivered = 0.0
        self._door = False
        self._pending = deque([0.0] * (scenario.delay_s // SLICE_S))
        self._sensors = {name: self._sensor(name) for name in SENSORS}

    def _sensor(self, name: str) -> Thermocouple:
        gauge = Gauge(offset=OFFSET * self._random.gauss())
        failures = tuple(failure for failure in self.scenario.failures if failure.sensor == name)
        return Thermocouple(gauge, self.plant.ambient, failures)

    def readings(self) -> Readings:
        """Drawn anew each time: once a minute."""
        values = {name: sensor.read(self.minute, self._random) for name, sensor in self._sensors.items()}
        price = self.scenario.price(self.minute)
        return Readings(self.minute, values, self._delivered, self._door, self.interlock, price)

    def advance(self, power: float, door: bool) -> list[str]:
        """One minute with these commands; what happened in it. Ends the run after the recipe's last."""
        events: list[str] = []
        self._open(door, events)
        for _ in range(60 // SLICE_S):
            self._slice(power)
            self._watch(events)
        surface, core = self.state[3:]
        self.score.minute(self.minute, surface, core)
        if abs(surface - core) > self.scenario.crack:
            events.append("crack")
        for event in events:
            self.score.event(event)
        self.minute += 1
        if self.minute >= self.scenario.recipe.minutes or {"crack", "emergency_stop"} & set(events):
            self.end()
        return events

    def end(self) -> None:
        """Unload, whatever is left of the recipe."""
        if not self.over:
            self.over = True
            self.score.end(self.state[4], self.cost)

    def _open(self, wanted: bool, events: list[str]) -> None:
        """The policy's door; a visitor's opens it, too, and is nobody's fault."""
        if wanted and not self._door and self.state[1] > HOT_DOOR:
            events.append("hot_door")
        visited = any(begins <= self.minute < begins + minutes for begins, minutes in self.scenario.doors)
        self._door = wanted or visited

    def _slice(self, power: float) -> None:
        self._pending.append(power)
        left = [share for begins, minutes, share in self.scenario.sags if begins <= self.minute < begins + minutes]
        self._delivered = 0.0 if self.interlock else self._pending[0] * min(left, default=1.0)
        self._pending.popleft()
        watts = self._delivered * self.plant.max_power
        self.state = self.plant.advance(self.state, watts, self._door, SLICE_S)
        kwh = watts * SLICE_S / 3.6e6
        self.energy_kwh += kwh
        self.cost += kwh * self.scenario.price(self.minute)
        for name, sensor in self._sensors.items():
            sensor.follow(self.state[3] if name == "workpiece" else self.state[1], SLICE_S)

    def _watch(self, events: list[str]) -> None:
        chamber = self.state[1]
        if not self.interlock and chamber > self.scenario.limit:
            self.interlock, self.trips = True, self.trips + 1
            events.append("emergency_stop" if self.trips == MAX_TRIPS else "trip")
        elif self.interlock and chamber < self.scenario.limit - REARMED_BELOW:
            self.interlock = False
