"""A step of a hosted environment that a killed server left half done runs once, whoever goes through it again."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from environments.environment import StepContext, Transition
from environments.programs import MAX_PART
from envserver_sdk.gymnasium import codec
from tests.unit.environments.gym.conftest import TroubledEnvironment
from tests.unit.environments.test_repetition import WHEN, Cut, CutSandbox, ServerKilledError

TASK = TroubledEnvironment.task_sets()["gymnasium"].get("tests/Wide-v0")

ONE = {"type": "step", "action": 0}
PARTS = {"type": "step_many", "actions": codec.encode(np.zeros(110_000, np.int64))}
"""Of two parts there, and refused."""
MANY = {"type": "step_many", "actions": [0] * 15}
"""With an answer of three parts."""


class World:
    """An episode through the lives of its servers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sandbox = CutSandbox(root)
        self.environment = TroubledEnvironment()

    async def step(self, action: dict[str, Any], cut: Cut | None = None) -> Transition:
        number = self.sandbox.reserve_series()
        before = json.dumps(self.environment.snapshot())
        for each in (cut, None) if cut else (None,):
            self.sandbox.calls, self.sandbox.cut = 0, each
            try:
                with self.sandbox.series(number):
                    transition = await self.environment.step(action, StepContext(20))
            except ServerKilledError:
                self.sandbox = CutSandbox(self.root, self.sandbox.guest)
                self.environment = TroubledEnvironment()
                self.environment.restore(self.sandbox, TASK, json.loads(before))
            else:
                self.sandbox.settle_series(number)
                return replace(transition)
        raise AssertionError("unreachable")


@pytest.mark.parametrize(("action", "calls"), [(ONE, 1), (PARTS, 2), (MANY, 3)], ids=["one", "parts", "many"])
async def test_wherever_a_step_is_cut_it_is_taken_once(
    action: dict[str, Any], calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_SANDBOX_PYTHON", sys.executable)
    cut, twin = World(tmp_path / "cut"), World(tmp_path / "twin")
    for world in (cut, twin):
        await world.environment.reset(world.sandbox, TASK, 0, {})
    assert len(json.dumps(PARTS)) > MAX_PART
    for place in itertools.product(range(1, calls + 1), WHEN):
        assert await cut.step(action, place) == await twin.step(action)
        assert twin.sandbox.calls == calls
        assert await cut.step(ONE) == await twin.step(ONE)
        assert cut.environment.snapshot() == twin.environment.snapshot()
    for world in (cut, twin):
        await world.sandbox.destroy()
