"""`envserver/Furnace-v0`: a run of the furnace as a Gymnasium environment, a minute a step.

An action is the share of the full power for the next minute, and whether the door shall be open (above 0.5). The
rewards add up to the score, at most 1; `info` has its components, what happened, and the energy. `call` is the same run
by tools.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from environments.gym.furnace.operating import HEADER, Console, row
from environments.gym.furnace.scenarios import DIFFICULTIES, SCENARIOS, SENSORS, Scenario, drawn
from environments.gym.furnace.sensors import HIGHEST, LOWEST
from environments.gym.furnace.simulation import Run
from environments.gym.furnace.tools import TOOLS

ENV_ID = "envserver/Furnace-v0"
AHEAD = 10
"""Minutes by which the observed recipe looks ahead."""
MOST_MINUTES = 1000.0

NAMES = (*SENSORS, "power", "door", "target", f"target in {AHEAD} min", "minute", "minutes left", "price", "interlock")
LOW = (*[LOWEST] * 4, 0, 0, LOWEST, LOWEST, 0, 0, 0, 0)
HIGH = (*[HIGHEST] * 4, 1, 1, HIGHEST, HIGHEST, MOST_MINUTES, MOST_MINUTES, 100, 1)

Observation = npt.NDArray[np.float32]


class FurnaceEnv(gymnasium.Env[Observation, npt.NDArray[np.float32]]):
    """One scenario: by its name, or `easy`, `medium` or `hard` for one that the seed draws.

    Raises: ValueError for another name.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"]}  # type: ignore[misc]

    def __init__(self, scenario: str = "harden", render_mode: str | None = None) -> None:
        if scenario not in SCENARIOS and scenario not in DIFFICULTIES:
            known = ", ".join((*SCENARIOS, *DIFFICULTIES))
            raise ValueError(f"scenario is {scenario!r}, must be one of {known}")
        self._name = scenario
        self.render_mode = render_mode
        self.observation_space = Box(np.array(LOW, np.float32), np.array(HIGH, np.float32))
        self.action_space = Box(0.0, 1.0, (2,))
        self._run: Run
        self._console: Console

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        drawn_seed = int(self.np_random.integers(2**31))
        self._run = Run(self._scenario(drawn_seed), drawn_seed)
        self._console = Console(self._run)
        return self._observation(), self._info([])

    def _scenario(self, seed: int) -> Scenario:
        return SCENARIOS[self._name] if self._name in SCENARIOS else drawn(self._name, seed)

    def step(self, action: npt.NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        before = self._run.score.total
        events = self._console.pass_minute(float(action[0]), bool(action[1] > 0.5))
        return (
            self._observation(), self._run.score.total - before, self._run.over, False, self._info(events),
        )  # fmt: skip

    def tools(self) -> tuple[dict[str, Any], ...]:
        """What `call` understands."""
        return TOOLS

    def call(
        self, name: str, arguments: dict[str, Any]
    ) -> tuple[str, tuple[Observation, float, bool, bool, dict[str, Any]]]:
        """What a tool says, and what the step came to. Arguments that do not fit its schema are the caller's defect."""
        before = self._run.score.total
        said = self._console.call(name, arguments)
        step = (self._observation(), self._run.score.total - before, self._run.over, False, self._info([]))
        return said, step

    def render(self) -> Any:
        return f"{HEADER}\n{row(self._console.readings, self._run)}" if self.render_mode == "ansi" else None

    def _observation(self) -> Observation:
        readings, recipe = self._console.readings, self._run.scenario.recipe
        minute = readings.minute
        values = (
            *readings.sensors.values(), readings.power, readings.door, recipe.target(minute),
            recipe.target(minute + AHEAD), minute, max(0, recipe.minutes - minute), readings.price, readings.interlock,
        )  # fmt: skip
        return np.array(values, np.float32)

    def _info(self, events: list[str]) -> dict[str, Any]:
        run = self._run
        return {
            "components": run.score.components(), "events": events, "energy_kwh": round(run.energy_kwh, 4),
            "cost": round(run.cost, 4), "budget": round(run.scenario.budget, 4),
        }  # fmt: skip


gymnasium.register(ENV_ID, entry_point=FurnaceEnv)  # type: ignore[arg-type]  # a class makes environments
