"""Which furnace, which load, which recipe, and what goes wrong: twelve by name, and as many as wanted by difficulty.

A scenario is public but for its plant: the one that is simulated differs from the nominal one by a few percent, drawn
from the seed as the sensors' offsets are, so that no policy can do with a table of powers.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

from environments.gym.furnace.recipe import Phase, Recipe, Segment
from environments.gym.furnace.sensors import Failure, Fault
from environments.gym.furnace.thermal import Plant

SENSORS = ("chamber_a", "chamber_b", "chamber_c", "workpiece")
UNCERTAIN = 0.04
"""How much each number of the plant may differ from the nominal one."""
BUDGET_MARGIN = 1.3
DIFFICULTIES = ("easy", "medium", "hard")


@dataclass(frozen=True)
class Scenario:
    """Times are minutes since the beginning."""

    about: str
    recipe: Recipe
    plant: Plant = field(default_factory=Plant)
    limit: float = 1000.0
    """Above it in the chamber the interlock cuts the power."""
    crack: float = 80.0
    """K between surface and core at which the workpiece cracks."""
    delay_s: int = 30
    """Until a command for power takes effect."""
    failures: tuple[Failure, ...] = ()
    doors: tuple[tuple[int, int], ...] = ()
    """When somebody opens the door, and for how long."""
    sags: tuple[tuple[int, int, float], ...] = ()
    """When the mains are weak, for how long, and which share of the power is left."""
    prices: tuple[tuple[int, float], ...] = ((0, 0.30),)
    """From when on a kWh costs what."""

    def price(self, minute: float) -> float:
        return [cost for begins, cost in self.prices if begins <= minute][-1]

    @property
    def troubled(self) -> bool:
        """Whether something goes wrong that is no property of furnace or load."""
        return bool(self.failures or self.doors or self.sags)

    @cached_property
    def budget(self) -> float:
        """What the energy may cost: that of the nominal plant on the recipe to the letter, and some."""
        heated = sum(self.plant.capacities) - self.plant.wall_capacity
        cost = 0.0
        for minute in range(self.recipe.minutes):
            if self.recipe.phase(minute) is Phase.COOL:
                break
            now, then = self.recipe.target(minute), self.recipe.target(minute + 1)
            joules = 60 * self.plant.steady_loss(now) + heated * max(0.0, then - now)
            cost += joules / 3.6e6 * self.price(minute)
        return BUDGET_MARGIN * cost


def varied(plant: Plant, seed: int) -> Plant:
    """The nominal plant as it really is: every number some percent off; power and surroundings are known."""
    drawn = random.Random(seed)
    changes = {
        each.name: getattr(plant, each.name) * drawn.uniform(1 - UNCERTAIN, 1 + UNCERTAIN)
        for each in fields(plant)
        if each.name not in ("max_power", "ambient")
    }
    return replace(plant, **changes)


def _single(target: float, rate: float, soak: int, *, cool: float = 500.0, cool_rate: float = 5.0) -> Recipe:
    """One ramp of `rate` K/min, one soak, one cooling."""
    up, down = round((target - 22) / rate), round((target - cool) / cool_rate)
    return Recipe(22.0, (Segment(target, up, 15, soak), Segment(cool, down)))


_PLAIN = _single(850, 8, 45)
_STEPPED = Recipe(22.0, (Segment(450, 60, 15, 20), Segment(780, 50, 15, 30), Segment(450, 80)))
_FRAGILE = Plant(surface_core=14.0, core_capacity=4200.0)
_LEAKY = Plant(chamber_wall=3.4, wall_outside=12.0)
_HEAVY = Plant(surface_capacity=2600.0, core_capacity=7000.0, surface_core=70.0)
_SLUGGISH = Plant(element_capacity=3000.0, chamber_capacity=9000.0)

SCENARIOS: Mapping[str, Scenario] = {
    "harden": Scenario("Harden a steel block: one ramp, one soak, and cool.", _PLAIN),
    "stress-relief": Scenario("Relieve stresses: low and long.", _single(600, 6, 80, cool=350, cool_rate=2.5)),
    "two-steps": Scenario("Preheat, soak, heat on, soak again.", _STEPPED, limit=900),
    "fragile": Scenario(
        "A ceramic body that cracks when its surface runs ahead of its core.",
        _single(800, 4, 40, cool=500, cool_rate=3), _FRAGILE, limit=930, crack=45,
    ),
    "leaky": Scenario("Worn insulation: more is lost, at a higher price.", _PLAIN, _LEAKY, prices=((0, 0.42),)),
    "heavy": Scenario("A load twice as heavy.", _single(820, 5, 50, cool=550, cool_rate=3), _HEAVY, limit=960),
    "sluggish": Scenario(
        "Heavy elements, and two minutes until power answers.", _single(850, 6, 45), _SLUGGISH, delay_s=120
    ),
    "stuck-sensor": Scenario(
        "One chamber sensor stops moving during the ramp.", _PLAIN,
        failures=(Failure("chamber_b", Fault.STUCK, 60),),
    ),
    "drifting-sensor": Scenario(
        "One chamber sensor reads lower and lower.", _PLAIN,
        failures=(Failure("chamber_a", Fault.DRIFT, 40, rate=-1.5),),
    ),
    "dropouts": Scenario(
        "Loose contacts: two sensors are silent in a third of all minutes.", _PLAIN,
        failures=tuple(Failure(sensor, Fault.DROPOUT, 20, rate=0.33) for sensor in ("chamber_c", "workpiece")),
    ),
    "busy-shop": Scenario(
        "Somebody looks in, twice; the mains sag.", _PLAIN, doors=((70, 2), (108, 3)), sags=((85, 12, 0.8),)
    ),
    "everything": Scenario(
        "Sluggish, a dear evening, a lying sensor, a loose one, and visitors.", _STEPPED, _SLUGGISH, limit=900,
        delay_s=90, failures=(
            Failure("chamber_c", Fault.DRIFT, 30, rate=2.0), Failure("workpiece", Fault.DROPOUT, 40, rate=0.3),
        ),
        doors=((80, 2),), sags=((110, 10, 0.85),), prices=((0, 0.28), (120, 0.55)),
    ),
}  # fmt: skip


def drawn(difficulty: str, seed: int) -> Scenario:
    """A scenario of the curriculum: `easy` nothing fails, `medium` one thing does, `hard` several do.

    Raises: ValueError for another difficulty.
    """
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"difficulty is {difficulty!r}, must be one of {', '.join(DIFFICULTIES)}")
    random_ = random.Random(f"{difficulty}/{seed}")
    target = 10.0 * random_.randint(60, 88)
    recipe = _single(target, random_.uniform(4, 7), random_.randrange(30, 70, 5), cool=target - 250, cool_rate=3)
    scenario = Scenario(f"A recipe of its own, {difficulty}.", recipe, limit=target + 120)
    troubles = {"easy": 0, "medium": 1, "hard": 3}[difficulty]
    if difficulty == "hard":
        scenario = replace(scenario, plant=_SLUGGISH, delay_s=60)
    for trouble in random_.sample(("stuck", "drift", "dropout", "door", "sag"), troubles):
        scenario = _troubled(scenario, trouble, random_)
    return scenario


def _troubled(scenario: Scenario, trouble: str, random_: random.Random) -> Scenario:
    """With one more thing that goes wrong, somewhere on the way up."""
    begins = random_.randrange(20, 90)
    if trouble == "door":
        return replace(scenario, doors=(*scenario.doors, (begins, random_.randint(1, 3))))
    if trouble == "sag":
        return replace(scenario, sags=(*scenario.sags, (begins, random_.randint(5, 15), random_.uniform(0.8, 0.95))))
    # Of the chamber's sensors one at most lies, so that the others can outvote it.
    sensor = "workpiece" if any(f.sensor != "workpiece" for f in scenario.failures) else random_.choice(SENSORS[:3])
    rate = {"stuck": 0.0, "drift": random_.choice((-1.5, 1.5)), "dropout": 0.3}[trouble]
    return replace(scenario, failures=(*scenario.failures, Failure(sensor, Fault(trouble), begins, rate=rate)))
