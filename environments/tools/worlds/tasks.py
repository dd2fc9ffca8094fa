"""Every task set whose world is a simulator, or whose tools only record."""

from __future__ import annotations

from collections.abc import Mapping

from environments.tasks import TaskSet
from environments.tools.worlds.bfcl import multi_turn, single_turn
from environments.tools.worlds.tau2 import data as tau2_data
from environments.tools.worlds.tau2.solo import Solo

TASK_SETS: Mapping[str, TaskSet] = {
    each.name: each
    for each in (
        *map(multi_turn.MultiTurn, multi_turn.CATEGORIES),
        *map(single_turn.SingleTurn, single_turn.CATEGORIES),
        *map(Solo, tau2_data.DOMAINS),
    )
}
"""By name. Nothing is read until a set is asked for its tasks; then the package that holds them has to be installed."""
