"""What a task limits takes the environment's place, and bounds what a caller may ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.tasks import GraderSpec, Task
from envserver.episodes.manager import merge_limits
from envserver.episodes.plan import Plan
from envserver.runtimes.base import GIB, MIB, Limits
from envserver_sdk.errors import InvalidRequest
from envserver_sdk.models import LimitsRequest
from tests.unit.scripted import ScriptedEnvironment

TASK = {"memory_bytes": 256 * MIB, "pids": 20}


def test_the_tasks_limits_take_the_environments_place() -> None:
    merged = merge_limits(Limits(memory_bytes=2 * GIB, cpus=2), None, TASK)
    assert (merged.memory_bytes, merged.pids, merged.cpus) == (256 * MIB, 20, 2)


def test_little_memory_brings_little_shared_memory() -> None:
    assert merge_limits(Limits(), None, {"memory_bytes": 100 * MIB}).shm_bytes == 40 * MIB


def test_a_caller_may_ask_for_less_and_for_what_the_task_leaves_open() -> None:
    merged = merge_limits(Limits(), LimitsRequest(memory_bytes=128 * MIB, cpus=4), TASK)
    assert (merged.memory_bytes, merged.pids, merged.cpus) == (128 * MIB, 20, 4)


def test_a_caller_may_not_ask_for_more() -> None:
    with pytest.raises(InvalidRequest, match="pids is 21, this task allows at most 20"):
        merge_limits(Limits(), LimitsRequest(pids=21), TASK)


@given(
    task=st.fixed_dictionaries({}, optional={"memory_bytes": st.integers(32 * MIB, GIB), "pids": st.integers(8, 99)}),
    asked=st.fixed_dictionaries({}, optional={"memory_bytes": st.integers(32 * MIB, GIB), "pids": st.integers(8, 99)}),
)
def test_an_episode_never_gets_more_than_its_task_allows(task: dict[str, int], asked: dict[str, int]) -> None:
    try:
        merged = merge_limits(Limits(), LimitsRequest(**asked), task)
    except InvalidRequest:
        assert any(asked[name] > task.get(name, GIB) for name in asked)
        return
    assert all(getattr(merged, name) <= most for name, most in task.items())
    assert all(getattr(merged, name) == wish for name, wish in asked.items())


def plan(**settings: Any) -> Plan:
    task = Task("a", "prompt", GraderSpec("scripted"), **settings)
    kinds = ScriptedEnvironment.spec.checkpoints
    return Plan("ep_1", "scripted", ScriptedEnvironment, "letters", task, "image", Limits(), kinds, 60.0, 60.0, 60.0)


def test_a_tasks_times_and_steps_are_the_episodes() -> None:
    spec = plan(step_timeout_s=7.0, episode_timeout_s=70.0, max_steps=3).spec
    wanted = replace(
        ScriptedEnvironment.spec, step_timeout_s=7.0, max_step_timeout_s=7.0, episode_timeout_s=70.0, max_steps=3
    )
    assert spec == wanted


def test_what_a_task_leaves_open_is_the_environments() -> None:
    assert plan().spec == ScriptedEnvironment.spec
