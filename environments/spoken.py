"""Any environment, driven by what a model says: raw text, or a message in OpenAI's or Anthropic's shape.

An episode that was made with `options["protocol"]` takes one more kind of action, `{"type": "message", "message"}`: one
whole turn of the assistant. The protocol (protocols/) finds the calls in it, the environment carries them out one
after the other, and the observation has the messages that go back to the model, in the protocol's own shape. Everything
else, sandboxes and rewards among it, is the environment's own.

A malformed message is an observation that says what was wrong, and is counted: `format_errors` in the step's info, and
in what the graders get; `format_penalty` in the protocol's settings takes that much off the step's reward for each. A
call that is well-formed and that the environment refuses all the same (`format_error`) is one of these mistakes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from environments.environment import Artifacts, Environment, JsonObject, StepContext, Transition
from environments.protocols import Call, FormatProblem, Protocol, Result, ToolSchema, Turn, protocol
from environments.showing import as_text, pictures_of
from environments.tasks import Task, TaskSet
from envserver.runtimes.base import Sandbox
from envserver_sdk.models import Outcome

OPTION = "protocol"
PENALTY = "format_penalty"
MAX_LISTED = 200
"""Of the same member of several calls' info; how many more there were is in `<member>_not_listed`."""
NOT_LISTED = "_not_listed"
NOT_RUN = "this did not run: the episode had ended with the call before it"


def speaking(environment: Environment, options: Mapping[str, Any]) -> tuple[Environment, Mapping[str, Any]]:
    """The environment as its episode's options ask for it, and the options that are its own.

    Raises: ValueError for a protocol that there is not.
    """
    if OPTION not in options:
        return environment, options
    rest = {name: value for name, value in options.items() if name != OPTION}
    return SpokenEnvironment(environment, options[OPTION]), rest


def speaking_again(environment: Environment, snapshot: JsonObject) -> Environment:
    """The same for one that goes on from a snapshot."""
    return SpokenEnvironment(environment, snapshot[OPTION]) if OPTION in snapshot else environment


@dataclass
class _Done:
    """What the calls of one message have come to so far."""

    transitions: list[Transition]
    results: list[Result]
    """Of every call, also of those that came too late to run."""
    refused: list[FormatProblem]
    """What was well-formed, and the environment did not take."""

    @property
    def over(self) -> bool:
        return any(each.terminated or each.truncated or each.submitted for each in self.transitions)


class SpokenEnvironment(Environment):
    """An environment with a protocol in front of it."""

    def __init__(self, inner: Environment, settings: Any) -> None:
        """Raises: ValueError for settings that no protocol has."""
        self._inner = inner
        self._settings = settings
        self._protocol, self._penalty = _parse_settings(settings)
        self._results = 0
        """Observations of calls so far: a model may cite them by number."""
        self._attempts = 0
        """Calls so far, refused ones among them: ids that a protocol makes from positions are never made twice."""
        self._format_errors = 0
        self._refused = 0
        """Those of them that the environment found, which may count them itself."""

    @property
    def spec(self) -> Any:  # type: ignore[override]  # the inner one's
        return self._inner.spec

    @classmethod
    def task_sets(cls) -> Mapping[str, TaskSet]:
        return {}

    async def prepare(self, sandbox: Sandbox) -> None:
        await self._inner.prepare(sandbox)

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        observation, info = await self._inner.reset(sandbox, task, seed, options)
        self._protocol.check(self._tools())
        messages = self._first_messages(observation)
        schemas = self._protocol.tool_schemas(self._tools())
        return {**_without_pictures(observation), "messages": messages, "tool_schemas": schemas}, info

    def _first_messages(self, observation: JsonObject) -> list[JsonObject]:
        instructions = self._protocol.instructions(self._tools())
        system = [{"role": "system", "content": instructions}] if instructions else []
        said, seen = str(observation.get("prompt", "")), self._inner.first_sight(observation)
        if shown := _without_pictures(seen):
            said = f"{said}\n\n{as_text(shown)}"
        return [*system, self._protocol.render_user(said, pictures_of(seen))]

    def _tools(self) -> dict[str, ToolSchema]:
        found = (ToolSchema(each["name"], each["description"], each["parameters"]) for each in self._inner.tools())
        return {schema.name: schema for schema in found}

    async def step(self, action: Any, context: StepContext) -> Transition:
        if not isinstance(action, dict) or action.get("type") != "message":
            return await self._inner.step(action, context)
        turn = self._protocol.parse(action.get("message"), self._tools(), self._attempts + 1)
        self._attempts += len(
            {*(call.call_id for call in turn.calls), *(each.call_id for each in turn.problems)} - {None}
        )
        self._format_errors += len(turn.problems)
        before = self._inner.tools()
        done = await self._carry_out(turn, context)
        self._format_errors += len(done.refused)
        self._refused += len(done.refused)
        transition = self._combine(turn, done)
        if self._inner.tools() != before:
            schemas = self._protocol.tool_schemas(self._tools())
            transition = replace(transition, observation={**transition.observation, "tool_schemas": schemas})
        return transition

    async def _carry_out(self, turn: Turn, context: StepContext) -> _Done:
        """The calls in their order, within the step's time; none after one that ends the episode."""
        done = _Done([], [], [])
        ends_at = time.monotonic() + context.timeout_s
        for call in turn.calls:
            if done.over:
                done.results.append(Result(call, NOT_RUN, error=True))
                continue
            left_s = max(0.001, ends_at - time.monotonic())
            transition = await self._inner.step(
                self._inner.call(call.name, call.arguments), replace(context, timeout_s=left_s)
            )
            self._results += 1
            done.transitions.append(transition)
            done.results.append(_result(call, transition, self._results))
            done.refused += _refused(transition, call)
        if turn.answer is not None and not turn.calls:
            transition = await self._inner.step(self._inner.answer(turn.answer), context)
            done.transitions.append(transition)
            done.refused += _refused(transition)
        return done

    def _combine(self, turn: Turn, done: _Done) -> Transition:
        """One step of everything that the message came to."""
        observation: JsonObject = {
            "messages": self._replies(turn, done),
            "observations": [_without_pictures(each.observation) for each in done.transitions],
        }
        info = {"format_errors": self._format_errors, **_info([each.info for each in done.transitions])}
        problems = [*turn.problems, *done.refused]
        if problems:
            info["format_problems"] = [{"code": each.code, "message": each.message} for each in problems]
        return Transition(
            observation,
            reward=sum(each.reward for each in done.transitions) - self._penalty * len(problems),
            terminated=any(each.terminated for each in done.transitions),
            truncated=any(each.truncated for each in done.transitions),
            outcome=_outcome(turn.problems, done.transitions),
            info=info,
            submitted=any(each.submitted for each in done.transitions),
        )

    def _replies(self, turn: Turn, done: _Done) -> list[JsonObject]:
        if turn.answer is not None and done.transitions and not done.results:
            said = done.transitions[-1].observation
            return [] if not said else [{"role": "user", "content": as_text(said)}]
        return list(self._protocol.render_results(turn, done.results, turn.problems))

    async def artifacts(self) -> Artifacts:
        artifacts = await self._inner.artifacts()
        counted = artifacts.facts.get("format_errors")
        if self._penalty and counted is None:
            return artifacts
        unpaid = 0 if self._penalty else self._format_errors  # each was paid for when it was made
        errors = unpaid + max(0, int(counted or 0) - self._refused)
        return replace(artifacts, facts={**artifacts.facts, "format_errors": errors})

    def tools(self) -> Sequence[JsonObject]:
        return self._inner.tools()

    def call(self, name: str, arguments: JsonObject) -> JsonObject:
        return self._inner.call(name, arguments)

    def answer(self, text: str) -> JsonObject:
        return self._inner.answer(text)

    def snapshot(self) -> JsonObject:
        return {
            OPTION: self._settings,
            "results": self._results,
            "attempts": self._attempts,
            "format_errors": self._format_errors,
            "refused": self._refused,
            "inner": self._inner.snapshot(),
        }

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._results, self._attempts = state["results"], state["attempts"]
        self._format_errors, self._refused = state["format_errors"], state.get("refused", 0)
        self._inner.restore(sandbox, task, state["inner"])


def _parse_settings(settings: Any) -> tuple[Protocol, float]:
    penalty = 0.0
    if isinstance(settings, Mapping) and PENALTY in settings:
        settings = dict(settings)
        penalty = settings.pop(PENALTY)
        if isinstance(penalty, bool) or not isinstance(penalty, int | float) or not 0 <= penalty <= 1:
            raise ValueError(f"{PENALTY} is {penalty!r}, must be a number from 0 to 1")
    return protocol(settings), float(penalty)


def _result(call: Call, transition: Transition, count: int) -> Result:
    """Where the environment numbers its calls, by its number: it knows which an answer may cite."""
    observation = transition.observation
    refused = transition.outcome is Outcome.FORMAT_ERROR
    number = observation.get("number", None if refused else count)
    return Result(call, as_text(observation), pictures_of(observation), bool(observation.get("error")), number)


def _refused(transition: Transition, call: Call | None = None) -> list[FormatProblem]:
    """What the environment did not take of a call, or of the answer; at most one problem."""
    if transition.outcome is not Outcome.FORMAT_ERROR:
        return []
    said = transition.observation.get("error")
    why = said if isinstance(said, str) else "the environment does not take this"
    return [FormatProblem("wrong_arguments", f"{call.name}: {why}" if call else why, call.call_id if call else None)]


def _info(infos: Sequence[JsonObject]) -> JsonObject:
    """Of several calls: lists are joined and what they leave out is summed; anything else is the last one's."""
    told: JsonObject = {}
    left_out: Counter[str] = Counter()
    for name, value in ((name, value) for each in infos for name, value in each.items()):
        if isinstance(value, list) and isinstance(told.get(name), list):
            joined = [*told[name], *value]
            told[name] = joined[:MAX_LISTED]
            left_out[name + NOT_LISTED] += max(0, len(joined) - MAX_LISTED)
        elif name.endswith(NOT_LISTED) and isinstance(value, int):
            left_out[name] += value
        else:
            told[name] = value
    return told | +left_out


def _without_pictures(observation: JsonObject) -> JsonObject:
    """They are in the messages, and large."""
    return {name: value for name, value in observation.items() if name != "images"}


def _outcome(problems: Sequence[FormatProblem], transitions: Sequence[Transition]) -> Outcome:
    """The first that is not ok; a message of which nothing could be carried out is malformed."""
    for each in transitions:
        if each.outcome is not Outcome.OK:
            return each.outcome
    return Outcome.FORMAT_ERROR if problems and not transitions else Outcome.OK
