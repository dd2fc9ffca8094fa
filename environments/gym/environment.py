"""The gym environment: a step is one call to the program that hosts the simulator, and what it says is passed on.

The episode is the environment's own: its reward, its end, its truncation. An action outside its space changes nothing
and is a `format_error`. An environment that raises or dies is our fault, not the policy's, who can only choose among
actions that are right: `infra_error`, and `policy_oom` where memory ran out. One that does not come to an end in time
is `policy_timeout` as elsewhere, with the steps that were taken; and the end of the episode if it had to be killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from environments.environment import (
    Artifacts,
    Environment,
    EnvironmentSpec,
    JsonObject,
    Offer,
    StepContext,
    Transition,
)
from environments.gym import answers
from environments.gym.actions import ActionError, action_schema, encode_request, parse_action
from environments.gym.driver import Driver
from environments.gym.furnace.tasks import Furnace
from environments.gym.options import is_env_id, parse_options
from environments.gym.tasks import Gymnasium
from environments.programs import JunkError, Reply
from environments.tasks import Task, TaskSet
from envserver.runtimes.base import MIB, Ending, Limits, Sandbox, SandboxError, SandboxGoneError
from envserver_sdk.models import CheckpointKind, Outcome

FURNACE = tuple(
    f"environments.gym.furnace.{name}"
    for name in "thermal recipe sensors scenarios scoring simulation control describing operating tools env".split()
)
"""What of the furnace is sent along, in the order of what it imports."""

BEGIN_S = 60.0
"""For making the environment and its first observation."""

LIMITS = Limits(memory_bytes=512 * MIB, pids=32, disk_bytes=64 * MIB, shm_bytes=8 * MIB)
LATE = {Ending.TIMEOUT: Outcome.POLICY_TIMEOUT, Ending.OVERFLOW: Outcome.OUTPUT_OVERFLOW}


class GymEnvironment(Environment):
    """Any Gymnasium environment that the image has."""

    spec: ClassVar[EnvironmentSpec] = EnvironmentSpec(
        name="gym",
        description="Any Gymnasium environment, by its id: one step, many steps, frames and words",
        image="gym",
        action_schema=action_schema(),
        observation_schema=answers.OBSERVATION_SCHEMA,
        limits=LIMITS,
        max_steps=1_000_000,  # the environment's own limit is the one that counts
        checkpoints=frozenset({CheckpointKind.PROCESS, CheckpointKind.REPLAY}),
    )

    sources: ClassVar[tuple[str, ...]] = FURNACE
    """Names of modules that are sent along and register environments when they are run: for those of a package on the
    server's side. They may import NumPy, Gymnasium and one another, in this order.
    """

    def __init__(self) -> None:
        self._sandbox: Sandbox
        self._driver: Driver | None = None
        self._tally: dict[str, float] = {}
        self._score: tuple[float, float] | None = None
        self._tools: Sequence[JsonObject] = ()
        """Of the environment's own, where its task says so."""

    @classmethod
    def task_sets(cls) -> Mapping[str, TaskSet]:
        return {Gymnasium.name: Gymnasium(), Furnace.name: Furnace()}

    @classmethod
    def task_of(cls, options: Mapping[str, Any]) -> str | None:
        """A task is called like the environment that it plays."""
        env_id = options.get("id")
        return env_id if is_env_id(env_id) else None

    @classmethod
    def offer(cls) -> Offer:
        return Offer(tools=[tool for tool in super().offer().tools if tool.name != "call"])  # as `tools` has it

    async def prepare(self, sandbox: Sandbox) -> None:
        """Start the program: it takes as long to import Gymnasium as a cold start takes otherwise."""
        self._driver = await Driver.start(sandbox, self.sources)

    @classmethod
    def check(cls, task: Task, options: Mapping[str, Any]) -> None:
        parse_options(task, options)

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        wanted = parse_options(task, options)
        self._sandbox, self._score = sandbox, wanted.score
        self._tools = task.public.get("tools", ())
        if self._driver is None:  # else it was prepared
            self._driver = await Driver.start(sandbox, self.sources)
        reply = await self._driver.ask(encode_request(wanted.request(seed)), StepContext(BEGIN_S))
        if reply.answer is None:
            raise SandboxError(f"the program that hosts {wanted.env_id} ended before it began")
        if reason := answers.text(reply.answer, "refused") or answers.text(reply.answer, "failed"):
            raise ValueError(reason)
        self._tally = answers.tally(reply.answer)
        info = answers.begun(reply.answer)
        observation = answers.shown(reply.answer)
        return {"prompt": self._prompt(task, info["actions"], observation.get("text")), **observation}, info

    def _prompt(self, task: Task, actions: str, text: str | None) -> str:
        """All that a model needs that reads: what to do, how, and what there is to see."""
        how = "" if self._tools else f"\n\nAn action is {actions}."
        return f"{task.prompt}{how}" + (f"\n\n{text}" if text else "")

    def first_sight(self, observation: JsonObject) -> JsonObject:
        """The prompt has the text already."""
        names = ("images",) if observation.get("text") else ("observation", "images")
        return {name: observation[name] for name in names if name in observation}

    async def step(self, action: Any, context: StepContext) -> Transition:
        assert self._driver is not None
        try:
            request = parse_action(action)
            encoded = encode_request(request)
        except ActionError as error:
            return Transition({"error": str(error)}, outcome=Outcome.FORMAT_ERROR)
        try:
            reply = await self._driver.ask(encoded, context)
            return self._read(reply, many=request["op"] == "step_many", context=context)
        except SandboxGoneError:
            raise
        except SandboxError:
            reason = "the program that hosted the environment is gone: a checkpoint of files does not hold it"
            return Transition({"error": reason}, outcome=Outcome.EPISODE_LOST)
        except JunkError as error:
            await self._driver.close()
            reason = f"the program that hosts the environment broke its own protocol: {error}"
            return Transition({"error": reason}, outcome=Outcome.INFRA_ERROR)

    def _read(self, reply: Reply, *, many: bool, context: StepContext) -> Transition:
        """Raises: JunkError."""
        if reply.answer is None:
            return self._died(reply, context)
        if (refused := answers.text(reply.answer, "refused")) is not None:
            return Transition({"error": refused}, outcome=Outcome.FORMAT_ERROR)
        if (failed := answers.text(reply.answer, "failed")) is not None:
            return Transition({"error": f"the environment failed: {failed}"}, outcome=Outcome.INFRA_ERROR)
        self._tally = answers.tally(reply.answer)
        return Transition(
            answers.shown(reply.answer, many=many),
            reward=answers.reward(reply.answer),
            terminated=answers.flag(reply.answer, "terminated"),
            truncated=answers.flag(reply.answer, "truncated"),
            outcome=LATE.get(reply.result.ending, Outcome.OK),
            info={"env_info": reply.answer.get("info"), "tally": self._tally},
        )

    def _died(self, reply: Reply, context: StepContext) -> Transition:
        """The program ended, or was ended: nothing is left to step."""
        result = reply.result
        if result.ending in LATE:
            why = f"it did not come to an end within {context.timeout_s:g} s and was killed"
            return Transition({"error": f"the environment is gone: {why}"}, truncated=True, outcome=LATE[result.ending])
        if self._sandbox.usage().oom_kills:
            error = "the environment is gone: it ran out of memory"
            return Transition({"error": error}, truncated=True, outcome=Outcome.POLICY_OOM)
        how = f"signal {result.signal}" if result.signal is not None else f"exit code {result.exit_code}"
        said = result.stderr.text[-2000:]
        return Transition({"error": f"the environment died with {how}\n{said}"}, outcome=Outcome.INFRA_ERROR)

    def tools(self) -> Sequence[JsonObject]:
        """The environment's own where it has some, else the kinds of action that need no other's tools."""
        return self._tools or [tool for tool in super().tools() if tool["name"] != "call"]

    def call(self, name: str, arguments: JsonObject) -> JsonObject:
        return {"type": "call", "name": name, "arguments": arguments} if self._tools else super().call(name, arguments)

    def answer(self, text: str) -> JsonObject:
        """A model that only speaks names its action, or has nothing left to do."""
        return self.call("finish", {}) if self._tools else {"type": "text", "text": text}

    async def artifacts(self) -> Artifacts:
        return Artifacts({}, facts={"tally": self._tally, "score": self._score})

    def snapshot(self) -> JsonObject:
        return {"tally": self._tally, "score": self._score}

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._sandbox, self._driver = sandbox, Driver.attach(sandbox)
        self._tools = task.public.get("tools", ())
        self._tally, score = state["tally"], state["score"]
        self._score = (score[0], score[1]) if score else None
