"""The furnace by tools: commands stand until others come, and time passes where somebody waits."""

from __future__ import annotations

from typing import Any

from environments.gym.furnace.control import Estimate, Holder
from environments.gym.furnace.describing import describe
from environments.gym.furnace.sensors import ABSENT
from environments.gym.furnace.simulation import Readings, Run

ROWS = 6
"""Lines of readings at most that a wait shows."""


class Console:
    """Between the tools and a run. `call` says what is seen; the run keeps the score."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.readings = run.readings()
        self._estimate = Estimate(run.scenario.recipe.start)
        self._estimate.update(self.readings)
        self._power = 0.0
        self._door = False
        self._ramp: tuple[Holder, float, float] | None = None
        """Who holds it, the target, and K a minute."""
        self._setpoint = 0.0

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """`arguments` fit the tool's schema."""
        said: str = getattr(self, f"_{name}")(**arguments)
        return said

    def pass_minute(self, power: float, door: bool) -> list[str]:
        """With these commands; the events."""
        events = self._run.advance(power, door)
        self.readings = self._run.readings()
        self._estimate.update(self.readings)
        return events

    def _read_recipe(self) -> str:
        return describe(self._run.scenario)

    def _read_sensors(self) -> str:
        return f"{HEADER}\n{row(self.readings, self._run)}"

    def _set_power(self, percent: float) -> str:
        self._ramp, self._power = None, percent / 100
        return f"power set to {percent:g} %"

    def _set_ramp(self, target_c: float, rate_k_per_min: float) -> str:
        self._setpoint = self._estimate.chamber
        self._ramp = (Holder(self._run.scenario.plant), float(target_c), float(rate_k_per_min))
        return f"ramp from {self._setpoint:.0f} °C to {target_c:g} °C at {rate_k_per_min:g} K/min"

    def _set_door(self, open: bool) -> str:  # noqa: A002  # the tool's own argument
        self._door = open
        return "the door will be open" if open else "the door will be closed"

    def _wait(self, minutes: int) -> str:
        lines, every = [HEADER], -(-minutes // ROWS)
        for passed in range(1, minutes + 1):
            events = self.pass_minute(self._commanded(), self._door)
            if passed % every == 0 or passed == minutes or events or self._run.over:
                lines.append(row(self.readings, self._run))
            if events or self._run.over:
                lines += [EVENTS[event] for event in events]
                break
        if self._run.over:
            lines.append(self._finish())
        return "\n".join(lines)

    def _commanded(self) -> float:
        """The share of the power for the next minute."""
        if self._ramp is None:
            return self._power
        holder, target, rate = self._ramp
        before = self._setpoint
        change = min(rate, abs(target - before))
        self._setpoint += change if target > before else -change
        return holder.power(self._estimate.chamber, self._setpoint, self._setpoint - before)

    def _finish(self) -> str:
        self._run.end()
        shown = ", ".join(f"{name} {value:.3f}" for name, value in self._run.score.components().items())
        return f"The run is over: {self._run.score.total:.3f} ({shown})."


HEADER = "minute target chamber_a chamber_b chamber_c workpiece power door interlock price"

EVENTS = {
    "trip": "The interlock has cut the power: the chamber is above its limit.",
    "hot_door": "The door was opened while the chamber was above 600 °C.",
    "emergency_stop": "The interlock has cut the power for the third time: emergency stop.",
    "crack": "The workpiece has cracked: its surface was too far ahead of its core.",
}


def row(readings: Readings, run: Run) -> str:
    """One minute's readings, under `HEADER`."""
    sensors = ["none" if value == ABSENT else f"{value:.1f}" for value in readings.sensors.values()]
    state = ("open" if readings.door else "closed", "tripped" if readings.interlock else "ready")
    target = f"{run.scenario.recipe.target(readings.minute):.0f}"
    return " ".join([str(readings.minute), target, *sensors, f"{readings.power:.0%}", *state, f"{readings.price:.2f}"])
