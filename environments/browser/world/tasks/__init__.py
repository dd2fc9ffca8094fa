"""The task set `world`: errands on five sites, drawn by the seed. An id is `template/variant`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from environments.browser.world.tasks.template import Template
from environments.browser.world.tasks.templates import TEMPLATES
from environments.tasks import GraderSpec, Task, TaskSet
from environments.tools.worlds.splits import SPLITS, members

GRADER = "checks"
ENDS = ("answer", "infeasible")
"""The actions that some task cannot be solved without, and whose lack must not tell which."""


class World(TaskSet):
    """The seed decides all details, names and numbers: so the words of a task are its episode's own."""

    name = "world"
    version = "3"

    def task_ids(self, split: str = "all") -> Sequence[str]:
        return members((f"{name}/{key}" for name, template in TEMPLATES.items() for key in template.keys), split)

    def splits(self) -> Sequence[str]:
        return SPLITS

    def get(self, task_id: str) -> Task:
        name, _, key = task_id.partition("/")
        if name not in TEMPLATES or key not in TEMPLATES[name].keys:
            raise KeyError(task_id)
        template = TEMPLATES[name]
        return Task(
            task_id,
            f"{template.about} The seed decides the details; the first observation tells them.",
            GraderSpec(GRADER),
            public=_public(template, key),
            hidden={"play": "world", "template": name, "variant": key, "ends": list(ENDS)},
        )


def _public(template: Template, key: str) -> dict[str, Any]:
    obstacles = template.obstacles(key)
    public = {"template": template.name, "sites": list(template.sites), "start_url": template.start_url}
    return {**public, "obstacles": obstacles} if obstacles else public
