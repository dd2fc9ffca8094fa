"""Tasks: one problem each, in named and versioned sets with splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class GraderSpec:
    """Which grader judges the task, and its private data. Never shown to a policy or a client."""

    kind: str
    """A name in `envserver.grading.registry`: `worker`, ..."""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One problem. `prompt` and `public` may be shown to anyone; `grader` stays in the server."""

    task_id: str
    prompt: str
    grader: GraderSpec
    artifacts: tuple[str, ...] = ()
    """Absolute paths of the files that are graded."""
    public: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Put into the sandbox at reset, by absolute path."""
    image: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    """Members of `Limits` that the task sets instead of the environment's; a caller may ask for less, not more."""
    step_timeout_s: float | None = None
    """Default and maximum of a step's time limit, instead of the environment's."""
    episode_timeout_s: float | None = None
    max_steps: int | None = None
    hidden: Mapping[str, Any] = field(default_factory=dict)
    """What the environment needs and nobody else may see: what a simulated user will say, the world's beginning."""


class TaskSet(ABC):
    """A named, versioned collection of tasks. Loading is lazy: `name` and `version` cost nothing."""

    name: str
    version: str

    @abstractmethod
    def task_ids(self, split: str = "all") -> Sequence[str]:
        """Ids in a fixed order. Raises: KeyError for an unknown split."""

    @abstractmethod
    def splits(self) -> Sequence[str]:
        """The names of the splits; `all` is always one."""

    @abstractmethod
    def get(self, task_id: str) -> Task:
        """Raises: KeyError for an unknown task."""
