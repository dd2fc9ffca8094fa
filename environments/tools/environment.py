"""The tools environment: a policy calls tools until it answers.

An action is a call, `{"type": "call", "name", "arguments"}`, or an answer, `{"type": "answer", "text"}`. An answer ends
the policy's turn: where the task has a simulated user with more to say, that is the observation, and the episode goes
on; else the episode is graded. How raw model text becomes these actions is not this file's: see environments/spoken.py.

Which kits of tools there are is the task's to say (`public["tools"]`); a caller may ask for more or for fewer by
`options["tools"]`. Beside a world whose state is checked no kit may run the policy's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from environments.artifacts import export
from environments.environment import (
    Artifacts,
    Environment,
    EnvironmentSpec,
    JsonObject,
    Needs,
    Offer,
    StepContext,
    Transition,
)
from environments.tasks import Task, TaskSet
from environments.tools.catalog import kit_infos, make_kits, needs_of, task_sets
from environments.tools.kit import Kit
from environments.tools.rules import RULES, parse_rules
from environments.tools.schemas import ACTION_SCHEMA, OBSERVATION_SCHEMA
from environments.tools.toolbox import CallError, Toolbox
from environments.tools.users import User, user_of
from envserver.runtimes.base import Sandbox
from envserver_sdk.models import Outcome

MAX_ANSWER_CHARS = 20_000
OPTIONS = RULES | {"tools", "mcp"}


class ToolsEnvironment(Environment):
    """A policy that finds out and changes things by calling tools."""

    spec: ClassVar[EnvironmentSpec] = EnvironmentSpec(
        name="tools",
        description="Typed tools: search, calculator, SQL, files, pictures, code, worlds with state, MCP servers",
        image="tools",
        action_schema=ACTION_SCHEMA,
        observation_schema=OBSERVATION_SCHEMA,
        max_steps=100,
    )

    def __init__(self) -> None:
        self._task: Task
        self._sandbox: Sandbox
        self._options: JsonObject = {}
        self._toolbox: Toolbox
        self._user: User
        self._seed = 0
        self._turn = 1
        self._said: list[str] = []
        """What the policy answered, turn by turn."""

    @classmethod
    def task_sets(cls) -> Mapping[str, TaskSet]:
        return task_sets()

    @classmethod
    def needs(cls, task: Task, options: Mapping[str, Any]) -> Needs:
        return needs_of(task, super().needs(task, options), options)

    @classmethod
    def check(cls, task: Task, options: Mapping[str, Any]) -> None:
        for kit in _kits(task, dict(options)):
            kit.check(task, options.get(kit.name, {}))
        parse_rules(task.public, options)

    @classmethod
    def offer(cls) -> Offer:
        return Offer(kits=kit_infos())

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        self._settle_in(sandbox, task, seed, dict(options))
        for path, data in task.files.items():
            await sandbox.write_file(path, data)
        await self._toolbox.begin(sandbox, task)
        self._toolbox.begin_turn(1)
        prompt = self._toolbox.prompt or await self._user.begin()
        return {"prompt": prompt, "tools": self._toolbox.schemas()}, {}

    def _settle_in(self, sandbox: Sandbox, task: Task, seed: int, options: JsonObject) -> None:
        self._sandbox, self._task, self._seed, self._options = sandbox, task, seed, options
        kits = _kits(task, options)
        for kit in kits:
            kit.set_up(task, seed, options.get(kit.name, {}) if kit.takes_options else {})
        self._toolbox = Toolbox(kits, parse_rules(task.public, options), seed)
        self._user = user_of(task, seed)

    async def step(self, action: Any, context: StepContext) -> Transition:
        kind = action.get("type") if isinstance(action, dict) else None
        if kind == "call":
            return await self._call(action, context)
        if kind == "answer":
            return await self._answer(action)
        return self._malformed("an action is an object whose member 'type' is 'call' or 'answer'")

    async def _call(self, action: JsonObject, context: StepContext) -> Transition:
        if unknown := action.keys() - {"type", "name", "arguments"}:
            return self._malformed(f"a call has no member {str(min(unknown))[:64]!r}; it takes 'name' and 'arguments'")
        before = self._toolbox.schemas()
        try:
            done = await self._toolbox.call(action.get("name"), action.get("arguments", {}), context)
        except CallError as error:
            return self._malformed(str(error))
        if (schemas := self._toolbox.schemas()) != before:
            done.observation["tools"] = schemas
        return done

    async def _answer(self, action: JsonObject) -> Transition:
        text = action.get("text")
        if not isinstance(text, str) or action.keys() - {"type", "text"}:
            return self._malformed("an answer takes one member, 'text', a string")
        if len(text) > MAX_ANSWER_CHARS:
            return self._malformed(f"the answer has {len(text)} characters, at most {MAX_ANSWER_CHARS} are allowed")
        self._said.append(text)
        reply = await self._user.reply(self._turn, text)
        if reply is None:
            return Transition({}, submitted=True)
        self._turn += 1
        before = self._toolbox.schemas()
        self._toolbox.begin_turn(self._turn)
        schemas = self._toolbox.schemas()
        return Transition({"user": reply, **({"tools": schemas} if schemas != before else {})})

    def _malformed(self, message: str) -> Transition:
        self._toolbox.record.format_errors += 1
        return Transition({"error": message}, outcome=Outcome.FORMAT_ERROR)

    async def artifacts(self) -> Artifacts:
        files, problems = await export(self._sandbox, self._task.artifacts)
        answer = self._said[-1] if self._said else None
        facts = {**self._toolbox.facts(), "said": list(self._said), **self._toolbox.verdict(answer)}
        return Artifacts(files, problems, answer=answer, facts=facts)

    def tools(self) -> Sequence[JsonObject]:
        return self._toolbox.schemas()

    def call(self, name: str, arguments: JsonObject) -> JsonObject:
        return {"type": "call", "name": name, "arguments": arguments}

    def answer(self, text: str) -> JsonObject:
        return {"type": "answer", "text": text}

    def snapshot(self) -> JsonObject:
        return {
            "seed": self._seed,
            "options": self._options,
            "toolbox": self._toolbox.snapshot(),
            "user": self._user.snapshot(),
            "turn": self._turn,
            "said": list(self._said),
        }

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._settle_in(sandbox, task, state["seed"], state["options"])
        self._turn, self._said = state["turn"], list(state["said"])
        self._user.restore(state["user"])
        self._toolbox.restore(sandbox, task, state["toolbox"])


def _kits(task: Task, options: JsonObject) -> Sequence[Kit]:
    """Raises: ValueError."""
    kits = make_kits(task, options)
    known = OPTIONS | {kit.name for kit in kits if kit.takes_options}
    if unknown := options.keys() - known:
        raise ValueError(f"unknown options {sorted(unknown)}; the tools environment takes {sorted(known)}")
    return kits
