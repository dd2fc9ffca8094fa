"""The task set `errands`: those of the browser's world, with other tools beside the browser.

What a page shows can be written to a file, added up by a program, looked at again; the verdict is of what the sites
hold in the end and of the answer, as in the browser environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from environments.browser.world.tasks import World
from environments.tasks import Task, TaskSet

KITS = ("browser", "calculator", "python", "bash", "files")


class Errands(TaskSet):
    """The ids, splits and seeds of `world`."""

    name = "errands"
    version = World.version

    def __init__(self) -> None:
        self._world = World()

    def task_ids(self, split: str = "all") -> Sequence[str]:
        return self._world.task_ids(split)

    def splits(self) -> Sequence[str]:
        return self._world.splits()

    def get(self, task_id: str) -> Task:
        task = self._world.get(task_id)
        public, hidden = {**task.public, "tools": list(KITS)}, {**task.hidden, "kits": ["browser"]}
        return replace(task, public=public, hidden=hidden)
