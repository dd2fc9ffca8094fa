"""What an episode is made of: the caller's options over what the task sets, checked before anything is made."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from environments.gym.known import KNOWN
from environments.tasks import Task

ENV_ID = re.compile(r"(?:[A-Za-z0-9_\-]+/)?[A-Za-z0-9_.\-]+")
"""Gymnasium's own form, without the module to import that may stand before a colon there."""
MAX_ID = 128
MAX_KWARGS_BYTES = 65_536
RESERVED = ("id", "render_mode", "max_episode_steps", "disable_env_checker")
"""Arguments of `gymnasium.make` that have an option of their own, or none."""


def is_env_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_ID and ENV_ID.fullmatch(value) is not None


@dataclass(frozen=True)
class Options:
    """Everything that `make` is asked for, and between which returns a score is measured."""

    env_id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    render: bool = False
    text: bool = False
    max_episode_steps: int | None = None
    score: tuple[float, float] | None = None
    modules: tuple[str, ...] = ()
    """Imported before, so that they register environments: a task's to name, never a caller's."""

    def request(self, seed: int) -> dict[str, Any]:
        """To the program in the sandbox."""
        return {
            "op": "make", "id": self.env_id, "kwargs": dict(self.kwargs), "render": self.render, "text": self.text,
            "max_episode_steps": self.max_episode_steps, "modules": list(self.modules), "seed": seed,
        }  # fmt: skip


def parse_options(task: Task, given: Mapping[str, Any]) -> Options:
    """The caller's options over the task's, which are in its `hidden`. Raises: ValueError, fit for the caller."""
    known = {"id", "kwargs", "render", "text", "max_episode_steps", "score"}
    if unknown := sorted(set(given) - known):
        raise ValueError(f"unknown options {unknown}; there are {', '.join(sorted(known))}")
    env_id = task.hidden.get("id", task.task_id)
    if "id" in given and given["id"] != env_id:
        raise ValueError(f"'id' is {given['id']!r}, but the task {task.task_id!r} plays {env_id!r}")
    fixed = task.hidden.get("kwargs", {})
    return Options(
        env_id,
        {**_kwargs(given.get("kwargs", {}), fixed), **fixed},
        _flag(given, "render"),
        _flag(given, "text"),
        _steps(given.get("max_episode_steps")),
        _score(given.get("score"), env_id, task),
        tuple(task.hidden.get("modules", ())),
    )


def _kwargs(value: Any, fixed: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"'kwargs' is {value!r}, must be an object")  # noqa: TRY004  # the caller's mistake
    for name in value:
        if not name.isidentifier() or name in RESERVED:
            raise ValueError(f"'kwargs' has {name!r}, which is no argument of an environment")
        if name in fixed:
            raise ValueError(f"'kwargs' has {name!r}, which the task sets")
    if len(json.dumps(value)) > MAX_KWARGS_BYTES:
        raise ValueError(f"'kwargs' has more than {MAX_KWARGS_BYTES} bytes")
    return value


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name!r} is {value!r}, must be true or false")  # noqa: TRY004
    return value


def _steps(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 1 <= value <= 10**9):
        raise ValueError(f"'max_episode_steps' is {value!r}, must be a whole number above 0")
    return value


def _score(value: Any, env_id: str, task: Task) -> tuple[float, float] | None:
    if value is None:
        if bounds := task.grader.data.get("bounds"):
            return (float(bounds[0]), float(bounds[1]))
        known = KNOWN.get(env_id)
        return (known.low, known.high) if known else None
    if not isinstance(value, list) or len(value) != 2 or not all(type(end) in (int, float) for end in value):
        raise ValueError(f"'score' is {value!r}, must be the returns that are worth 0 and 1, [low, high]")
    low, high = float(value[0]), float(value[1])
    if not low < high or math.isinf(high - low):
        raise ValueError(f"'score' is {value!r}: the first must be less than the second")
    return (low, high)
