"""Whole episodes of the tools environment in a world: turns, tools that come later, users, and the grade."""

from __future__ import annotations

from typing import Any

import pytest

from environments.environment import StepContext, Transition
from environments.tasks import Task
from environments.tools.environment import ToolsEnvironment
from environments.tools.worlds.tasks import TASK_SETS
from envserver.grading.base import Grade
from envserver.grading.registry import get_grader
from tests.unit.local_sandbox import LocalSandbox

WITHHELD = TASK_SETS["bfcl-multi-turn-miss-func"].get("multi_turn_miss_func_0")


async def step(environment: ToolsEnvironment, **action: Any) -> Transition:
    return await environment.step(action, StepContext(20.0))


async def play(
    sandbox: LocalSandbox, task: Task, turns: list[list[dict[str, Any]]]
) -> tuple[ToolsEnvironment, list[Any]]:
    """The calls of each turn, with an answer after each; a new server after every turn. What was observed, too."""
    environment = ToolsEnvironment()
    first, _ = await environment.reset(sandbox, task, 0, {})
    seen: list[Any] = [first]
    for calls in turns:
        for call in calls:
            done = await step(environment, type="call", name=call["tool"], arguments=call["arguments"])
            assert "number" in done.observation, done.observation
        seen.append(await step(environment, type="answer", text="Done."))
        state, environment = environment.snapshot(), ToolsEnvironment()
        environment.restore(sandbox, task, state)
    return environment, seen


async def graded(environment: ToolsEnvironment, task: Task, make_sandbox: Any) -> Grade:
    return await get_grader(task.grader.kind).grade(task, await environment.artifacts(), make_sandbox)


async def test_an_episode_goes_turn_by_turn_and_its_reference_is_paid(sandbox: LocalSandbox, make_sandbox: Any) -> None:
    turns = WITHHELD.grader.data["turns"]
    environment, seen = await play(sandbox, WITHHELD, turns)
    first, *answers = seen
    assert first["prompt"] == WITHHELD.prompt
    assert "sort" not in {tool["name"] for tool in first["tools"]}
    assert ["tools" in answer.observation for answer in answers] == [False, False, True, False, False]
    assert "sort" in {tool["name"] for tool in answers[2].observation["tools"]}
    assert [answer.submitted for answer in answers] == [False] * 4 + [True]
    assert (await graded(environment, WITHHELD, make_sandbox)).components == {"state": 1.0, "results": 1.0}


async def test_an_episode_that_leaves_out_a_call_is_not_paid(sandbox: LocalSandbox, make_sandbox: Any) -> None:
    turns = [*WITHHELD.grader.data["turns"]]
    turns[-1] = turns[-1][:-1]
    environment, _ = await play(sandbox, WITHHELD, turns)
    assert (await graded(environment, WITHHELD, make_sandbox)).components == {"state": 1.0, "results": 0.0}


async def test_a_recorded_call_is_paid(sandbox: LocalSandbox, make_sandbox: Any) -> None:
    task = TASK_SETS["bfcl-simple-python"].get("simple_python_0")
    call = {"tool": "calculate_triangle_area", "arguments": {"base": 10, "height": 5}}
    environment, seen = await play(sandbox, task, [[call]])
    assert seen[-1].submitted
    assert (await graded(environment, task, make_sandbox)).reward == 1.0


async def test_a_kit_that_runs_code_may_not_be_beside_a_world(sandbox: LocalSandbox) -> None:
    with pytest.raises(ValueError, match="cannot be beside it"):
        await ToolsEnvironment().reset(sandbox, WITHHELD, 0, {"tools": ["world", "python"]})
