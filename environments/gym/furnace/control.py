"""Controllers: the one that is built into the furnace for `set_ramp`, and a whole run by hand of a good operator.

Both see readings alone, and the nominal plant. The chamber's temperature is the median of its sensors that say
something new: one that lies is outvoted, one that is stuck or silent is not asked.
"""

from __future__ import annotations

from statistics import median

from environments.gym.furnace.recipe import Phase
from environments.gym.furnace.scenarios import SENSORS, Scenario
from environments.gym.furnace.sensors import ABSENT
from environments.gym.furnace.simulation import HOT_DOOR, Readings
from environments.gym.furnace.thermal import STEFAN_BOLTZMANN, ZERO_C, Plant


class Estimate:
    """What is believed of the temperatures, from readings that may be wrong."""

    def __init__(self, start: float) -> None:
        self.chamber = self.workpiece = start
        self.workpiece_known = True
        self._last: dict[str, float] = {}

    def update(self, readings: Readings) -> None:
        said = {name: value for name, value in readings.sensors.items() if value not in (ABSENT, self._last.get(name))}
        self._last |= said
        chamber = [said[name] for name in SENSORS[:3] if name in said]
        if chamber:
            self.chamber = median(chamber) if len(chamber) != 2 else self._nearer(chamber)
        self.workpiece_known = SENSORS[3] in said
        if self.workpiece_known:
            self.workpiece = said[SENSORS[3]]

    def _nearer(self, two: list[float]) -> float:
        """The mean where they agree, else the one that is nearer to what was believed before."""
        if abs(two[0] - two[1]) < 6:
            return sum(two) / 2
        return min(two, key=lambda value: abs(value - self.chamber))


class Holder:
    """Holds the chamber at a moving setpoint: what the nominal plant needs, and a correction (PI) of the rest."""

    GAIN = 0.010
    """Share of the power a K."""
    RESET_MIN = 9.0
    MOST = 0.25
    """Of the integral, as a share of the power."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._heated = sum(plant.capacities) - plant.wall_capacity
        self._integral = 0.0

    def power(self, chamber: float, setpoint: float, rate: float) -> float:
        """The share of the power for the next minute; `rate` is the setpoint's, K/min."""
        needed = self._plant.steady_loss(max(setpoint, self._plant.ambient)) + self._heated * rate / 60
        error = setpoint - chamber
        wanted = needed / self._plant.max_power + self.GAIN * error + self._integral
        if 0 < wanted < 1:  # otherwise the integral would wind up
            step = self.GAIN / self.RESET_MIN * error
            self._integral = min(self.MOST, max(-self.MOST, self._integral + step))
        return min(1.0, max(0.0, wanted))


class Operator:
    """Runs a recipe well: the chamber leads, so that the workpiece follows; a soak is trimmed by the workpiece."""

    TRIM_GAIN, MOST_TRIM = 0.06, 8.0
    MARGIN = 35.0
    """K that the setpoint stays below the interlock's limit."""
    DOOR_MARGIN = 40.0
    """K below which the door may be opened, seen from where it may not."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._estimate = Estimate(scenario.recipe.start)
        self._holder = Holder(scenario.plant)
        self._trim = 0.0
        self._setpoint = scenario.recipe.start

    def act(self, readings: Readings) -> tuple[float, bool]:
        """Power and door for the next minute."""
        self._estimate.update(readings)
        recipe, minute = self._scenario.recipe, readings.minute
        before, self._setpoint = self._setpoint, self._wanted(minute)
        phase = recipe.phase(minute)
        if phase in (Phase.EQUALISE, Phase.SOAK):
            self._trim_by_workpiece(recipe.target(minute + 1))
        elif phase is Phase.RAMP:
            self._trim = 0.0
        if phase is Phase.COOL:
            return self._cool(minute, before)
        rate = self._setpoint - before
        return self._holder.power(self._estimate.chamber, self._setpoint + self._trim, rate), False

    def _wanted(self, minute: int) -> float:
        """The chamber's temperature for the next minute: the workpiece's, and what drives it there."""
        recipe = self._scenario.recipe
        ahead = minute + 1 + self._scenario.delay_s / 60
        target, rate = recipe.target(ahead), recipe.target(ahead + 1) - recipe.target(ahead)
        return min(self._scenario.limit - self.MARGIN, target + rate * self._lag(target))

    def _lag(self, temperature: float) -> float:
        """Minutes by which the workpiece is behind the chamber on a ramp."""
        plant = self._scenario.plant
        kelvin = temperature + ZERO_C
        conductance = plant.chamber_surface + plant.chamber_surface_area * 4 * STEFAN_BOLTZMANN * kelvin**3
        return (plant.surface_capacity + plant.core_capacity) / conductance / 60

    def _trim_by_workpiece(self, target: float) -> None:
        error = target - self._estimate.workpiece
        if self._estimate.workpiece_known and abs(error) < 30:
            self._trim = min(self.MOST_TRIM, max(-self.MOST_TRIM, self._trim + self.TRIM_GAIN * error))

    def _cool(self, minute: int, before: float) -> tuple[float, bool]:
        """Without haste: the door is opened where the recipe is ahead, and where it is cold enough for that."""
        behind = self._estimate.chamber - self._setpoint
        if self._estimate.chamber < HOT_DOOR - self.DOOR_MARGIN and behind > 10:
            return 0.0, True
        return self._holder.power(self._estimate.chamber, self._setpoint, self._setpoint - before), False
