"""The task set `questions`: what nobody knows who has not looked, by the tools of the task.

An id is `template/key`. The version changes with the corpus and with the templates, whose answers come from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache

from environments.tasks import Task, TaskSet
from environments.tools.corpus.sources import release
from environments.tools.tasks.lookups import TEMPLATES as LOOKUPS
from environments.tools.tasks.pictures import TEMPLATES as PICTURES
from environments.tools.tasks.tables import TEMPLATES as TABLES
from environments.tools.tasks.template import Template
from environments.tools.worlds.splits import SPLITS, members

GENERATORS = "1"
"""To be counted up whenever a template asks or answers anything differently."""
TEMPLATES: Mapping[str, Template] = {template.name: template for template in (*LOOKUPS, *TABLES, *PICTURES)}


class Questions(TaskSet):
    """A task is made when it is asked for; ids are known without making any."""

    name = "questions"

    def __init__(self) -> None:
        self.version = hashlib.sha256(f"{release()} {GENERATORS}".encode()).hexdigest()[:12]

    def task_ids(self, split: str = "all") -> Sequence[str]:
        return members((f"{name}/{key}" for name in TEMPLATES for key in _keys(name)), split)

    def splits(self) -> Sequence[str]:
        return SPLITS

    def get(self, task_id: str) -> Task:
        name, _, key = task_id.partition("/")
        if name not in TEMPLATES or key not in _keys(name):
            raise KeyError(task_id)
        return TEMPLATES[name].task(key)


@cache
def _keys(name: str) -> tuple[str, ...]:
    return tuple(TEMPLATES[name].keys())
