"""The task set `gymnasium`: one task an environment, called by its id.

Listed are those of `known.py`. Any other id is a task too, as long as the image has its environment; only then nothing
is known of what its returns are worth, so its grade needs the option `score`.
"""

from __future__ import annotations

from collections.abc import Sequence

from environments.gym.known import KNOWN
from environments.gym.options import is_env_id
from environments.tasks import GraderSpec, Task, TaskSet

GRADER = "return"


class Gymnasium(TaskSet):
    name = "gymnasium"
    version = "1.4.0"

    def task_ids(self, split: str = "all") -> Sequence[str]:
        if split not in self.splits():
            raise KeyError(split)
        return list(KNOWN)

    def splits(self) -> Sequence[str]:
        return ("all",)

    def get(self, task_id: str) -> Task:
        if not is_env_id(task_id):
            raise KeyError(task_id)
        known = KNOWN.get(task_id)
        if known is None:
            return Task(task_id, f"Play {task_id}.", GraderSpec(GRADER), public={"id": task_id})
        bounds = [known.low, known.high]
        return Task(
            task_id,
            known.goal,
            GraderSpec(GRADER, {"bounds": bounds}),
            public={"id": task_id, "score": bounds, "actions": list(known.actions)},
        )
