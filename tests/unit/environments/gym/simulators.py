"""Environments that misbehave, each in a way of its own; sent into sandboxes as `GymEnvironment.sources`."""

from __future__ import annotations

import os
import sys
import time
from collections import OrderedDict
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, Space

Stepped = tuple[Any, Any, bool, bool, dict[str, Any]]


class Simulator(gymnasium.Env[Any, Any]):
    """Observes how many steps it has taken, in the one array that it has."""

    def __init__(self) -> None:
        self.observation_space: Space[Any] = Box(0, np.inf, (1,), np.float64)
        self.action_space: Space[Any] = Discrete(3, start=-1)
        self.seen = np.zeros(1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seen[0] = 0
        return self.seen, {}

    def step(self, action: Any) -> Stepped:
        self.seen[0] += 1
        if action == 1:
            self.misbehave()
        return self.seen, 1, False, False, {}

    def misbehave(self) -> None:
        """Nothing."""


class Raises(Simulator):
    def misbehave(self) -> None:
        raise ZeroDivisionError("deep inside")


class Dies(Simulator):
    def misbehave(self) -> None:
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        os._exit(7)


class Hangs(Simulator):
    def misbehave(self) -> None:
        while True:
            time.sleep(0.05)


class Slow(Simulator):
    """A tenth of a second a step."""

    def step(self, action: Any) -> Stepped:
        time.sleep(0.1)
        return super().step(action)


class Prints(Simulator):
    """Upsets who takes its standard output for the channel."""

    def step(self, action: Any) -> Stepped:
        sys.stdout.write("1\n.\n" * 100)
        return super().step(action)


class NotANumber(Simulator):
    def step(self, action: Any) -> Stepped:
        seen, _, *rest = super().step(action)
        return seen, float("nan") if action == 1 else 1.5, *rest


class Odd(Simulator):
    """Subclasses of plain types, and an info that has no JSON."""

    def step(self, action: Any) -> Stepped:
        seen = OrderedDict(b=(1, np.float32(2)), a=[np.int8(3)])
        false: Any = np.bool_(False)
        return seen, np.float32(0.1), false, false, {"rng": self.np_random, "n": 1}


class Needy(Simulator):
    """Takes an argument, and cannot be had without it."""

    def __init__(self, need: str) -> None:
        super().__init__()
        if need != "met":
            raise ValueError(f"need is {need!r}")


class Strange(Simulator):
    """Its space is none of Gymnasium's."""

    def __init__(self) -> None:
        super().__init__()

        class Own(Space[Any]):
            pass

        self.action_space = Own()


class Wide(Simulator):
    """A hundred kilobytes a step."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Box(0, np.inf, (12_800,), np.float64)
        self.seen = np.zeros(12_800)


class Typed(Simulator):
    """Tells the type of its action."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = Discrete(200)

    def step(self, action: Any) -> Stepped:
        return self.seen, 0, False, False, {"dtype": str(np.asarray(action).dtype)}


class Drawn(Simulator):
    """Draws how many steps it has taken."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}  # type: ignore[misc]

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode

    def render(self) -> Any:
        frame = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
        frame[0, 0, 0] = self.seen[0]
        return frame


KINDS: tuple[Any, ...] = (
    Simulator,
    Raises,
    Dies,
    Hangs,
    Slow,
    Prints,
    NotANumber,
    Odd,
    Needy,
    Strange,
    Wide,
    Typed,
    Drawn,
)

for kind in KINDS:
    gymnasium.register(f"tests/{kind.__name__}-v0", entry_point=kind)
