"""The browser environment: a real Chromium in a sandbox, and sites that are objects here.

An answer, or that the task cannot be done, ends the episode; some tasks end by themselves. What an action comes to is
browsing.py's to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from environments.browser import seen
from environments.browser.actions import KINDS, ActionError, action_schema
from environments.browser.browsing import LIMITS, Browsing, check_hosts, prepared
from environments.browser.computer import action_schemas
from environments.browser.driver import Driver
from environments.browser.options import check_ends, parse_options
from environments.browser.plays import check_obstacles, make_play
from environments.browser.tasks import task_sets
from environments.environment import (
    Artifacts,
    Environment,
    EnvironmentSpec,
    JsonObject,
    Offer,
    StepContext,
    Transition,
    tools_of,
)
from environments.tasks import Task, TaskSet
from envserver.runtimes.base import Sandbox
from envserver_sdk.models import CheckpointKind, Outcome, ToolInfo


class BrowserEnvironment(Environment):
    """A policy that looks at pages and acts on them."""

    spec: ClassVar[EnvironmentSpec] = EnvironmentSpec(
        name="browser",
        description="A real Chromium: pages as text with refs, as pictures, as HTML; sites of the episode's own",
        image="browser",
        action_schema={"oneOf": [*action_schema()["oneOf"], *action_schemas()]},
        observation_schema=seen.OBSERVATION_SCHEMA,
        limits=LIMITS,
        step_timeout_s=60.0,
        max_steps=500,
        checkpoints=frozenset({CheckpointKind.REPLAY}),  # CRIU cannot dump Chromium, and files are not what it is
    )

    def __init__(self) -> None:
        self._prepared: Driver | None = None
        self._browsing: Browsing
        self._given: JsonObject = {}
        self._seed = 0
        self._answer: str | None = None
        self._infeasible = False

    @classmethod
    def task_sets(cls) -> Mapping[str, TaskSet]:
        return task_sets()

    @classmethod
    def check(cls, task: Task, options: Mapping[str, Any]) -> None:
        chosen = parse_options(options, tuple(KINDS))
        check_hosts(chosen)
        check_obstacles(task, chosen.obstacles)
        check_ends(task, chosen)

    @classmethod
    def offer(cls) -> Offer:
        """Without a provider's computer, which only an episode that asks for it has."""
        return Offer(tools=[ToolInfo(**tool) for tool in tools_of(action_schema())])

    async def prepare(self, sandbox: Sandbox) -> None:
        self._prepared = await prepared(sandbox)

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        self._settle_in(task, seed, dict(options))
        observation, info = await self._browsing.begin(sandbox, self._prepared)
        play = self._browsing.play
        goal = play.goal
        prompt = play.prompt if goal is None else f"{play.prompt}\n\n{goal}"
        told = {"prompt": prompt, **({} if goal is None else {"goal": goal}), **self._browsing.declaration}
        return {**told, **observation}, info

    def _settle_in(self, task: Task, seed: int, options: JsonObject) -> None:
        """Raises: ValueError for options that there are not."""
        self._seed, self._given = seed, options
        chosen = parse_options(options, tuple(KINDS))
        self._browsing = Browsing(make_play(task, seed, chosen.obstacles), chosen)

    async def step(self, action: Any, context: StepContext) -> Transition:
        try:
            request = self._browsing.parse(action)
        except ActionError as error:
            return Transition({"error": str(error)}, outcome=Outcome.FORMAT_ERROR)
        if request["type"] not in ("answer", "infeasible"):
            return await self._browsing.act(request, context)
        self._infeasible = request["type"] == "infeasible"
        self._answer = request["reason"] if self._infeasible else request.get("text", "")
        return Transition({}, submitted=True)

    async def artifacts(self) -> Artifacts:
        facts = self._browsing.verdict(self._answer, infeasible=self._infeasible)
        return Artifacts({}, answer=self._answer, facts=facts)

    def tools(self) -> Sequence[JsonObject]:
        return self._browsing.tools()

    def first_sight(self, observation: JsonObject) -> JsonObject:
        told = ("prompt", "goal", *self._browsing.declaration)
        return {name: value for name, value in observation.items() if name not in told}

    def answer(self, text: str) -> JsonObject:
        return {"type": "answer", "text": text}

    def snapshot(self) -> JsonObject:
        return {
            "seed": self._seed,
            "options": self._given,
            "answer": self._answer,
            "infeasible": self._infeasible,
            **self._browsing.snapshot(),
        }

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._settle_in(task, state["seed"], state["options"])
        self._browsing.restore(sandbox, state)
        self._answer, self._infeasible = state["answer"], state["infeasible"]
