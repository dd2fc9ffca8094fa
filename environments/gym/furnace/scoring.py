"""What a run is worth, minute by minute: the rewards add up to the score, at most 1.

    soak     0.60   surface and core within `SOAK_BAND` of the target, in every minute of every soak
    follow   0.15   the workpiece within `FOLLOW_BAND` of the recipe on the way, up and down
    unload   0.10   cool enough at the end; counts as much as the soaks succeeded
    energy   0.15   within the budget, nothing at twice of it; counts as much as the soaks succeeded
    safety          only takes: for each trip of the interlock, each opening of a hot door, an emergency stop, a crack

Beyond a band credit fades. A cracked workpiece is scrap: what had been earned with it is taken back.
"""

from __future__ import annotations

from environments.gym.furnace.recipe import Phase
from environments.gym.furnace.scenarios import Scenario

SOAK, FOLLOW, UNLOAD, ENERGY = 0.60, 0.15, 0.10, 0.15
SOAK_BAND, SOAK_FADE = 8.0, 16.0
"""K: full credit within, none beyond band and fade."""
FOLLOW_BAND, FOLLOW_FADE = 30.0, 60.0
UNLOAD_MARGIN = 25.0
"""K above the recipe's last target that are cool enough."""
COSTS = {"trip": 0.15, "hot_door": 0.10, "emergency_stop": 0.30, "crack": 0.30}


class Score:
    """Of one run."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._soak_minutes = scenario.recipe.count(Phase.SOAK)
        self._follow_minutes = scenario.recipe.count(Phase.RAMP, Phase.COOL)
        self.soak = self.follow = self.unload = self.energy = self.safety = 0.0

    @property
    def total(self) -> float:
        return self.soak + self.follow + self.unload + self.energy + self.safety

    def components(self) -> dict[str, float]:
        names = ("soak", "follow", "unload", "energy", "safety")
        return {name: round(getattr(self, name), 6) for name in names}

    def minute(self, minute: int, surface: float, core: float) -> None:
        """The minute that began at `minute` has passed, and the workpiece is at these temperatures."""
        recipe = self._scenario.recipe
        phase, target = recipe.phase(minute), recipe.target(minute + 1)
        if phase is Phase.SOAK:
            error = max(abs(surface - target), abs(core - target))
            self.soak += SOAK * _near(error, SOAK_BAND, SOAK_FADE) / self._soak_minutes
        elif phase is not Phase.EQUALISE:
            error = abs((surface + core) / 2 - target)
            self.follow += FOLLOW * _near(error, FOLLOW_BAND, FOLLOW_FADE) / self._follow_minutes

    def event(self, name: str) -> None:
        """Something that should not happen."""
        self.safety -= COSTS[name]
        if name == "crack":
            self.soak = self.follow = 0.0

    def end(self, core: float, cost: float) -> None:
        """Unloaded: the core has this temperature, and the energy has cost so much."""
        recipe, share = self._scenario.recipe, self.soak / SOAK
        if core <= recipe.segments[-1].target + UNLOAD_MARGIN:
            self.unload = UNLOAD * share
        self.energy = ENERGY * share * min(1.0, max(0.0, 2.0 - cost / self._scenario.budget))


def _near(error: float, band: float, fade: float) -> float:
    return min(1.0, max(0.0, 1 - (error - band) / fade))
