"""The gym environment on a real node: an episode there is, bit for bit, the environment here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction
from gymnasium.utils.env_checker import check_env
from gymnasium.vector.utils import iterate

from environments.gym.known import KNOWN
from envserver_sdk import Client
from envserver_sdk.errors import InvalidRequest
from envserver_sdk.gymnasium import HostedEnv, HostedVectorEnv, codec
from tests.conftest import ROOT
from tests.e2e.conftest import ServerProcess
from tests.unit.sdk.gymnasium.test_codec import exactly

pytestmark = [pytest.mark.node, pytest.mark.filterwarnings("ignore:.*is out of date")]

STEPS = 60


def hosted(server: ServerProcess, env_id: str, **arguments: Any) -> HostedEnv:
    env = gymnasium.make("envserver/Gym-v0", url=server.url, env_id=env_id, **arguments).unwrapped
    assert isinstance(env, HostedEnv)
    return env


@pytest.fixture
def cart(server: ServerProcess) -> Iterator[HostedEnv]:
    env = hosted(server, "CartPole-v1")
    yield env
    env.close()


@pytest.mark.parametrize("env_id", KNOWN)
def test_an_episode_is_bit_for_bit_the_local_one(env_id: str, server: ServerProcess) -> None:
    here, there = gymnasium.make(env_id), hosted(server, env_id)
    try:
        assert (there.observation_space, there.action_space) == (here.observation_space, here.action_space)
        there.action_space.seed(7)
        for seed in (1, 2):
            assert exactly(there.reset(seed=seed), here.reset(seed=seed))
            for _ in range(STEPS):
                action = there.action_space.sample()
                step = here.step(action)
                assert exactly(there.step(action), (step[0], float(step[1]), *map(bool, step[2:4]), step[4]))
                if step[2] or step[3]:
                    break
    finally:
        there.close()


def test_thousands_of_steps_in_one_call_are_those_of_a_loop(cart: HostedEnv) -> None:
    here = gymnasium.make("CartPole-v1")
    here.reset(seed=3)
    cart.reset(seed=3)
    actions = np.random.default_rng(0).integers(0, 2, 5000)
    steps = cart.step_many(actions, autoreset=True)
    assert (len(steps), steps.stopped) == (5000, None)
    resets = iter(steps.reset_observations)
    for index, action in enumerate(actions):
        observation, reward, terminated, truncated, _ = here.step(action)
        assert exactly(steps.observations[index], observation)
        assert (steps.rewards[index], steps.terminations[index], steps.truncations[index]) == (
            reward, terminated, truncated,
        )  # fmt: skip
        if terminated or truncated:
            assert exactly(next(resets), here.reset()[0])


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Taxi-v4", "Blackjack-v1"])
def test_many_environments_are_stacked_as_gymnasium_stacks_them(env_id: str, server: ServerProcess) -> None:
    here = gymnasium.make_vec(env_id, 3, vectorization_mode="sync")
    there = gymnasium.make_vec("envserver/Gym-v0", 3, url=server.url, env_id=env_id)
    assert isinstance(there, HostedVectorEnv)
    try:
        assert (there.observation_space, there.action_space) == (here.observation_space, here.action_space)
        there.action_space.seed(1)
        seen, infos = there.reset(seed=4)
        expected, own_infos = here.reset(seed=4)
        assert exactly(seen, expected)
        assert set(own_infos) | {"server", "_server"} == set(infos)
        for _ in range(30):
            actions = there.action_space.sample()
            seen, rewards, terminations, truncations, infos = there.step(actions)
            expected, own_rewards, own_terminations, own_truncations, _ = here.step(actions)
            assert exactly((rewards, terminations, truncations), (own_rewards, own_terminations, own_truncations))
            ended = terminations | truncations
            if ended.any():  # here the next step resets, there this one has
                index = int(np.flatnonzero(ended)[0])
                last = list(iterate(here.observation_space, expected))[index]
                assert np.array_equal(np.array(infos["final_obs"][index]), np.array(last))
                break
            assert exactly(seen, expected)
        with pytest.raises(InvalidAction, match="slot 0"):
            there.send([99, 0], [0, 1])
    finally:
        there.close()


def test_a_bad_action_is_an_exception_and_changes_nothing(cart: HostedEnv) -> None:
    here = gymnasium.make("CartPole-v1")
    here.reset(seed=3)
    cart.reset(seed=3)
    for bad in (2, 0.5, np.array([0, 1]), "left"):
        with pytest.raises(InvalidAction, match="an integer from 0 to 1"):
            cart.step(bad)
    with pytest.raises(InvalidAction, match=r"actions\[1\]"):
        cart.step_many([0, 2])
    assert exactly(cart.step(1)[0], here.step(1)[0])


def test_gymnasium_s_own_checks_pass(server: ServerProcess) -> None:
    env = hosted(server, "FrozenLake-v1", render_mode="ansi")
    try:
        check_env(env, skip_render_check=True)
        env.reset(seed=1)
        assert "FFFH" in str(env.render())
    finally:
        env.close()


def test_frames_are_drawn_without_a_display(server: ServerProcess) -> None:
    env = hosted(server, "CartPole-v1", render_mode="rgb_array")
    try:
        env.reset(seed=1)
        first = env.render()
        assert (first.shape, first.dtype) == ((400, 600, 3), np.uint8)
        assert len(np.unique(first.reshape(-1, 3), axis=0)) > 3
        env.step_many([0] * 5)
        assert not np.array_equal(env.render(), first)
    finally:
        env.close()


def test_every_fork_goes_on_from_where_the_simulator_stands(cart: HostedEnv) -> None:
    cart.reset(seed=5)
    cart.step_many([0, 1, 1, 0])
    checkpoint = cart.checkpoint("process")
    forks = [fork for fork in cart.fork(2) if isinstance(fork, HostedEnv)]
    try:
        actions = [1, 0] * 20
        expected = cart.step_many(actions, autoreset=True)
        for fork in forks:
            assert exactly(fork.step_many(actions, autoreset=True).observations, expected.observations)
    finally:
        for fork in forks:
            fork.close()
    assert cart.step_many([0, 1]).rewards.size, "it has gone on"
    cart.restore(checkpoint)
    assert exactly(cart.step_many(actions, autoreset=True).observations, expected.observations)
    checkpoint.delete()


def test_a_reset_inside_of_the_environment_is_drawn_from_a_stream_that_forks_share(cart: HostedEnv) -> None:
    cart.reset(seed=5)
    (fork,) = cart.fork(1)
    assert isinstance(fork, HostedEnv)
    one, other = (each.step_many([1] * 50, autoreset=True).reset_observations for each in (cart, fork))
    fork.close()
    assert len(one) > 3
    assert exactly(one, other)


def test_an_episode_outlives_a_killed_server_to_the_bit(lasting_server: ServerProcess) -> None:
    here = gymnasium.make("Acrobot-v1")
    here.reset(seed=9)
    with Client(lasting_server.url) as client:
        episode = client.create("gym", options={"id": "Acrobot-v1"}, seed=9)
        for number in range(12):
            if number % 4 == 3:
                lasting_server.kill()
                lasting_server.start()
            step = episode.step({"type": "step_many", "actions": [number % 3] * 2})
            seen = [here.step(number % 3) for _ in range(2)][-1][0]
            assert exactly(codec.decode(step.observation["observation"]), seen)
        assert step.info.model_extra is not None
        assert step.info.model_extra["tally"]["steps"] == 24
        assert episode.grade().components["return"] == -24.0


def test_a_grade_is_the_share_of_a_good_return(server: ServerProcess) -> None:
    with Client(server.url) as client:
        episode = client.create("gym", options={"id": "CartPole-v1", "score": [0, 20]}, seed=1)
        step = episode.step({"type": "step_many", "actions": [1] * 100})
        assert (step.terminated, step.truncated) == (True, False)
        grade = episode.grade()
        assert grade.reward == min(1.0, step.reward / 20)
        assert grade.components == {"return": step.reward, "episodes": 1.0, "steps": step.reward}


def test_the_environment_s_time_limit_truncates(server: ServerProcess) -> None:
    with Client(server.url) as client:
        episode = client.create("gym", options={"id": "Pendulum-v1", "max_episode_steps": 3}, seed=1)
        step = episode.step({"type": "step_many", "actions": [[0.0]] * 5})
        assert (step.observation["steps"], step.terminated, step.truncated) == (3, False, True)
        assert client.get(episode.episode_id).reason == "truncated"


def test_an_environment_that_takes_too_much_memory_ends_its_own_episode(server: ServerProcess) -> None:
    with Client(server.url) as client:
        small = {"memory_bytes": 48 << 20, "shm_bytes": 1 << 20}
        episode = client.create("gym", options={"id": "CartPole-v1"}, limits=small, seed=1)
        assert episode.step({"type": "step", "action": 0}).outcome == "ok"
        many = codec.encode(np.zeros(100_000, np.int8))
        step = episode.step({"type": "step_many", "actions": many, "autoreset": True}, timeout_s=100)
        assert (step.outcome, step.truncated) == ("policy_oom", True)
        assert "ran out of memory" in step.observation["error"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"id": "Nonsense-v3"}, "doesn't exist"),
        ({"id": "CartPole-v1", "kwargs": {"nonsense": 1}}, "nonsense"),
        ({"id": "CartPole-v1", "kwargs": {"render_mode": "human"}}, "no argument"),
        ({"id": "FrozenLake-v1", "kwargs": {"desc": 3}}, "could not be begun"),
    ],
)
def test_what_cannot_be_begun_is_the_callers_mistake(
    options: dict[str, Any], reason: str, server: ServerProcess
) -> None:
    with Client(server.url) as client, pytest.raises(InvalidRequest, match=reason):
        client.create("gym", options=options)


def test_an_id_never_imports_a_module(server: ServerProcess) -> None:
    with Client(server.url) as client, pytest.raises(InvalidRequest, match="'id' is 'json:CartPole-v1'"):
        client.create("gym", options={"id": "json:CartPole-v1"})


def test_the_benchmark_measures_both_ways(server: ServerProcess) -> None:
    command = [sys.executable, "-m", "benchmarks.gym_steps", "--url", server.url, "--steps", "4096", "--rounds", "2"]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    figures = json.loads(said)
    assert figures["env_id"] == "CartPole-v1"
    assert figures["remote_steps_per_s"] > 0
    assert figures["local_steps_per_s"] > 0


def test_a_model_plays_by_what_it_says_and_reads(server: ServerProcess) -> None:
    with Client(server.url) as client:
        options = {
            "id": "FrozenLake-v1",
            "kwargs": {"is_slippery": False},
            "text": True,
            "protocol": {"name": "hermes"},
        }
        episode = client.create("gym", options=options, seed=1)
        assert "<red>S</red>FFF" in episode.observation["messages"][-1]["content"]
        for word in ("down", "down", "right", "right", "down"):
            step = episode.step({"type": "message", "message": word})
            assert "base64" not in str(step.observation["messages"])
        call = '<tool_call>\n{"name": "step", "arguments": {"action": 2}}\n</tool_call>'
        step = episode.step({"type": "message", "message": call})
        assert (step.terminated, step.reward) == (True, 1.0)
        assert episode.grade().reward == 1.0


def test_a_furnace_is_operated_by_a_model_s_calls(server: ServerProcess) -> None:
    with Client(server.url) as client:
        options = {"protocol": {"name": "hermes"}}
        episode = client.create("gym", task_set="furnace", task="harden", options=options, seed=1)
        ramp = '{"name": "set_ramp", "arguments": {"target_c": 850, "rate_k_per_min": 8}}'
        wait = '{"name": "wait", "arguments": {"minutes": 30}}'
        message = "".join(f"<tool_call>\n{call}\n</tool_call>" for call in (ramp, wait))
        step = episode.step({"type": "message", "message": message})
        assert step.reward > 0
        said = str(step.observation["messages"])
        assert "ramp from 22 °C to 850 °C" in said
        assert "30 261 " in said
        step = episode.step({"type": "message", "message": "That is enough."})
        assert step.terminated
        reward = episode.grade().reward
        assert reward is not None
        assert 0 < reward < 0.1
