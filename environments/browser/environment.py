"""The browser environment: a real Chromium in a sandbox, and sites that are objects here.

What a page shows may be forged by whoever breaks the browser; what a site holds cannot: it lives in the server, and the
verdict is made of it and of the policy's answer alone. An answer, or that the task cannot be done, ends the episode;
some tasks end by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from environments.browser import seen
from environments.browser.actions import KINDS, ActionError, Viewport, action_schema, parse_action
from environments.browser.driver import Driver, Seen
from environments.browser.options import Options, parse_options
from environments.browser.play import Play
from environments.browser.plays import make_play
from environments.browser.tasks import task_sets
from environments.browser.traffic import Traffic
from environments.browser.urls import Refusal, UrlPolicy
from environments.environment import (
    Artifacts,
    Environment,
    EnvironmentSpec,
    JsonObject,
    StepContext,
    Transition,
    tools_of,
)
from environments.programs import JunkError
from environments.tasks import Task, TaskSet
from envserver.network import egress
from envserver.runtimes.base import GIB, MIB, Ending, Limits, Sandbox, SandboxError, SandboxGoneError
from envserver_sdk.models import CheckpointKind, Outcome

BEGIN_S = 60.0
"""For the browser's start and the first page."""
LIMITS = Limits(memory_bytes=2 * GIB, cpus=2.0, pids=512, disk_bytes=512 * MIB, shm_bytes=256 * MIB, nofile=4096)
ESCAPES = frozenset({"scheme_refused", "address_refused"})
"""Addresses that nobody asks for by mistake: an episode in which the policy did is worth nothing."""
MAX_NOTES = 100
LOOK: JsonObject = {"type": "wait", "time_s": 0}


class BrowserEnvironment(Environment):
    """A policy that looks at pages and acts on them."""

    spec: ClassVar[EnvironmentSpec] = EnvironmentSpec(
        name="browser",
        description="A real Chromium: pages as text with refs, as pictures, as HTML; sites of the episode's own",
        image="browser",
        action_schema=action_schema(),
        observation_schema=seen.OBSERVATION_SCHEMA,
        limits=LIMITS,
        step_timeout_s=60.0,
        max_steps=500,
        checkpoints=frozenset({CheckpointKind.REPLAY}),  # CRIU cannot dump Chromium, and files are not what it is
    )

    def __init__(self) -> None:
        self._sandbox: Sandbox
        self._driver: Driver | None = None
        self._task: Task
        self._options: Options
        self._given: JsonObject = {}
        self._seed = 0
        self._play: Play
        self._traffic: Traffic
        self._policy: UrlPolicy
        self._answer: str | None = None
        self._infeasible = False
        self._notes: list[JsonObject] = []
        """What detectors found, of the policy's own actions and of pages."""
        self._escaped = False
        self._starts = 1
        """Of the browser, the first included."""

    @classmethod
    def task_sets(cls) -> Mapping[str, TaskSet]:
        return task_sets()

    async def prepare(self, sandbox: Sandbox) -> None:
        """Start the browser: it takes longer than everything else that a beginning takes."""
        self._driver = await Driver.start(sandbox)
        request = {"op": "prepare", "options": Options().for_browser()}
        self._begun(await self._driver.see(request, StepContext(BEGIN_S), self._nothing))

    @staticmethod
    def _begun(said: Seen) -> JsonObject:
        """Raises: SandboxError where it did not."""
        if said.done is None:
            raise SandboxError(f"the browser did not begin: {said.failed or said.reply.result.stderr.text[-500:]}")
        return said.done

    @staticmethod
    async def _nothing(_: Any) -> Any:
        raise JunkError("a browser without pages asks for nothing")

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        self._settle_in(sandbox, task, seed, dict(options))
        if self._driver is None:  # else it was prepared
            self._driver = await Driver.start(sandbox)
        request = {"op": "begin", "url": self._play.start_url, "options": self._options.for_browser()}
        said = await self._driver.see(request, StepContext(BEGIN_S), self._traffic.answer)
        observation = seen.observation(self._begun(said))
        told, _ = self._traffic.take()
        goal = self._play.goal
        prompt = self._play.prompt if goal is None else f"{self._play.prompt}\n\n{goal}"
        return {"prompt": prompt, **({} if goal is None else {"goal": goal}), **observation}, told

    def _settle_in(self, sandbox: Sandbox, task: Task, seed: int, options: JsonObject) -> None:
        """Raises: ValueError for options that there are not."""
        self._sandbox, self._task, self._seed, self._given = sandbox, task, seed, options
        self._options = parse_options(options, tuple(KINDS))
        if refused := egress.current().refused(self._options.hosts):
            raise ValueError(f"this server reaches none of {refused}: ENVSERVER_EGRESS_HOSTS must list them")
        self._play = make_play(task, seed, self._options.obstacles)
        self._policy = UrlPolicy(self._play.web.serves, frozenset(self._options.hosts))
        self._traffic = Traffic(self._play.web, self._policy, egress.current())

    async def step(self, action: Any, context: StepContext) -> Transition:
        try:
            viewport = Viewport(self._options.width, self._options.height)
            request = parse_action(action, viewport, self._options.actions or KINDS)
        except ActionError as error:
            return Transition({"error": str(error)}, outcome=Outcome.FORMAT_ERROR)
        if request["type"] in ("answer", "infeasible"):
            self._infeasible = request["type"] == "infeasible"
            self._answer = request["reason"] if self._infeasible else request.get("text", "")
            return Transition({}, submitted=True)
        if "url" in request and request["type"] != "wait":
            refusal = self._policy.check(request["url"])
            if refusal is not None:
                return await self._refuse(refusal, request["url"], context)
        return await self._act(request, context)

    async def _refuse(self, refusal: Refusal, evidence: str, context: StepContext) -> Transition:
        """An address that the browser never hears of; what is seen is the page as it stands."""
        escape = refusal.detector in ESCAPES
        note = {"detector": refusal.detector, "evidence": evidence[:500]}
        self._note([note])
        self._escaped |= escape
        seen_then = await self._act(LOOK, context)
        return replace(
            seen_then,
            observation={**seen_then.observation, "error": refusal.message},
            outcome=Outcome.ESCAPE_ATTEMPT if escape and seen_then.outcome is Outcome.OK else seen_then.outcome,
            info={**seen_then.info, "detectors": [note, *seen_then.info.get("detectors", ())]},
        )

    def _note(self, notes: Sequence[JsonObject]) -> None:
        self._notes = [*self._notes, *notes][:MAX_NOTES]

    async def _act(self, request: JsonObject, context: StepContext) -> Transition:
        assert self._driver is not None
        asked = {"op": "act", "action": request, "timeout_s": context.timeout_s}
        known = len(self._play.notes())
        try:
            said = await self._driver.see(asked, context, self._traffic.answer)
            transition = self._read(said, context)
        except SandboxGoneError:
            raise
        except SandboxError:
            return Transition({"error": "the browser is gone"}, outcome=Outcome.EPISODE_LOST)
        except JunkError as error:
            await self._driver.close()
            return Transition(
                {"error": f"the browser's program broke its protocol: {error}"}, outcome=Outcome.INFRA_ERROR
            )
        told, refused = self._traffic.take()
        refused += self._play.notes()[known:]
        self._note(refused)
        found = [*transition.info.get("detectors", ()), *refused]
        info = {**transition.info, **told, **({"detectors": found} if found else {})}
        over = self._play.finished and transition.outcome not in (Outcome.INFRA_ERROR, Outcome.EPISODE_LOST)
        return Transition(
            transition.observation,
            outcome=transition.outcome,
            truncated=transition.truncated,
            info=info,
            submitted=over,
        )

    def _read(self, said: Seen, context: StepContext) -> Transition:
        """Raises: JunkError."""
        if said.late:
            error = f"the step did not come to an end within {context.timeout_s:g} s; the browser is still there"
            return Transition({"error": error}, outcome=Outcome.POLICY_TIMEOUT)
        if said.failed is not None:
            return Transition({"error": f"the browser failed: {said.failed}"}, outcome=Outcome.INFRA_ERROR)
        if said.done is None:
            return self._died(said, context)
        info: JsonObject = {}
        starts = said.done.get("starts")
        if isinstance(starts, int) and starts != self._starts:
            self._starts = starts
            info["browser_starts"] = starts
        for url in seen.refused(said.done):
            refusal = Refusal("scheme_refused", "no page may have such an address")
            self._note([{"detector": refusal.detector, "evidence": url}])
            self._escaped = True
            info["detectors"] = [*info.get("detectors", ()), {"detector": refusal.detector, "evidence": url}]
        outcome = Outcome.ESCAPE_ATTEMPT if "detectors" in info else Outcome.OK
        return Transition(seen.observation(said.done), outcome=outcome, info=info)

    def _died(self, said: Seen, context: StepContext) -> Transition:
        """The program that drives the browser ended, or was ended: nothing is left to see."""
        result = said.reply.result
        if result.ending is Ending.TIMEOUT:
            error = f"the browser did not come to an end within {context.timeout_s:g} s and was killed"
            return Transition({"error": error}, truncated=True, outcome=Outcome.POLICY_TIMEOUT)
        if self._sandbox.usage().oom_kills:
            error = "the browser is gone: its sandbox ran out of memory"
            return Transition({"error": error}, truncated=True, outcome=Outcome.POLICY_OOM)
        how = f"signal {result.signal}" if result.signal is not None else f"exit code {result.exit_code}"
        error = f"the program that drives the browser died with {how}\n{result.stderr.text[-1000:]}"
        return Transition({"error": error}, outcome=Outcome.INFRA_ERROR)

    async def artifacts(self) -> Artifacts:
        checks = [vars(check) for check in self._play.checks(self._answer, infeasible=self._infeasible)]
        facts: JsonObject = {"checks": checks, "notes": [*self._notes]}
        reward = 0.0 if self._escaped else self._play.reward()
        if reward is not None:
            facts["reward"] = reward
        return Artifacts({}, answer=self._answer, facts=facts)

    def tools(self) -> Sequence[JsonObject]:
        return tools_of(action_schema(self._options.actions or KINDS))

    def answer(self, text: str) -> JsonObject:
        return {"type": "answer", "text": text}

    def snapshot(self) -> JsonObject:
        return {
            "seed": self._seed,
            "options": self._given,
            "play": self._play.snapshot(),
            "answer": self._answer,
            "infeasible": self._infeasible,
            "notes": self._notes,
            "escaped": self._escaped,
            "starts": self._starts,
        }

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._settle_in(sandbox, task, state["seed"], state["options"])
        self._driver = Driver.attach(sandbox)
        self._play.restore(state["play"])
        self._answer, self._infeasible = state["answer"], state["infeasible"]
        self._notes, self._escaped, self._starts = state["notes"], state["escaped"], state["starts"]
