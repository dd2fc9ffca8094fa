"""The task sets of the tools environment: questions of our own, and what other packages' worlds ask for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from environments.tasks import TaskSet
from environments.tools.tasks.errands import Errands
from environments.tools.tasks.questions import Questions
from environments.tools.worlds.bfcl import data as bfcl
from environments.tools.worlds.tasks import TASK_SETS as WORLDS
from environments.tools.worlds.tau2 import data as tau2

HELD_BY = {"bfcl-": bfcl.PACKAGE, "tau2-": tau2.PACKAGE}
"""What the names of a package's task sets begin with."""


def available() -> Mapping[str, TaskSet]:
    """By name, the default first; without those whose data is not installed, which could not even be counted."""
    missing = tuple(prefix for prefix, package in HELD_BY.items() if find_spec(package) is None)
    ours = {each.name: each for each in (Questions(), Errands())}
    return {**ours, **{name: each for name, each in WORLDS.items() if not name.startswith(missing)}}


TASK_SETS = available()
