"""The `world` grader: what a policy's calls came to, compared with what the reference's calls come to.

The reference is a list of calls for each turn of the user. It is replayed in a fresh sandbox, and its states are
compared with those that the episode's world had, by digests: any path to the same state counts. What the task may ask
beside it is in `Expectations`. The policy's calls are replayed only where assertions are made about its last state.

The episode's digests are believed since its world is trusted code that nothing of the policy ran beside. A reference
that cannot be replayed, or a replay that comes to another state than the episode, is our failure: `GradingError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from environments.environment import Artifacts
from environments.tasks import Task
from environments.tools.worlds.record import WorldRecord
from environments.tools.worlds.session import WorldAnswer, WorldLostError, WorldSession, WorldSpec
from envserver.grading.base import Grade, Grader, GradingError, SandboxFactory
from envserver.grading.expectations import Expectations, judge
from envserver.runtimes.base import Sandbox, SandboxError, SandboxSpec

DEFAULT_IMAGE = "tools"
CALL_S = 30.0
"""A call that took the policy longer has ended its world."""
KIT = "world"
Calls = Iterable[Mapping[str, Any]]


class WorldGrader(Grader):
    """Pays 1.0 when everything holds that the task expects, else 0.0; the components tell what."""

    kind = KIT

    async def grade(self, task: Task, artifacts: Artifacts, make_sandbox: SandboxFactory) -> Grade:
        facts = artifacts.facts.get("kits", {}).get(KIT)
        if facts is None:
            if not artifacts.problems:
                raise GradingError(f"the episode of task {task.task_id} has no world")
            return Grade(0.0, {"world": 0.0}, {"problems": list(artifacts.problems)})
        record, said = WorldRecord.of(facts), artifacts.facts.get("said", [])
        expected = Expectations.of(task.grader.data)
        spec = SandboxSpec(image=task.image or DEFAULT_IMAGE, labels={"purpose": "grading"}, ttl_s=600)
        async with _sandbox(make_sandbox, spec) as sandbox:
            try:
                reference, met = await _replay_both(sandbox, task, expected, record)
            except (SandboxError, WorldLostError) as error:
                raise GradingError(f"the world of task {task.task_id} could not be replayed: {error}") from error
        return judge(expected, reference, record, said, met)


@asynccontextmanager
async def _sandbox(make_sandbox: SandboxFactory, spec: SandboxSpec) -> AsyncIterator[Sandbox]:
    sandbox = await make_sandbox(spec)
    try:
        yield sandbox
    finally:
        await sandbox.destroy()


async def _replay_both(
    sandbox: Sandbox, task: Task, expected: Expectations, record: WorldRecord
) -> tuple[WorldRecord, Sequence[bool]]:
    """What the reference came to, and which assertions about the policy's world are met."""
    world, begins = WorldSession(sandbox), WorldSpec.of(task.grader.data["world"])
    opened = await world.open(begins)
    if opened.digests != record.beginning:
        raise GradingError(f"the world of task {task.task_id} did not begin as the episode's did")
    reference = await _replay(world, opened, expected.turns)
    if not expected.assertions or record.lost:
        return reference, [False] * len(expected.assertions)
    again = await _replay(
        world, await world.begin(begins), [[vars(call) for call in turn.calls] for turn in record.turns]
    )
    if again.states() != record.states():
        raise GradingError(f"the episode of task {task.task_id}, replayed, came to another state")
    return reference, [await _holds(world, each) for each in expected.assertions]


async def _replay(world: WorldSession, opened: WorldAnswer, turns: Iterable[Calls]) -> WorldRecord:
    record = WorldRecord(dict(opened.digests))
    for number, calls in enumerate(turns, 1):
        record.begin_turn(number)
        for call in calls:
            answer = await world.call(call["tool"], call["arguments"], timeout_s=CALL_S)
            record.turns[-1].add(call["tool"], call["arguments"], answer)
    return record


async def _holds(world: WorldSession, assertion: Mapping[str, Any]) -> bool:
    answer = await world.call(assertion["tool"], assertion["arguments"], timeout_s=CALL_S)
    return not answer.error and answer.text == assertion["text"]
