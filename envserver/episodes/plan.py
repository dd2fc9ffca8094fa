"""What an episode plays and by which rules, fixed for its life, and how it is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from environments.environment import Environment, EnvironmentSpec
from environments.tasks import Task
from envserver.access.tenants import DEFAULT_TENANT
from envserver.episodes.pool import Kind
from envserver.runtimes.base import Limits, SandboxSpec
from envserver_sdk.models import AutoCheckpoints, CheckpointKind, Recovery

PURPOSE_EPISODE = "episode"
PURPOSE_GRADING = "grading"


@dataclass(frozen=True)
class Policies:
    """What the server does with an episode by itself."""

    checkpoints: AutoCheckpoints | None = None
    recovery: Recovery = Recovery.LOSE
    pause_after_s: float | None = None
    hibernate_after_s: float | None = None

    def encode(self) -> dict[str, Any]:
        checkpoints = self.checkpoints.model_dump(mode="json") if self.checkpoints else None
        return {**asdict(self), "checkpoints": checkpoints, "recovery": self.recovery.value}

    @classmethod
    def decode(cls, written: Mapping[str, Any]) -> Policies:
        checkpoints = written["checkpoints"]
        return cls(
            checkpoints=AutoCheckpoints.model_validate(checkpoints) if checkpoints else None,
            recovery=Recovery(written["recovery"]),
            pause_after_s=written["pause_after_s"],
            hibernate_after_s=written["hibernate_after_s"],
        )


@dataclass(frozen=True)
class Plan:
    """Everything about an episode that its worlds share."""

    episode_id: str
    environment_name: str
    environment: type[Environment]
    task_set: str
    task: Task
    image: str
    """Of its sandboxes."""
    limits: Limits
    checkpoints: frozenset[CheckpointKind]
    """The kinds that hold all of it."""
    ttl_s: float
    idle_timeout_s: float
    sandbox_ttl_s: float
    owner: str = DEFAULT_TENANT
    """The tenant."""
    policies: Policies = Policies()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The trainer's own."""
    group_id: str | None = None
    parent_checkpoint: str | None = None
    """What it was forked from."""
    call_key: str | None = None
    """Of the keyed call that made it."""
    journal_id: str = ""
    """Of the journal that knows it; marks its sandboxes."""

    @property
    def spec(self) -> EnvironmentSpec:
        """The environment's, with what the task sets instead."""
        task, spec = self.task, self.environment.spec
        changes: dict[str, Any] = {"episode_timeout_s": task.episode_timeout_s, "max_steps": task.max_steps}
        changes |= dict.fromkeys(("step_timeout_s", "max_step_timeout_s"), task.step_timeout_s)
        return replace(spec, **{name: value for name, value in changes.items() if value is not None})

    def labels(self, generation: int, purpose: str) -> dict[str, str]:
        """How a sandbox is found again when this process is gone."""
        labels = {
            "episode": self.episode_id,
            "generation": str(generation),
            "environment": self.environment_name,
            "task_set": self.task_set,
            "task": self.task.task_id,
            "owner": self.owner,
            "purpose": purpose,
        }
        return labels | ({"journal": self.journal_id} if self.journal_id else {})

    @property
    def kind(self) -> Kind:
        return Kind(self.environment, self.image, self.limits)

    def sandbox_spec(self, generation: int) -> SandboxSpec:
        return SandboxSpec(
            image=self.image,
            limits=self.limits,
            labels=self.labels(generation, PURPOSE_EPISODE),
            ttl_s=self.sandbox_ttl_s,
        )

    def encode(self) -> bytes:
        """JSON of what has no column of its own in the journal."""
        return json.dumps(
            {
                "image": self.image,
                "limits": asdict(self.limits),
                "checkpoints": sorted(self.checkpoints),
                "ttl_s": self.ttl_s,
                "idle_timeout_s": self.idle_timeout_s,
                "sandbox_ttl_s": self.sandbox_ttl_s,
                "policies": self.policies.encode(),
            }
        ).encode()

    @staticmethod
    def decode_rules(written: bytes, spec: EnvironmentSpec, task: Task) -> dict[str, Any]:
        """Arguments of a `Plan`, from `encode`. An older server did not write down what was the same for all of a task.

        Nothing is asked of the environment: what an episode's options name may not be installed any more.
        """
        usual = {"image": task.image or spec.image, "checkpoints": spec.checkpoints}
        rules: dict[str, Any] = usual | json.loads(written)
        return rules | {
            "limits": Limits(**rules["limits"]),
            "checkpoints": frozenset(map(CheckpointKind, rules["checkpoints"])),
            "policies": Policies.decode(rules["policies"]),
        }
