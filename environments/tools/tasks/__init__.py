"""The task sets of the tools environment: questions of our own, and what other packages' worlds ask for."""

from __future__ import annotations

from collections.abc import Mapping

from environments.tasks import TaskSet
from environments.tools.tasks.questions import Questions
from environments.tools.worlds.tasks import TASK_SETS as WORLDS

_OURS = Questions()
TASK_SETS: Mapping[str, TaskSet] = {_OURS.name: _OURS, **WORLDS}
"""By name, the default first."""
