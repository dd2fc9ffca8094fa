"""A runtime, an environment and a grader for tests of everything above them: the contracts, without containers.

Actions are plain data; what takes time waits for an event of the test, so that no test sleeps:

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

import asyncio
import builtins
import contextlib
import copy
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from itertools import count
from typing import Any, ClassVar

from environments.environment import Artifacts, Environment, EnvironmentSpec, JsonObject, StepContext, Transition
from environments.tasks import GraderSpec, Task, TaskSet
from envserver.grading.base import Grade, Grader, GradingError, SandboxFactory
from envserver.runtimes.base import (
    CallForgottenError,
    Capability,
    CheckpointKind,
    CheckpointNotFoundError,
    Command,
    CommandResult,
    FileEntry,
    OutputLimits,
    OutputListener,
    Runtime,
    RuntimeUnavailableError,
    Sandbox,
    SandboxCheckpoint,
    SandboxError,
    SandboxFileError,
    SandboxGoneError,
    SandboxInfo,
    SandboxSilentError,
    SandboxSpec,
    SandboxState,
    Session,
    Usage,
)
from envserver_sdk.models import Outcome


class Guest:
    """What is inside: it outlives servers, and is copied by a checkpoint of processes."""

    def __init__(self) -> None:
        self.settled = self.greatest = 0
        self.results: dict[tuple[int, int], asyncio.Future[Any]] = {}
        self.value: Any = None
        """What the policy's processes hold."""
        self.ran: Counter[tuple[int, int]] = Counter()

    async def once(self, name: tuple[int, int], work: Callable[[], Awaitable[Any]]) -> Any:
        if name[0] <= self.settled:
            raise CallForgottenError(f"call {name} is forgotten")
        self.greatest = max(self.greatest, name[0])
        if name not in self.results:
            self.ran[name] += 1
            self.results[name] = asyncio.ensure_future(work())
        return await asyncio.shield(self.results[name])

    def end(self) -> None:
        for running in self.results.values():
            running.cancel()

    def copy(self) -> Guest:
        made = Guest()
        made.settled, made.greatest, made.value = self.settled, self.greatest, copy.deepcopy(self.value)
        return made


class ScriptedSandbox(Sandbox):
    """Files are a dictionary; counters are set by the environment's actions."""

    def __init__(self, runtime: ScriptedRuntime, sandbox_id: str, spec: SandboxSpec) -> None:
        self.sandbox_id = sandbox_id
        self.spec = spec
        self.created_at = time.time()
        self.files: dict[str, bytes] = {}
        self.counted = Usage(cpu_s=0.0, memory_bytes=1000, memory_peak_bytes=2000, oom_kills=0, pids_denied=0)
        self.dead = False
        self.stopped = False
        self.state = SandboxState.RUNNING
        self._runtime = runtime
        self.guest = Guest()
        self._reserved = self._settled = 0
        self._made: ContextVar[list[int] | None] = ContextVar("made", default=None)

    def reserve_series(self) -> int:
        self._reserved = max(self._reserved, self.guest.greatest) + 1
        return self._reserved

    @contextlib.contextmanager
    def series(self, number: int) -> Iterator[None]:
        self._reserved = max(self._reserved, number)
        token = self._made.set([number, 0])
        try:
            yield
        finally:
            self._made.reset(token)

    def settle_series(self, number: int) -> None:
        self._settled = max(self._settled, number)

    def tell(self) -> None:
        """With each call the guest hears what is settled, and not before."""
        self.guest.settled = max(self.guest.settled, self._settled)

    @property
    def settled_series(self) -> int:
        return max(self._settled, self.guest.settled)

    async def once(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """A call to the guest: it runs, unless one of its name has run or runs. It outlives its caller."""
        self._check()
        made = self._made.get()
        if made is None:
            return await work()
        made[1] += 1
        return await self.guest.once((made[0], made[1]), work)

    def attach_session(self, name: str) -> Session:
        raise SandboxError("a scripted sandbox has no programs")

    def _check(self) -> None:
        if self.dead or self.sandbox_id not in self._runtime.sandboxes:
            raise SandboxGoneError(f"{self.sandbox_id} has ended")
        assert self.state is SandboxState.RUNNING, "called while it stands still"
        self.tell()

    async def run(
        self,
        command: Command,
        *,
        stdin: bytes = b"",
        timeout_s: float,
        grace_s: float = 0.5,
        output: OutputLimits = OutputLimits(),
        on_output: OutputListener | None = None,
    ) -> CommandResult:
        raise SandboxError("a scripted sandbox has no programs")

    async def open_session(self, name: str, command: Command, *, feed: bytes = b"", pty: bool = False) -> Session:
        raise SandboxError("a scripted sandbox has no programs")

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644, user: int = 1000) -> None:
        self._check()
        self._runtime.counts["write_file"] += 1
        self.files[path] = data

    async def read_file(self, path: str, *, max_bytes: int = 1 << 24, user: int = 1000) -> bytes:
        self._check()
        if path not in self.files:
            raise SandboxFileError("not_found", path)
        if len(self.files[path]) > max_bytes:
            raise SandboxFileError("too_large", path)
        return self.files[path]

    async def list_files(
        self, path: str, *, max_entries: int = 10_000, max_depth: int = 16, user: int = 1000
    ) -> tuple[list[FileEntry], bool]:
        self._check()
        return [FileEntry(name, "file", len(data), 0o644) for name, data in sorted(self.files.items())], False

    async def has_room(self, paths: Sequence[str], size_bytes: int = 0) -> bool:
        self._check()
        return True

    async def stop_processes(self) -> int:
        self._check()
        self.stopped = True
        return 0

    def usage(self) -> Usage:
        if self.sandbox_id not in self._runtime.sandboxes:
            raise SandboxGoneError(f"{self.sandbox_id} has ended")
        return self.counted

    def mark_usage(self) -> None:
        self._check()

    @property
    def gone(self) -> bool:
        return self.dead or self.sandbox_id not in self._runtime.sandboxes

    async def destroy(self) -> None:
        await self._runtime.destroy(self.sandbox_id)


class ScriptedRuntime(Runtime):
    """Sandboxes are entries of a dictionary. `fail_creates`, `fail_claims` and so on make the next ones fail,
    `hold` makes creates wait. A server that dies leaves it as it is."""

    name = "scripted"
    capabilities = frozenset(
        (Capability.PROCESS_CHECKPOINT, Capability.FILESYSTEM_CHECKPOINT, Capability.PAUSE, Capability.HIBERNATE)
    )

    def __init__(self) -> None:
        self.sandboxes: dict[str, ScriptedSandbox] = {}
        self.counts: Counter[str] = Counter()
        self.fail_creates: list[Exception] = []
        self.fail_claims: list[Exception] = []
        self.slow_disk: asyncio.Event | None = None
        """Checkpoints are on it when it is set."""
        self.fail_checkpoints: list[Exception] = []
        self.fail_restores: list[Exception] = []
        self.fail_adopts: list[Exception] = []
        self.fail_deletes: list[Exception] = []
        self.fail_lists: list[Exception] = []
        self.stored: dict[str, tuple[SandboxCheckpoint, Guest, dict[str, bytes]]] = {}
        self.hold: asyncio.Event | None = None
        self.creating = asyncio.Event()
        self.available = True
        self.most = 0
        self.empty = asyncio.Event()
        self._ids = count(1)

    async def create(self, spec: SandboxSpec) -> ScriptedSandbox:
        self.counts["create"] += 1
        self.creating.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.fail_creates:
            raise self.fail_creates.pop(0)
        sandbox = ScriptedSandbox(self, f"sb{next(self._ids)}", spec)
        self.sandboxes[sandbox.sandbox_id] = sandbox
        self.most = max(self.most, len(self.sandboxes))
        self.empty.clear()
        return sandbox

    async def claim(self, sandbox: Sandbox, spec: SandboxSpec) -> None:
        self.counts["claim"] += 1
        if self.fail_claims:
            raise self.fail_claims.pop(0)
        if sandbox.gone:
            raise SandboxGoneError(f"{sandbox.sandbox_id} has ended")
        sandbox.spec = spec

    async def list(self) -> list[SandboxInfo]:
        if not self.available:
            raise RuntimeUnavailableError("the launcher does not answer")
        if self.fail_lists:
            raise self.fail_lists.pop(0)
        return [
            SandboxInfo(s.sandbox_id, s.spec.image, s.spec.labels, s.created_at, s.created_at + s.spec.ttl_s, s.state)
            for s in self.sandboxes.values()
        ]

    def _find(self, sandbox_id: str) -> ScriptedSandbox:
        found = self.sandboxes.get(sandbox_id)
        if found is None or found.dead:
            raise SandboxGoneError(f"{sandbox_id} has ended")
        return found

    async def adopt(self, sandbox_id: str, spec: SandboxSpec) -> ScriptedSandbox:
        self.counts["adopt"] += 1
        if self.fail_adopts:
            raise self.fail_adopts.pop(0)
        found = self._find(sandbox_id)
        adopted = ScriptedSandbox(self, sandbox_id, spec)
        adopted.files, adopted.guest, adopted.counted = found.files, found.guest, found.counted
        adopted.created_at, adopted.stopped = found.created_at, found.stopped
        self.sandboxes[sandbox_id] = adopted
        return adopted

    async def pause(self, sandbox: Sandbox) -> None:
        self.counts["pause"] += 1
        self._find(sandbox.sandbox_id).state = SandboxState.PAUSED

    async def resume(self, sandbox: Sandbox) -> None:
        self.counts["resume"] += 1
        self._find(sandbox.sandbox_id).state = SandboxState.RUNNING

    async def hibernate(self, sandbox: Sandbox) -> None:
        self.counts["hibernate"] += 1
        if self.fail_checkpoints:
            raise self.fail_checkpoints.pop(0)
        self._find(sandbox.sandbox_id).state = SandboxState.HIBERNATED

    async def checkpoint(
        self,
        sandbox: Sandbox,
        kind: CheckpointKind,
        labels: Mapping[str, str],
        moved_on: Callable[[], None] = lambda: None,
    ) -> SandboxCheckpoint:
        self.counts[f"checkpoint_{kind}"] += 1
        if self.fail_checkpoints:
            raise self.fail_checkpoints.pop(0)
        found = self._find(sandbox.sandbox_id)
        found.tell()
        guest = found.guest.copy() if kind is CheckpointKind.PROCESS else Guest()
        made = SandboxCheckpoint(
            f"sc{next(self._ids)}", kind, found.spec.image, found.spec.limits, dict(labels), time.time(), 100, 1.5
        )
        files = dict(found.files)
        moved_on()
        if self.slow_disk is not None:
            await self.slow_disk.wait()
        self.stored[made.checkpoint_id] = (made, guest, files)
        return made

    async def restore(self, checkpoint_id: str, spec: SandboxSpec) -> ScriptedSandbox:
        self.counts["restore"] += 1
        if self.fail_restores:
            raise self.fail_restores.pop(0)
        if checkpoint_id not in self.stored:
            raise CheckpointNotFoundError(checkpoint_id)
        _, guest, files = self.stored[checkpoint_id]
        sandbox = await self.create(spec)
        sandbox.guest, sandbox.files = guest.copy(), dict(files)
        return sandbox

    async def checkpoints(self) -> builtins.list[SandboxCheckpoint]:
        return [made for made, _, _ in self.stored.values()]

    async def delete_checkpoint(self, checkpoint_id: str) -> None:
        self.counts["delete_checkpoint"] += 1
        if self.fail_deletes:
            raise self.fail_deletes.pop(0)
        self.stored.pop(checkpoint_id, None)

    async def destroy(self, sandbox_id: str) -> None:
        self.counts["destroy"] += 1
        if (ended := self.sandboxes.pop(sandbox_id, None)) is not None:
            ended.guest.end()
        if not self.sandboxes:
            self.empty.set()

    async def close(self) -> None:
        self.counts["close"] += 1

    def labelled(self, purpose: str) -> Sequence[ScriptedSandbox]:
        return [s for s in self.sandboxes.values() if s.spec.labels.get("purpose") == purpose]


class Gates:
    """Events by name, opened by the test; and how often each was reached."""

    def __init__(self) -> None:
        self._open: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.counts: Counter[str] = Counter()

    def open(self, name: str) -> None:
        self._open[name].set()

    async def reached(self, name: str) -> None:
        await self._reached[name].wait()

    async def pass_through(self, name: str) -> None:
        self.counts[name] += 1
        self._reached[name].set()
        await self._open[name].wait()


GATES = Gates()
"""Replaced for each test by the fixture `gates`."""


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

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        if options.get("gate"):
            await GATES.pass_through(options["gate"])
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
            GATES.counts["steps"] += 1
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
        await GATES.pass_through(action["gate"])
        return Transition({"passed": action["gate"]})

    async def do_print(self, action: JsonObject, context: StepContext) -> Transition:
        for _ in range(action.get("times", 1)):
            if context.on_output is not None:
                context.on_output("stdout", action["text"].encode())
        if "gate" in action:
            await GATES.pass_through(action["gate"])
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
            await GATES.pass_through(action["gate"])
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


class ScriptedGrader(Grader):
    """1.0 for the task's own letter. `errors` are raised by the next gradings; `gate` makes them wait."""

    kind = "scripted"

    def __init__(self) -> None:
        self.gradings = 0
        self.errors: list[Exception] = []
        self.gate: str | None = None

    async def grade(self, task: Task, artifacts: Artifacts, make_sandbox: SandboxFactory) -> Grade:
        self.gradings += 1
        # Two at once, as a worker grading holds them: what two of these could deadlock over.
        one = await make_sandbox(SandboxSpec(image="scripted"))
        two = await make_sandbox(SandboxSpec(image="scripted"))
        try:
            if self.gate is not None:
                await GATES.pass_through(self.gate)
            if self.errors:
                raise self.errors.pop(0)
            right = artifacts.files.get("/workspace/answer") == task.grader.data["gold"].encode()
            return Grade(1.0 if right else 0.0, {"tests": 1.0 if right else 0.0}, {"checked": 1})
        finally:
            await one.destroy()
            await two.destroy()

    def get(self, kind: str) -> Grader:
        if kind != self.kind:
            raise GradingError(kind)
        return self
