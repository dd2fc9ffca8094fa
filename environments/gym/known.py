"""What is known of Gymnasium's classic-control and toy-text environments without having them.

Names for what their numbers mean, the goal in words, and the returns between which a score is measured: `low` is what a
policy gets that does nothing to the purpose, `high` Gymnasium's own `reward_threshold` or, where it names none, about
the best that can be had. The server lists its tasks from here; the sandbox, which is sent this file too, names
observations and actions. A test compares the table with an installed Gymnasium.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """One environment. `observation` and `actions` name the parts of the one and the values of the other."""

    goal: str
    observation: tuple[str, ...]
    actions: tuple[str, ...]
    low: float
    high: float


_CART = (
    "A pole stands on a cart. Push the cart so that the pole does not fall and the cart stays on the track; +1 a step."
)
_CART_NAMES = ("cart position", "cart velocity", "pole angle (rad)", "pole angular velocity")
_LEFT_RIGHT = ("push left", "push right")
_HILL = "An underpowered car stands in a valley. Swing it up the hill on the right"
_LAKE = (
    "Walk from the upper left of a frozen lake to the goal at its lower right without falling into a hole; the ice may "
    "be slippery. +1 at the goal."
)
_LAKE_ACTIONS = ("left", "down", "right", "up")
_CLIFF = (
    "Walk from the lower left of a grid to its lower right; -1 a step. The cells between are a cliff: a fall costs 100 "
    "and starts over."
)
_CLIFF_ACTIONS = ("up", "right", "down", "left")

KNOWN: Mapping[str, Known] = {
    "CartPole-v0": Known(_CART, _CART_NAMES, _LEFT_RIGHT, 0, 195),
    "CartPole-v1": Known(_CART, _CART_NAMES, _LEFT_RIGHT, 0, 475),
    "MountainCar-v0": Known(
        f"{_HILL}; -1 a step.", ("position", "velocity"), ("accelerate left", "coast", "accelerate right"), -200, -110
    ),
    "MountainCarContinuous-v0": Known(
        f"{_HILL} with little force: +100 at the top, minus a tenth of the squared force a step.",
        ("position", "velocity"), (), 0, 90,
    ),
    "Pendulum-v1": Known(
        "A pendulum hangs from a motor. Swing it up and hold it upright: the reward sinks with angle, speed and "
        "the torque that it takes.",
        ("cosine of the angle", "sine of the angle", "angular velocity"), (), -1200, -150,
    ),
    "Acrobot-v1": Known(
        "Two links hang from a bar, with a motor between them. Swing the free end above the line; -1 a step.",
        ("cosine of angle 1", "sine of angle 1", "cosine of angle 2", "sine of angle 2", "angular velocity 1",
         "angular velocity 2"),
        ("torque -1", "no torque", "torque +1"), -500, -100,
    ),
    "Blackjack-v1": Known(
        "Draw cards to come closer to 21 than the dealer without passing it.",
        ("your sum", "dealer's card", "you have a usable ace"), ("stick", "hit"), -1, 1,
    ),
    "FrozenLake-v1": Known(_LAKE, ("cell",), _LAKE_ACTIONS, 0, 1),
    "FrozenLake8x8-v1": Known(_LAKE, ("cell",), _LAKE_ACTIONS, 0, 1),
    "CliffWalking-v1": Known(_CLIFF, ("cell",), _CLIFF_ACTIONS, -200, -13),
    "CliffWalkingSlippery-v1": Known(_CLIFF, ("cell",), _CLIFF_ACTIONS, -1000, -60),
    "Taxi-v4": Known(
        "Drive a taxi to the passenger, pick them up, drive to the destination and drop them off there: +20; -1 a "
        "step, -10 for a wrong pick-up or drop-off.",
        ("state",), ("south", "north", "east", "west", "pick up", "drop off"), -200, 8,
    ),
}  # fmt: skip
