"""The task set `furnace`: the scenarios by name, for judging, and a curriculum that seeds draw, for training."""

from __future__ import annotations

from collections.abc import Sequence

from environments.gym.furnace.describing import describe
from environments.gym.furnace.scenarios import DIFFICULTIES, SCENARIOS
from environments.gym.furnace.tools import TOOLS
from environments.gym.tasks import GRADER
from environments.tasks import GraderSpec, Task, TaskSet

ENV_ID = "envserver/Furnace-v0"


class Furnace(TaskSet):
    name = "furnace"
    version = "1"

    def task_ids(self, split: str = "all") -> Sequence[str]:
        if split not in self.splits():
            raise KeyError(split)
        return [name for name in (*SCENARIOS, *DIFFICULTIES) if split == "all" or split == _split(name)]

    def splits(self) -> Sequence[str]:
        return ("all", "train", "test")

    def get(self, task_id: str) -> Task:
        if task_id in SCENARIOS:
            prompt = describe(SCENARIOS[task_id])
        elif task_id in DIFFICULTIES:
            prompt = "Run a chamber furnace through a recipe that the seed decides: its observations show it."
        else:
            raise KeyError(task_id)
        return Task(
            task_id,
            prompt,
            GraderSpec(GRADER, {"bounds": [0.0, 1.0]}),
            public={"id": ENV_ID, "score": [0.0, 1.0], "tools": list(TOOLS)},
            hidden={"id": ENV_ID, "kwargs": {"scenario": task_id}},
        )


def _split(name: str) -> str:
    return "train" if name in DIFFICULTIES else "test"
