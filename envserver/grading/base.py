"""What a grader is given and what it must return.

A verdict is made where no code of the agent ever ran. A grader sees the exported artifacts as data and
makes fresh sandboxes through `SandboxFactory`; it raises `GradingError` when it cannot decide, and the
episode then ends as `infra_error`: never as 0, never as 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from environments.environment import Artifacts
from environments.tasks import Task
from envserver.errors import EnvserverError
from envserver.runtimes.base import Sandbox, SandboxSpec

SandboxFactory = Callable[[SandboxSpec], Awaitable[Sandbox]]
"""Makes a sandbox that the grader must destroy."""


class GradingError(EnvserverError):
    """No verdict could be reached, through no fault of the policy."""


@dataclass(frozen=True)
class Grade:
    """A verdict. `reward` is finite and within [0, 1]."""

    reward: float
    components: Mapping[str, float] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    """What was checked and what failed, as JSON; no expected value or hidden test in it."""
    forgeable: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.reward <= 1.0:  # also false for NaN
            raise GradingError(f"reward {self.reward!r} is not within [0, 1]")


class Grader(ABC):
    """Judges ended episodes. Stateless: one instance serves every episode."""

    kind: str

    @abstractmethod
    async def grade(self, task: Task, artifacts: Artifacts, make_sandbox: SandboxFactory) -> Grade:
        """Raises: GradingError, envserver.runtimes.base.SandboxError."""
