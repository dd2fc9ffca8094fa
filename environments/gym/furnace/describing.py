"""A scenario in words: all that is known before the beginning, and nothing of what will go wrong."""

from __future__ import annotations

from environments.gym.furnace.recipe import Recipe
from environments.gym.furnace.scenarios import Scenario
from environments.gym.furnace.scoring import FOLLOW_BAND, SOAK_BAND, UNLOAD_MARGIN
from environments.gym.furnace.simulation import HOT_DOOR

TEXT = """\
Run a chamber furnace.{about}

{recipe}

A soak counts while surface and core of the workpiece are within {soak_band:g} K of the target. On the way, up and \
down, the workpiece should be within {follow_band:g} K of the recipe, and at the end no more than {margin:g} K above \
its last target. Sensors may lie, get stuck or fall silent; the chamber has three. Power answers after {delay} s. \
Above {limit:g} °C in the chamber an interlock cuts the power; the third time ends the run. The workpiece cracks when \
surface and core are more than {crack:g} K apart. The door must stay closed above {hot_door:g} °C. The energy may cost \
{budget:.2f} ({tariff})."""


def describe(scenario: Scenario) -> str:
    """What a policy is told."""
    tariff = ", ".join(f"{price:.2f} a kWh from minute {begins}" for begins, price in scenario.prices)
    return TEXT.format(
        about="" if scenario.troubled else f" {scenario.about}",
        recipe=_in_words(scenario.recipe), soak_band=SOAK_BAND, follow_band=FOLLOW_BAND, margin=UNLOAD_MARGIN,
        delay=scenario.delay_s, limit=scenario.limit, crack=scenario.crack, hot_door=HOT_DOOR, budget=scenario.budget,
        tariff=tariff,
    )  # fmt: skip


def _in_words(recipe: Recipe) -> str:
    lines, minute, level = [f"The recipe begins at {recipe.start:g} °C."], 0, recipe.start
    for segment in recipe.segments:
        lines.append(
            f"Minutes {minute} to {minute + segment.ramp}: from {level:g} °C to {segment.target:g} °C, evenly "
            f"({abs(segment.target - level) / segment.ramp:.1f} K/min)."
        )
        minute += segment.ramp
        if segment.soak:
            soak = minute + segment.equalise
            lines.append(f"Until minute {soak}: let it equalise. Minutes {soak} to {soak + segment.soak}: soak.")
            minute = soak + segment.soak
        level = segment.target
    return "\n".join(lines)
