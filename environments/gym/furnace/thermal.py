"""The furnace as five lumped masses: heating element, chamber, wall, and the workpiece's surface and core.

Heat flows by conduction and convection, proportional to a difference, and by radiation, to the difference of fourth
powers (Stefan and Boltzmann):

    power → element ⇉ chamber → wall ⇉ surroundings        ⇉ both ways, → conduction or convection alone
                 ⇘      ⇊
                  surface → core                           an open door: chamber ⇉ surroundings

What comes in is stored or lost, to the last joule: `Flows` has each, and the tests add them up. Temperatures are in °C,
times in seconds, powers in watts. Integrated by the classical Runge-Kutta rule with steps of `STEP_S`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ZERO_C = 273.15
STEFAN_BOLTZMANN = 5.670374419e-8
"""W/(m²·K⁴), CODATA 2018."""
STEP_S = 5.0
"""Below the shortest time constant, the element's, of some twenty seconds at 1000 °C: errors stay within 0.01 K."""

State = tuple[float, float, float, float, float]
"""°C of element, chamber, wall, surface, core."""


@dataclass(frozen=True)
class Plant:
    """What a furnace and its load are made of. Capacities in J/K, conductances in W/K, areas times emissivity in m²."""

    element_capacity: float = 1200.0
    chamber_capacity: float = 6000.0
    wall_capacity: float = 30_000.0
    surface_capacity: float = 1500.0
    core_capacity: float = 3500.0
    element_chamber: float = 8.0
    element_chamber_area: float = 0.10
    element_surface_area: float = 0.02
    chamber_surface: float = 14.0
    chamber_surface_area: float = 0.07
    surface_core: float = 40.0
    chamber_wall: float = 2.4
    wall_outside: float = 9.0
    wall_outside_area: float = 0.9
    door: float = 5.0
    """Open: convection through it."""
    door_area: float = 0.02
    max_power: float = 6500.0
    ambient: float = 22.0

    @property
    def capacities(self) -> State:
        return (
            self.element_capacity, self.chamber_capacity, self.wall_capacity, self.surface_capacity,
            self.core_capacity,
        )  # fmt: skip

    def at_rest(self, temperature: float | None = None) -> State:
        """All at one temperature: the surroundings' unless told otherwise."""
        level = self.ambient if temperature is None else temperature
        return (level,) * 5

    def steady_loss(self, chamber: float) -> float:
        """What leaves through the wall while the chamber is held at a temperature for ever: found by bisection."""
        low, high = self.ambient, chamber
        for _ in range(60):
            wall = (low + high) / 2
            if self.chamber_wall * (chamber - wall) > self._outwards(wall):
                low = wall
            else:
                high = wall
        return self._outwards((low + high) / 2)

    def _outwards(self, wall: float) -> float:
        return self.wall_outside * (wall - self.ambient) + self.wall_outside_area * radiated(wall, self.ambient)

    def flows(self, state: State, power: float, door_open: bool) -> Flows:
        """What flows where, in watts, positive in the direction of the names."""
        element, chamber, wall, surface, core = state
        doorway = self.door * (chamber - self.ambient) + self.door_area * radiated(chamber, self.ambient)
        return Flows(
            power,
            self.element_chamber * (element - chamber) + self.element_chamber_area * radiated(element, chamber),
            self.element_surface_area * radiated(element, surface),
            self.chamber_surface * (chamber - surface) + self.chamber_surface_area * radiated(chamber, surface),
            self.surface_core * (surface - core),
            self.chamber_wall * (chamber - wall),
            self._outwards(wall),
            doorway if door_open else 0.0,
        )

    def advance(self, state: State, power: float, door_open: bool, seconds: float, step_s: float = STEP_S) -> State:
        """The state after `seconds` of constant power, a whole number of steps."""
        for _ in range(round(seconds / step_s)):
            state = self._step(state, power, door_open, step_s)
        return state

    def _step(self, state: State, power: float, door_open: bool, step_s: float) -> State:
        one = self._slopes(state, power, door_open)
        two = self._slopes(_moved(state, one, step_s / 2), power, door_open)
        three = self._slopes(_moved(state, two, step_s / 2), power, door_open)
        four = self._slopes(_moved(state, three, step_s), power, door_open)
        mean = tuple((a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(one, two, three, four, strict=True))
        return _moved(state, mean, step_s)

    def _slopes(self, state: State, power: float, door_open: bool) -> tuple[float, ...]:
        """K/s of each mass."""
        flows = self.flows(state, power, door_open)
        return (
            (flows.power - flows.element_chamber - flows.element_surface) / self.element_capacity,
            (flows.element_chamber - flows.chamber_surface - flows.chamber_wall - flows.door) / self.chamber_capacity,
            (flows.chamber_wall - flows.wall_outside) / self.wall_capacity,
            (flows.element_surface + flows.chamber_surface - flows.surface_core) / self.surface_capacity,
            flows.surface_core / self.core_capacity,
        )


class Flows(NamedTuple):
    """Watts."""

    power: float
    element_chamber: float
    element_surface: float
    chamber_surface: float
    surface_core: float
    chamber_wall: float
    wall_outside: float
    door: float


def radiated(warm: float, cold: float) -> float:
    """W/m² between two black surfaces that see nothing else; times an effective area, what really flows."""
    one, other = warm + ZERO_C, cold + ZERO_C
    return STEFAN_BOLTZMANN * (one * one * one * one - other * other * other * other)


def _moved(state: State, slopes: tuple[float, ...], seconds: float) -> State:
    a, b, c, d, e = state
    return (
        a + slopes[0] * seconds, b + slopes[1] * seconds, c + slopes[2] * seconds, d + slopes[3] * seconds,
        e + slopes[4] * seconds,
    )  # fmt: skip
