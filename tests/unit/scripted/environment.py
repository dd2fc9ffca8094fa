"""An environment whose actions are plain data; what takes time waits for an event of the test, so that no test sleeps:

{"type": "echo", "value": ...}        observes the value
{"type": "wait", "gate": "g"}         waits until the test opens gate "g" (counts how often it ran)
{"type": "print", "text": ..., "gate": "g"?}   streams output, then waits
{"type": "end"} {"type": "cut"} {"type": "end_and_cut"} {"type": "give_up"}
{"type": "submit"} {"type": "score", "reward": r}
{"type": "oom"} {"type": "pids"} {"type": "die"} {"type": "die_oom"} {"type": "silent", "cpu_s": used}
{"type": "fail"} {"type": "crash"} {"type": "nonsense"} {"type": "nan"}
{"type": "set", "value": ...} {"type": "get"}   what the policy's processes hold; the seed at first
{"type": "random"}                    observes bytes of chance
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from environments.environment import Artifacts, Environment, EnvironmentSpec, JsonObject, StepContext, Transition
from environments.tasks import GraderSpec, Task, TaskSet
from envserver.runtimes.base import Sandbox, SandboxError, SandboxGoneError, SandboxSilentError
from envserver_sdk.models import Outcome
from tests.unit.scripted import gates
from tests.unit.scripted.sandbox import ScriptedSandbox


class ScriptedTasks(TaskSet):
    name = "letters"
    version = "1"
    touched = 0

    def task_ids(self, split: str = "all") -> Sequence[str]:
        if split != "all":
            raise KeyError(split)
        return ["a", "b", "c"]

    def splits(self) -> Sequence[str]:
        return ["all"]

    def get(self, task_id: str) -> Task:
        if task_id not in self.task_ids():
            raise KeyError(task_id)
        return Task(task_id, f"Say {task_id}.", GraderSpec("scripted", {"gold": task_id}), ("/workspace/answer",))


class ScriptedEnvironment(Environment):
    spec: ClassVar[EnvironmentSpec] = EnvironmentSpec(
        name="scripted",
        description="For tests.",
        image="scripted",
        action_schema={"type": "object"},
        observation_schema={"type": "object"},
        step_timeout_s=10.0,
        max_step_timeout_s=60.0,
        episode_timeout_s=600.0,
        max_steps=5,
    )
    _sets: ClassVar[Mapping[str, TaskSet]] = {"letters": ScriptedTasks()}

    @classmethod
    def task_sets(cls) -> Mapping[str, TaskSet]:
        return cls._sets

    @classmethod
    def check(cls, task: Task, options: Mapping[str, Any]) -> None:
        if options.get("refused"):
            raise ValueError("refused: before anything is made")

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        if options.get("gate"):
            await gates.GATES.pass_through(options["gate"])
        if set(options) - {"gate", "crash", "large"}:
            raise ValueError(f"unknown: {', '.join(sorted(options))}")
        if options.get("crash"):
            raise RuntimeError("/secret/path in a defect")
        assert isinstance(sandbox, ScriptedSandbox)
        self.sandbox = sandbox
        self.taken = 0
        sandbox.guest.value = seed
        return {"prompt": task.prompt}, {"greeting": "hello"}

    def snapshot(self) -> JsonObject:
        return {"taken": self.taken}

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        assert isinstance(sandbox, ScriptedSandbox)
        self.sandbox, self.taken = sandbox, state["taken"]

    async def step(self, action: Any, context: StepContext) -> Transition:
        if not isinstance(action, dict) or not hasattr(self, f"do_{action.get('type')}"):
            return Transition({"error": "unknown action"}, outcome=Outcome.FORMAT_ERROR)
        self.taken += 1

        async def act() -> Transition:
            gates.GATES.counts["steps"] += 1
            done: Transition = await getattr(self, f"do_{action['type']}")(action, context)
            return done

        transition: Transition = await self.sandbox.once(act)
        return transition

    async def do_set(self, action: JsonObject, context: StepContext) -> Transition:
        self.sandbox.guest.value = action["value"]
        return Transition({"was": action["value"], "taken": self.taken})

    async def do_get(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({"value": self.sandbox.guest.value, "taken": self.taken})

    async def do_random(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({"value": secrets.token_hex(8)})

    async def do_echo(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({"value": action.get("value"), "timeout_s": context.timeout_s})

    async def do_show(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition(action["observation"])

    async def do_wait(self, action: JsonObject, context: StepContext) -> Transition:
        await gates.GATES.pass_through(action["gate"])
        return Transition({"passed": action["gate"]})

    async def do_print(self, action: JsonObject, context: StepContext) -> Transition:
        for _ in range(action.get("times", 1)):
            if context.on_output is not None:
                context.on_output("stdout", action["text"].encode())
        if "gate" in action:
            await gates.GATES.pass_through(action["gate"])
        return Transition({"streamed": context.on_output is not None})

    async def do_large(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({"text": "x" * action["size"]})

    async def do_end(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({}, terminated=True)

    async def do_cut(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({}, reward=0.5, truncated=True)

    async def do_end_and_cut(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({}, terminated=True, truncated=True)

    async def do_give_up(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({"error": "it broke"}, outcome=Outcome.INFRA_ERROR)

    async def do_submit(self, action: JsonObject, context: StepContext) -> Transition:
        if "answer" in action:
            self.sandbox.files["/workspace/answer"] = action["answer"].encode()
        if "gate" in action:
            await gates.GATES.pass_through(action["gate"])
        return Transition({"text": "submitted"}, submitted=True)

    async def do_score(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({}, reward=float(action["reward"]))

    async def do_oom(self, action: JsonObject, context: StepContext) -> Transition:
        self.sandbox.counted = replace(self.sandbox.counted, oom_kills=1, cpu_s=0.5)
        return Transition({}, outcome=Outcome.POLICY_TIMEOUT)

    async def do_pids(self, action: JsonObject, context: StepContext) -> Transition:
        self.sandbox.counted = replace(self.sandbox.counted, pids_denied=7)
        return Transition({})

    async def do_die(self, action: JsonObject, context: StepContext) -> Transition:
        self.sandbox.dead = True
        raise SandboxGoneError("the agent was killed")

    async def do_silent(self, action: JsonObject, context: StepContext) -> Transition:
        self.sandbox.dead = True
        self.sandbox.counted = replace(self.sandbox.counted, cpu_s=float(action["cpu_s"]))
        raise SandboxSilentError("no answer")

    async def do_die_oom(self, action: JsonObject, context: StepContext) -> Transition:
        self.sandbox.counted = replace(self.sandbox.counted, oom_kills=1)
        return await self.do_die(action, context)

    async def do_fail(self, action: JsonObject, context: StepContext) -> Transition:
        raise SandboxError("a wire came loose")

    async def do_crash(self, action: JsonObject, context: StepContext) -> Transition:
        raise RuntimeError("/secret/path in a defect")

    async def do_nonsense(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({"text": "\ud800"})

    async def do_nan(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({}, reward=float("nan"))

    async def artifacts(self) -> Artifacts:
        assert self.sandbox.stopped, "processes are stopped before artifacts are exported"
        path = "/workspace/answer"
        return Artifacts({path: self.sandbox.files[path]} if path in self.sandbox.files else {})
