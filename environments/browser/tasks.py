"""The task sets of the browser environment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from environments.browser.miniwob.tasks import Miniwob
from environments.browser.world.tasks import World
from environments.tasks import TaskSet


@cache
def task_sets() -> Mapping[str, TaskSet]:
    """The first is the default."""
    return {World.name: World(), Miniwob.name: Miniwob()}
