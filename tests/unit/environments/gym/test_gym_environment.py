"""The gym environment over its real program: what it passes on and refuses, and what a broken simulator comes to."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from environments.environment import StepContext, Transition
from environments.gym import GymEnvironment
from environments.gym.driver import SESSION
from environments.gym.known import KNOWN
from environments.gym.options import Options, parse_options
from environments.gym.tasks import Gymnasium
from environments.tasks import GraderSpec, Task
from envserver.runtimes.base import Usage
from envserver_sdk.gymnasium import codec
from envserver_sdk.models import Outcome
from tests.unit.environments.gym.conftest import Begin, TroubledEnvironment
from tests.unit.local_sandbox import LocalSandbox
from tests.unit.sdk.gymnasium.test_codec import exactly

CONTEXT = StepContext(20)


async def act(environment: GymEnvironment, type_: str, timeout_s: float = 20.0, **members: Any) -> Transition:
    return await environment.step({"type": type_, **members}, StepContext(timeout_s))


async def test_an_episode_is_the_environment_s_own(begin: Begin) -> None:
    environment = await begin("FrozenLake-v1", seed=4, text=True)
    first, info = environment.first  # type: ignore[attr-defined]
    env = gymnasium.make("FrozenLake-v1")
    observation, own_info = env.reset(seed=4)
    assert exactly((codec.decode(first["observation"]), codec.decode(info["env_info"])), (observation, own_info))
    shown = "An action is an integer from 0 to 3 (0 left, 1 down, 2 right, 3 up).\n\n\n<red>S</red>FFF\n"
    assert shown in first["prompt"], "a model that reads has seen where it begins"
    assert environment.first_sight(first) == {}
    assert info["max_episode_steps"] == 100
    assert info["action_space"] == {"space": "Discrete", "dtype": "<i8", "n": 4, "start": 0}
    for _ in range(100):
        transition = await act(environment, "step", action=2)
        observation, reward, terminated, truncated, own_info = env.step(2)
        assert (transition.reward, transition.terminated, transition.truncated) == (reward, terminated, truncated)
        assert exactly(codec.decode(transition.observation["observation"]), observation)
        assert exactly(codec.decode(transition.info["env_info"]), own_info)
        assert transition.observation["text"]
        if terminated or truncated:
            break
    assert terminated


async def test_without_a_text_a_model_first_sees_the_observation_itself(begin: Begin) -> None:
    environment = await begin("CartPole-v1", seed=4)
    first, _ = environment.first  # type: ignore[attr-defined]
    assert "text" not in first
    assert environment.first_sight(first) == {"observation": first["observation"]}


async def test_the_first_observation_and_every_answer_may_be_larger_than_a_message(begin: Begin) -> None:
    environment = await begin("tests/Wide-v0")
    rows = np.zeros(1_300_000, np.int64)
    transition = await act(environment, "step_many", actions=codec.encode(rows[:90_000]))
    assert (transition.outcome, transition.observation["stopped"]) == (Outcome.OK, "size")
    seen = codec.decode(transition.observation["observations"])
    assert seen.nbytes > 2_000_000
    assert seen[:, 0].tolist() == list(range(1, len(seen) + 1))
    transition = await act(environment, "step_many", actions=codec.encode(rows))
    assert transition.outcome is Outcome.FORMAT_ERROR
    assert "at most 4194304 are allowed" in transition.observation["error"]


async def test_what_an_environment_prints_disturbs_nothing(begin: Begin) -> None:
    environment = await begin("tests/Prints-v0")
    for number in (1, 2, 3):
        assert codec.decode((await act(environment, "step", action=0)).observation["observation"]) == number


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (None, "one of step, step_many, text, call, render"),
        ("left", "one of step, step_many, text, call, render"),
        ({"type": "submit"}, "one of step, step_many, text, call, render"),
        ({"type": ["step"]}, "one of step, step_many, text, call, render"),
        ({"type": "step"}, "needs a member 'action'"),
        ({"type": "step", "action": 0, "and": 1}, "has no member 'and'; it takes action"),
        ({"type": "step_many", "actions": 3}, "must be a list"),
        ({"type": "step_many", "actions": []}, "has 0 actions, must be from 1 to 100000"),
        ({"type": "step_many", "actions": [0], "autoreset": 1}, "'autoreset' must be true or false"),
        ({"type": "text", "text": 1}, "must be a string"),
        ({"type": "render", "format": "gif"}, "must be one of png, array"),
        ({"type": "render"}, "draws no frames"),
        ({"type": "call", "name": "fly"}, "there is no tool 'fly'; this environment has none"),
        ({"type": "call", "name": 1}, "'name' must be a string"),
        ({"type": "call", "name": "fly", "arguments": []}, "'arguments' an object"),
        ({"type": "step", "action": 7}, "right is an integer from 0 to 1"),
        ({"type": "step_many", "actions": [0, 7]}, "actions[1]: "),
        ({"type": "text", "text": "up"}, "names no action"),
    ],
)
async def test_a_bad_action_changes_nothing(action: Any, reason: str, begin: Begin) -> None:
    environment = await begin("CartPole-v1")
    before = environment.snapshot()
    transition = await environment.step(action, CONTEXT)
    assert transition.outcome is Outcome.FORMAT_ERROR
    assert reason in transition.observation["error"]
    assert environment.snapshot() == before
    assert (await act(environment, "step", action=0)).info["tally"]["steps"] == 1


async def test_an_action_nested_without_end_is_a_bad_one(begin: Begin) -> None:
    environment = await begin("CartPole-v1")
    for depth in (500, 100_000):
        nested: Any = 0
        for _ in range(depth):
            nested = [nested]
        assert (await act(environment, "step", action=nested)).outcome is Outcome.FORMAT_ERROR
    assert (await act(environment, "step", action=0)).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"id": "Acrobot-v1"}, "'id' is 'Acrobot-v1', but the task 'CartPole-v1' plays 'CartPole-v1'"),
        ({"nonsense": 1}, "unknown options ['nonsense']"),
        ({"kwargs": []}, "must be an object"),
        ({"kwargs": {"render_mode": "human"}}, "no argument of an environment"),
        ({"kwargs": {"max_episode_steps": 5}}, "no argument of an environment"),
        ({"kwargs": {"disable_env_checker": True}}, "no argument of an environment"),
        ({"kwargs": {"id": "Acrobot-v1"}}, "no argument of an environment"),
        ({"kwargs": {"a b": 1}}, "no argument of an environment"),
        ({"kwargs": {"a": "x" * 70_000}}, "more than 65536 bytes"),
        ({"render": "yes"}, "'render' is 'yes'"),
        ({"text": 1}, "'text' is 1"),
        ({"max_episode_steps": 0}, "a whole number above 0"),
        ({"max_episode_steps": True}, "a whole number above 0"),
        ({"score": [1, 0]}, "must be less than the second"),
        ({"score": [0, float("inf")]}, "must be less than the second"),
        ({"score": 1}, "must be the returns"),
    ],
)
def test_options_that_make_no_sense_are_the_callers_mistake(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_options(Gymnasium().get("CartPole-v1"), options)
    assert reason in str(raised.value)


async def test_so_is_what_only_the_program_finds_out(begin: Begin) -> None:
    with pytest.raises(ValueError, match="Environment `Nonsense` doesn't exist"):
        await begin("Nonsense-v0")


@pytest.mark.parametrize(
    "env_id", ["os:system", "evil.module:Env-v0", "a/b/c", "", "x" * 129, "CartPole-v1\n", "../x", 1, None]
)
def test_no_id_has_a_module_to_import(env_id: Any) -> None:
    assert GymEnvironment.task_of({"id": env_id}) is None
    if isinstance(env_id, str):
        with pytest.raises(KeyError):
            Gymnasium().get(env_id)


def test_a_task_may_fix_what_is_played_and_import_what_registers_it() -> None:
    hidden = {"id": "operators/Own-v0", "kwargs": {"level": 3}, "modules": ["operators_own"]}
    task = Task("third", "Play.", GraderSpec("return", {"bounds": [0, 2]}), hidden=hidden)
    made = parse_options(task, {"kwargs": {"colour": "red"}})
    assert made == Options(
        "operators/Own-v0", {"colour": "red", "level": 3}, score=(0.0, 2.0), modules=("operators_own",)
    )
    with pytest.raises(ValueError, match="'level', which the task sets"):
        parse_options(task, {"kwargs": {"level": 1}})


async def test_an_environment_that_raises_is_our_fault(begin: Begin) -> None:
    environment = await begin("tests/Raises-v0")
    transition = await act(environment, "step", action=1)
    assert transition.outcome is Outcome.INFRA_ERROR
    assert "ZeroDivisionError: deep inside" in transition.observation["error"]


async def test_so_is_one_that_dies(begin: Begin) -> None:
    environment = await begin("tests/Dies-v0")
    transition = await act(environment, "step", action=1)
    assert transition.outcome is Outcome.INFRA_ERROR
    assert transition.observation["error"] == "the environment died with exit code 7\nlast words\n"


async def test_one_that_runs_out_of_memory_ends_the_episode(
    begin: Begin, sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = await begin("tests/Dies-v0")
    monkeypatch.setattr(sandbox, "usage", lambda: Usage(0, 0, 0, oom_kills=1, pids_denied=0))
    transition = await act(environment, "step", action=1)
    assert (transition.outcome, transition.truncated) == (Outcome.POLICY_OOM, True)


async def test_one_that_hangs_is_ended_and_the_episode_with_it(begin: Begin) -> None:
    environment = await begin("tests/Hangs-v0")
    transition = await act(environment, "step", timeout_s=0.3, action=1)
    assert (transition.outcome, transition.truncated) == (Outcome.POLICY_TIMEOUT, True)
    assert "did not come to an end within 0.3 s" in transition.observation["error"]


async def test_many_steps_that_take_too_long_stop_between_two_and_the_episode_goes_on(begin: Begin) -> None:
    environment = await begin("tests/Slow-v0")
    transition = await act(environment, "step_many", timeout_s=0.35, actions=[0] * 50)
    assert (transition.outcome, transition.truncated) == (Outcome.POLICY_TIMEOUT, False)
    taken = transition.observation["steps"]
    assert (transition.observation["stopped"], 1 <= taken < 20) == ("time", True)
    following = await act(environment, "step", action=0)
    assert following.outcome is Outcome.OK
    assert codec.decode(following.observation["observation"]) == taken + 1


async def test_what_is_not_the_program_s_answer_ends_it(
    begin: Begin, sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = await begin("tests/Simulator-v0")
    program = sandbox.guest.sessions[SESSION]
    own = program.call

    async def say(*arguments: Any) -> Any:
        return dataclasses.replace(await own(*arguments), message=b'.{"tally": 3}')

    monkeypatch.setattr(program, "call", say)
    transition = await act(environment, "step", action=0)
    assert (transition.outcome, transition.observation["error"][-8:]) == (Outcome.INFRA_ERROR, "no tally")
    assert SESSION not in sandbox.guest.sessions


async def test_a_sandbox_that_came_back_without_its_program_is_a_lost_episode(
    begin: Begin, sandbox: LocalSandbox
) -> None:
    environment = await begin("CartPole-v1")
    await sandbox.stop_processes()
    again = TroubledEnvironment()
    again.restore(sandbox, Gymnasium().get("CartPole-v1"), json.loads(json.dumps(environment.snapshot())))
    assert (await act(again, "step", action=0)).outcome is Outcome.EPISODE_LOST


async def test_a_prepared_program_is_the_one_that_is_used(sandbox: LocalSandbox) -> None:
    environment = GymEnvironment()
    await environment.prepare(sandbox)
    pid = sandbox.guest.sessions[SESSION].process.pid
    await environment.reset(sandbox, Gymnasium().get("CartPole-v1"), 1, {})
    assert (await act(environment, "step", action=0)).outcome is Outcome.OK
    assert sandbox.guest.sessions[SESSION].process.pid == pid


async def test_the_grade_s_facts_are_what_was_earned(begin: Begin) -> None:
    environment = await begin("CartPole-v1", score=[0, 100])
    await act(environment, "step", action=0)
    many = await act(environment, "step_many", actions=[1, 0] * 100, autoreset=True)
    facts = (await environment.artifacts()).facts
    assert facts["score"] == (0.0, 100.0)
    assert facts["tally"]["steps"] == 201
    assert facts["tally"]["ended_return"] + facts["tally"]["standing_return"] == 1 + many.reward == 201


def test_the_server_needs_neither_numpy_nor_gymnasium(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; sys.modules['numpy'] = sys.modules['gymnasium'] = None\n"
        "from environments.gym import GymEnvironment; from environments.gym.driver import command; command()\n"
        "[s.get(i) for s in GymEnvironment.task_sets().values() for i in s.task_ids()]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[4])


@pytest.mark.filterwarnings("ignore:.*is out of date")
def test_the_known_environments_are_those_of_the_installed_gymnasium() -> None:
    modules = ("gymnasium.envs.classic_control", "gymnasium.envs.toy_text")
    installed = {name: spec for name, spec in gymnasium.registry.items() if str(spec.entry_point).startswith(modules)}
    assert list(KNOWN) == list(installed)
    assert Gymnasium.version == gymnasium.__version__
    for name, known in KNOWN.items():
        env = gymnasium.make(name)
        observation, _ = env.reset(seed=0)
        assert len(known.observation) == np.size(observation) or len(known.observation) == len(observation), name
        if isinstance(env.action_space, gymnasium.spaces.Discrete):
            assert len(known.actions) == env.action_space.n, name
        if installed[name].reward_threshold and "FrozenLake" not in name:
            assert known.high == installed[name].reward_threshold, name
        assert known.low < known.high
        assert all(action == action.lower() for action in known.actions), "texts are compared in small letters"
