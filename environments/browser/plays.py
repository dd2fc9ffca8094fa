"""Which `Play` a task is played by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from environments.browser.obstacles import parse_obstacles
from environments.browser.play import Play
from environments.browser.web.web import Web
from environments.tasks import Task

_PLAYS = {
    "world": ("environments.browser.world.play", "WorldPlay"),
    "miniwob": ("environments.browser.miniwob.play", "MiniwobPlay"),
}
"""Imported when they are first played: each reads its pages then."""


class OpenPlay(Play):
    """Of a task that is not the browser's: no sites, nothing to judge."""

    start_url = "about:blank"
    prompt = ""

    def __init__(self) -> None:
        self.web = Web([])


def make_play(task: Task, seed: int, obstacles: Mapping[str, Any]) -> Play:
    """The sites and the verdict of one generation. Raises: ValueError for obstacles that there are not."""
    check_obstacles(task, obstacles)
    module, name = _PLAYS[task.hidden["play"]]
    make: Callable[..., Play] = getattr(import_module(module), name)
    return make(task, seed, obstacles) if task.hidden["play"] == "world" else make(task, seed)


def check_obstacles(task: Task, obstacles: Mapping[str, Any]) -> None:
    """Raises: ValueError."""
    parse_obstacles(obstacles)
    if obstacles and task.hidden["play"] != "world":
        raise ValueError(f"the task {task.task_id!r} takes no obstacles")
