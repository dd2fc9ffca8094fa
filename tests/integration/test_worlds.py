"""Worlds in real sandboxes: references are paid, and a checkpoint of processes forks a world."""

from __future__ import annotations

import pytest

from environments.environment import Artifacts, StepContext
from environments.tasks import Task
from environments.tools.tool import ToolContext, ToolResult
from environments.tools.worlds.kit import WorldKit
from environments.tools.worlds.tasks import TASK_SETS
from envserver.grading.base import Grade
from envserver.grading.registry import get_grader
from envserver.runtimes.base import CheckpointKind, Sandbox, SandboxSpec
from envserver.runtimes.crun import CrunRuntime

pytestmark = pytest.mark.node

SPEC = SandboxSpec(image="tools")
TASKS = (
    ("bfcl-multi-turn-base", 4),
    ("bfcl-multi-turn-miss-func", 50),
    ("bfcl-multi-turn-miss-param", 100),
    ("bfcl-multi-turn-long-context", 150),
    ("tau2-mock-solo", 0),
    ("tau2-telecom-solo", 700),
)


async def call(kit: WorldKit, sandbox: Sandbox, tool: str, arguments: dict[str, object]) -> ToolResult:
    return await kit.tools[tool].call(ToolContext(sandbox, StepContext(20.0), 0), arguments)


async def graded(runtime: CrunRuntime, task: Task, kit: WorldKit) -> Grade:
    facts = {"kits": {"world": kit.facts()}, "said": []}
    return await get_grader("world").grade(task, Artifacts({}, facts=facts), runtime.create)


async def play(runtime: CrunRuntime, task: Task, *, last: bool = True) -> Grade:
    """The reference's calls, as a policy would make them; without the last one, if so wished."""
    sandbox, kit = await runtime.create(SPEC), WorldKit()
    try:
        await kit.begin(sandbox, task, 0)
        turns = task.grader.data["turns"]
        final = max(number for number, calls in enumerate(turns, 1) if calls)
        for number, calls in enumerate(turns, 1):
            kit.begin_turn(number)
            for each in calls[: len(calls) - (number == final and not last)]:
                await call(kit, sandbox, each["tool"], each["arguments"])
        return await graded(runtime, task, kit)
    finally:
        await sandbox.destroy()


@pytest.mark.parametrize(("name", "place"), TASKS)
async def test_the_reference_is_paid_and_less_is_not(runtime: CrunRuntime, name: str, place: int) -> None:
    tasks = TASK_SETS[name]
    task = tasks.get(tasks.task_ids()[place])
    assert (await play(runtime, task)).reward == 1.0
    assert (await play(runtime, task, last=False)).reward == 0.0


async def test_a_checkpoint_of_processes_forks_a_world(runtime: CrunRuntime) -> None:
    task = TASK_SETS["bfcl-multi-turn-base"].get("multi_turn_base_1")
    first = task.grader.data["turns"][0][0]
    original, kit = await runtime.create(SPEC), WorldKit()
    sandboxes = [original]
    try:
        await kit.begin(original, task, 0)
        await call(kit, original, first["tool"], first["arguments"])
        await call(kit, original, "mkdir", {"dir_name": "shared"})
        checkpoint = await runtime.checkpoint(original, CheckpointKind.PROCESS, {})
        seen = []
        for name in ("one", "two"):
            sandboxes.append(await runtime.restore(checkpoint.checkpoint_id, SPEC))
            fork = WorldKit()
            fork.restore(sandboxes[-1], task, kit.snapshot())
            await call(fork, sandboxes[-1], "mkdir", {"dir_name": name})
            seen.append((await call(fork, sandboxes[-1], "ls", {})).text)
        assert ["shared" in text for text in seen] == [True, True]
        assert [("one" in text, "two" in text) for text in seen] == [(True, False), (False, True)]
        assert "one" not in (await call(kit, original, "ls", {})).text
        await runtime.delete_checkpoint(checkpoint.checkpoint_id)
    finally:
        for sandbox in sandboxes:
            await sandbox.destroy()
