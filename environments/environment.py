"""The rules that every environment follows.

An environment is trusted code in the server: it says what an action means, what is observed, and when
an episode ends. It owns no container, clock or transport: the episode actor makes the sandbox, enforces
order, time limits and names, and grades. One instance serves one episode generation.

**Nothing is lost**: a server that dies in the middle of a step leaves its successor to make the same calls to the
sandbox again, whose names say that they have run. So `step` makes its calls by what `snapshot` holds, the action and
the answers to its calls alone, in one order: no clock, no chance, no state that `snapshot` leaves out. Their arguments
may differ where only the first ones count: a time limit that is what was left by the clock, say.

Who calls what, and when: the actor (or, ahead of it, the warm pool, which also calls `prepare`) makes an instance,
then `reset` once, then `step` one at a time until a
transition is terminated or truncated or the episode ends otherwise, then `artifacts` once (processes are stopped by
then). `reset` and `step` may raise `envserver.runtimes.base.SandboxError`: the actor turns it into
`policy_killed`, `infra_error` or `episode_lost`. What the policy did wrong is never an exception: it is a
`Transition` with an outcome and an observation that a model can learn from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from environments.tasks import Task, TaskSet
from envserver.runtimes.base import Limits, OutputListener, Sandbox
from envserver_sdk.models import CheckpointKind, KitInfo, Outcome, ToolInfo

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class EnvironmentSpec:
    """What an environment is, fixed and public: `GET /environments/{name}` shows it."""

    name: str
    description: str
    image: str
    """Name of the image that its sandboxes are made from, unless the task names another."""
    action_schema: JsonObject
    """JSON Schema of an action (an object told apart by `type`)."""
    observation_schema: JsonObject
    limits: Limits = Limits()
    step_timeout_s: float = 30.0
    """Default time limit of one step; a caller may set less or, up to `max_step_timeout_s`, more."""
    max_step_timeout_s: float = 600.0
    episode_timeout_s: float = 3600.0
    max_steps: int = 200
    """After so many steps the episode is truncated."""
    checkpoints: frozenset[CheckpointKind] = frozenset(CheckpointKind)
    """The kinds that hold all of an episode: files alone forget what a program of the environment's own knows."""


@dataclass(frozen=True)
class Needs:
    """What the sandbox of one episode is made of, fixed for the episode's life."""

    image: str
    limits: Limits
    """Before what the task and the caller set of their own."""
    checkpoints: frozenset[CheckpointKind]


@dataclass(frozen=True)
class Offer:
    """What a policy can call, as far as that is known before there is an episode."""

    tools: Sequence[ToolInfo] = ()
    """Of every episode whose task brings none of its own."""
    kits: Sequence[KitInfo] = ()
    """Tools that a task or a caller may ask for."""


@dataclass(frozen=True)
class StepContext:
    """What the actor grants one step."""

    timeout_s: float
    """Time for the policy's own work in this step. The environment enforces it."""
    on_output: OutputListener | None = None
    """Set when a client streams; called with output as it arrives."""


@dataclass(frozen=True)
class Transition:
    """What one step did. The actor adds usage, `trainable` and the step's name."""

    observation: JsonObject
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    """The environment ends the episode for a reason that lies outside of the task: a time limit of its own."""
    outcome: Outcome = Outcome.OK
    info: JsonObject = field(default_factory=dict)
    """Anything JSON; keys of `StepInfo` are the actor's."""
    submitted: bool = False
    """The policy submitted: the actor ends the episode, grades it and adds the reward."""


@dataclass(frozen=True)
class Artifacts:
    """What of an ended episode is graded: plain data, never a path into the sandbox."""

    files: Mapping[str, bytes]
    """By absolute path inside the sandbox; only the task's declared ones, and those missing are absent."""
    problems: tuple[str, ...] = ()
    """Why a declared file is absent: `/workspace/solution.py: is_link`."""
    answer: str | None = None
    """What the policy said last, where its environment takes answers."""
    facts: JsonObject = field(default_factory=dict)
    """What the environment itself took down: JSON that no policy can write."""


class Environment(ABC):
    """One episode's world, above the sandbox. All randomness comes from the seed given to `reset`."""

    spec: ClassVar[EnvironmentSpec]

    @classmethod
    @abstractmethod
    def task_sets(cls) -> Mapping[str, TaskSet]:
        """The task sets that ship with the environment, by name; the first is the default."""

    @classmethod
    def task_of(cls, options: Mapping[str, Any]) -> str | None:
        """The task that a caller means who names none but gives these options; None leaves it to the seed."""
        return None

    @classmethod
    def needs(cls, task: Task, options: Mapping[str, Any]) -> Needs:
        """What an episode with these options needs. Raises: ValueError for `options` that it does not know."""
        return Needs(task.image or cls.spec.image, cls.spec.limits, cls.spec.checkpoints)

    @classmethod  # noqa: B027  # some take whatever there is
    def check(cls, task: Task, options: Mapping[str, Any]) -> None:
        """That `reset` would take these options, as far as they tell without a sandbox.

        Asked before one is made, and before a world is given up for another. Raises: ValueError, fit for the caller.
        """

    @classmethod
    def offer(cls) -> Offer:
        """For `GET /environments`, asked once a server. As it stands, each kind of action is a tool."""
        return Offer(tools=[ToolInfo(**tool) for tool in tools_of(cls.spec.action_schema)])

    async def prepare(self, sandbox: Sandbox) -> None:  # noqa: B027  # most have nothing to prepare
        """Do ahead of `reset`, in the same sandbox, what depends on neither task nor seed. May not be called at all.

        Raises: SandboxError.
        """

    @abstractmethod
    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        """Prepare the fresh sandbox and return (observation, info).

        Raises: ValueError for `options` that it does not know, with a message fit for the caller.
        """

    @abstractmethod
    async def step(self, action: Any, context: StepContext) -> Transition:
        """Carry out one action of the policy; `action` is any JSON value, as the policy produced it."""

    @abstractmethod
    async def artifacts(self) -> Artifacts:
        """Export what the task declares. Called once, after every process has been stopped, outside of any series:
        nothing changes any more, and the answers of a series stay in the sandbox's memory until it is settled.
        """

    # How raw model text drives it: see spoken.py. Most environments have nothing to add.

    def tools(self) -> Sequence[JsonObject]:
        """What can be called now: name, description and parameters (a JSON Schema) of each.

        They may change from one step to the next. As it stands, each kind of action is a tool.
        """
        return tools_of(self.spec.action_schema)

    def first_sight(self, observation: JsonObject) -> JsonObject:
        """What of the first observation is shown to a model below its `prompt`: what that does not say already."""
        return {}

    def call(self, name: str, arguments: JsonObject) -> JsonObject:
        """The action that a call of a tool stands for."""
        return {"type": name, **arguments}

    def answer(self, text: str) -> JsonObject:
        """The action that a final answer, made without any call, stands for."""
        return {"type": "submit"}

    def snapshot(self) -> JsonObject:
        """The environment's own small state between two steps as JSON; what is in the sandbox is not part of it.

        Called after `reset` and after every step, so it costs microseconds and stays below a few KB.
        """
        return {}

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        """Take the place of `reset` in a new instance: go on from `snapshot`. Makes no call to the sandbox.

        `sandbox` is the same one under a new server, a copy with all its processes, or (after a checkpoint of files
        alone) one whose sessions are gone: `attach_session` gives them all the same, and their next call tells.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be restored")


def tools_of(action_schema: JsonObject) -> list[JsonObject]:
    """A tool for each kind of action of a schema that tells them apart by `type`."""
    tools = []
    for kind in action_schema.get("oneOf", ()):
        members = dict(kind.get("properties", {}))
        name = members.pop("type", {}).get("const")
        if name is not None:
            required = [member for member in kind.get("required", ()) if member != "type"]
            parameters = {"type": "object", "properties": members, "required": required}
            tools.append({"name": name, "description": kind.get("description", ""), "parameters": parameters})
    return tools
