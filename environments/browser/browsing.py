"""One browser of one episode: what it is asked for, what it may reach, what was found of it, and what its sites hold.

What a page shows may be forged by whoever breaks the browser; what a site holds cannot: it lives in the server, and the
verdict is made of it and of the policy's answer alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from environments.browser import seen
from environments.browser.actions import KINDS, ActionError, Viewport, action_schema, parse_action, read_kind
from environments.browser.computer import BESIDE, KIND, Computer
from environments.browser.driver import Driver, Seen
from environments.browser.notes import first_of_each
from environments.browser.options import Options
from environments.browser.play import Play
from environments.browser.traffic import Traffic
from environments.browser.urls import Refusal, UrlPolicy
from environments.environment import JsonObject, StepContext, Transition, tools_of
from environments.programs import JunkError
from envserver.network import egress
from envserver.runtimes.base import GIB, MIB, Ending, Limits, Sandbox, SandboxError, SandboxGoneError
from envserver_sdk.models import Outcome

BEGIN_S = 60.0
"""For the browser's start and the first page."""
LIMITS = Limits(memory_bytes=2 * GIB, cpus=2.0, pids=512, disk_bytes=512 * MIB, shm_bytes=256 * MIB, nofile=4096)
"""What a sandbox with a browser in it needs."""
ESCAPES = frozenset({"scheme_refused", "address_refused"})
"""Addresses that nobody asks for by mistake: an episode in which the policy did is worth nothing."""
MAX_NOTES = 100
MAX_EVIDENCE = 500
LOOK: JsonObject = {"type": "wait", "time_s": 0}


async def prepared(sandbox: Sandbox) -> Driver:
    """A browser without pages: its start takes longer than everything else that a beginning takes.

    Raises: SandboxError.
    """
    driver = await Driver.start(sandbox)
    request = {"op": "prepare", "options": Options().for_browser()}
    _begun(await driver.see(request, StepContext(BEGIN_S), _nothing))
    return driver


async def _nothing(_: Any) -> Any:
    raise JunkError("a browser without pages asks for nothing")


def _begun(said: Seen) -> JsonObject:
    """Raises: SandboxError where it did not."""
    if said.done is None:
        raise SandboxError(f"the browser did not begin: {said.failed or said.reply.result.stderr.text[-500:]}")
    return said.done


def check_hosts(options: Options) -> None:
    """Raises: ValueError."""
    if refused := egress.current().refused(options.hosts):
        raise ValueError(f"this server reaches none of {refused}: ENVSERVER_EGRESS_HOSTS must list them")


class Browsing:
    """Belongs to one generation of an episode."""

    def __init__(self, play: Play, options: Options) -> None:
        """Raises: ValueError for hosts that this server does not reach."""
        check_hosts(options)
        self.play = play
        self.options = options
        self._viewport = Viewport(options.width, options.height)
        self._computer = self._make_computer()
        self._policy = UrlPolicy(play.web.serves, frozenset(options.hosts))
        self._traffic = Traffic(play.web, self._policy, egress.current())
        self._sandbox: Sandbox
        self._driver: Driver | None = None
        self._notes: list[JsonObject] = []
        """What detectors found, of the policy's own actions and of pages."""
        self._escaped = False
        self._starts = 1
        """Of the browser, the first included."""
        self._oom_kills = 0
        """In the sandbox, when the browser was last seen to live."""

    def _make_computer(self) -> Computer | None:
        options = self.options
        if options.computer is None:
            return None
        return Computer(
            options.computer, self._viewport, options.picture_size, pictured="screenshot" in options.observe
        )

    @property
    def kinds(self) -> Sequence[str]:
        """Of actions, `computer` not among them."""
        return self.options.actions or (tuple(KINDS) if self._computer is None else BESIDE)

    def tools(self) -> list[JsonObject]:
        """Name, description and parameters of each kind of action."""
        computer = [] if self._computer is None else [self._computer.tool]
        return computer + tools_of(action_schema(self.kinds))

    @property
    def declaration(self) -> JsonObject:
        """What the first observation says of the browser besides what is seen."""
        return {} if self._computer is None else {KIND: self._computer.declaration}

    async def begin(
        self, sandbox: Sandbox, driver: Driver | None = None, context: StepContext | None = None
    ) -> tuple[JsonObject, JsonObject]:
        """(observation, info) of the first page. `driver` is one that was prepared.

        Once, or again after `close`, which sites do not notice. Raises: SandboxError.
        """
        self._sandbox = sandbox
        self._driver = driver or await Driver.start(sandbox)
        request = {"op": "begin", "url": self.play.start_url, "options": self.options.for_browser()}
        try:
            said = await self._ask(self._driver, request, context or StepContext(BEGIN_S))
            observation = self._see(_begun(said))
        finally:
            told, refused = self._traffic.take()
            self._note(refused)
        return observation, {**told, **({"detectors": refused} if refused else {})}

    async def act(self, request: JsonObject, context: StepContext) -> Transition:
        """One action, as `parse` gives it, that is no answer. Raises: SandboxGoneError."""
        if self._computer is not None and request["type"] == KIND:
            return await self._computer.carry_out(
                request, context.timeout_s, lambda each, left_s: self._act(each, context, left_s)
            )
        if "url" in request and request["type"] != "wait":
            refusal = self._policy.check(request["url"])
            if refusal is not None:
                return await self._refuse(refusal, request["url"], context)
        return await self._act(request, context)

    def parse(self, action: Any) -> JsonObject:
        """Raises: ActionError."""
        if self._computer is not None and self._is_for(self._computer, action):
            return self._computer.parse(action)
        return parse_action(action, self._viewport, self.kinds)

    def _is_for(self, computer: Computer, action: Any) -> bool:
        """Raises: ActionError."""
        try:
            return read_kind(action, [KIND, *self.kinds]) == KIND
        except ActionError as error:
            raise ActionError(f"{error}{computer.hint(action)}") from None

    async def _refuse(self, refusal: Refusal, evidence: str, context: StepContext) -> Transition:
        """An address that the browser never hears of; what is seen is the page as it stands."""
        escape = refusal.detector in ESCAPES
        note = {"detector": refusal.detector, "evidence": evidence[:MAX_EVIDENCE]}
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
        self._notes = first_of_each([*self._notes, *notes], MAX_NOTES)

    async def _act(self, request: JsonObject, context: StepContext, left_s: float | None = None) -> Transition:
        """`left_s`: what is left of the step's time, where something came before."""
        left = context if left_s is None else replace(context, timeout_s=left_s)
        asked = {"op": "act", "action": request, "timeout_s": left.timeout_s}
        known = len(self.play.notes())
        assert self._driver is not None
        try:
            said = await self._ask(self._driver, asked, left)
            transition = self._read(said, context)
        except SandboxGoneError:
            raise
        except SandboxError:
            transition = Transition({"error": "the browser is gone"}, outcome=Outcome.EPISODE_LOST)
        except JunkError as error:
            await self._driver.close()
            broke = f"the browser's program broke its protocol: {error}"
            transition = Transition({"error": broke}, outcome=Outcome.INFRA_ERROR)
        told, refused = self._traffic.take()
        refused += self.play.notes()[known:]
        self._note(refused)
        found = [*transition.info.get("detectors", ()), *refused]
        info = {**transition.info, **told, **({"detectors": found} if found else {})}
        over = self.play.finished and transition.outcome not in (Outcome.INFRA_ERROR, Outcome.EPISODE_LOST)
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
        with suppress(SandboxGoneError):  # the next step finds that out
            self._oom_kills = self._sandbox.usage().oom_kills
        info: JsonObject = {}
        starts = seen.starts(said.done)
        if starts != self._starts:
            self._starts = starts
            info["browser_starts"] = starts
        for url in seen.refused(said.done):
            refusal = Refusal("scheme_refused", "no page may have such an address")
            note = {"detector": refusal.detector, "evidence": url[:MAX_EVIDENCE]}
            self._note([note])
            self._escaped = True
            info["detectors"] = [*info.get("detectors", ()), note]
        outcome = Outcome.ESCAPE_ATTEMPT if "detectors" in info else Outcome.OK
        return Transition(self._see(said.done), outcome=outcome, info=info)

    async def _ask(self, driver: Driver, request: JsonObject, context: StepContext) -> Seen:
        """Raises: SandboxError, SandboxGoneError, JunkError."""
        return await driver.see(request, context, self._traffic.answer, self.options.max_chars)

    def _see(self, done: JsonObject) -> JsonObject:
        """Raises: JunkError."""
        observation = seen.observation(done, self.options.max_chars)
        return observation if self._computer is None else self._computer.see(observation)

    def _died(self, said: Seen, context: StepContext) -> Transition:
        """The program that drives the browser ended, or was ended: nothing is left to see."""
        result = said.reply.result
        if result.ending is Ending.TIMEOUT:
            error = f"the browser did not come to an end within {context.timeout_s:g} s and was killed"
            return Transition({"error": error}, truncated=True, outcome=Outcome.POLICY_TIMEOUT)
        if self._sandbox.usage().oom_kills > self._oom_kills:
            error = "the browser is gone: its sandbox ran out of memory"
            return Transition({"error": error}, truncated=True, outcome=Outcome.POLICY_OOM)
        how = f"signal {result.signal}" if result.signal is not None else f"exit code {result.exit_code}"
        error = f"the program that drives the browser died with {how}\n{result.stderr.text[-1000:]}"
        return Transition({"error": error}, outcome=Outcome.INFRA_ERROR)

    async def close(self) -> None:
        """End what is left of the browser. Raises: SandboxGoneError."""
        if self._driver is not None:
            await self._driver.close()
        self._starts = 1

    def verdict(self, answer: str | None, *, infeasible: bool) -> JsonObject:
        """For the grader `checks`: what the sites hold now, and what was found on the way."""
        checks = [vars(check) for check in self.play.checks(answer, infeasible=infeasible)]
        facts: JsonObject = {"checks": checks, "notes": [*self._notes]}
        reward = 0.0 if self._escaped else self.play.reward()
        if reward is not None:
            facts["reward"] = reward
        return facts

    def snapshot(self) -> JsonObject:
        return {
            "play": self.play.snapshot(),
            "notes": self._notes,
            "escaped": self._escaped,
            "starts": self._starts,
            "oom_kills": self._oom_kills,
            **({} if self._computer is None else {KIND: self._computer.snapshot()}),
        }

    def restore(self, sandbox: Sandbox, state: JsonObject) -> None:
        """In place of `begin`, of one that is as it was made. Makes no call to the sandbox."""
        self._sandbox, self._driver = sandbox, Driver.attach(sandbox)
        self.play.restore(state["play"])
        self._notes, self._escaped = state["notes"], state["escaped"]
        self._starts, self._oom_kills = state["starts"], state.get("oom_kills", 0)
        if self._computer is not None:
            self._computer.restore(state[KIND])
