"""The Gymnasium face on a real node: its own checks, and many episodes in real containers."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envserver_sdk import Client
from envserver_sdk.gymnasium import EnvserverVectorEnv
from tests.conftest import ROOT
from tests.e2e.conftest import ServerProcess

pytestmark = pytest.mark.node

RIGHT = """
def has_close_elements(numbers, threshold):
    ordered = sorted(numbers)
    return any(b - a < threshold for a, b in zip(ordered, ordered[1:]))
"""


def test_gymnasium_s_own_checks_pass_without_a_warning(server: ServerProcess) -> None:
    mark = {"test": "check_env"}
    env = gymnasium.make("envserver/Code-v0", url=server.url, task="HumanEval/0", metadata=mark)
    try:
        check_env(env.unwrapped)
    finally:
        env.close()
    with Client(server.url) as client:
        assert [episode for episode in client.list(limit=1000).episodes if episode.metadata == mark] == []


def test_a_browser_is_an_environment_of_gymnasium_too(server: ServerProcess) -> None:
    env = gymnasium.make("envserver/Browser-v0", url=server.url, task_set="miniwob", task="click-test")
    try:
        observation, _ = env.reset(seed=1)
        assert observation in env.observation_space
        env.action_space.seed(5)
        over = False
        for _ in range(20):
            if over:
                env.reset(seed=1)
            observation, reward, over, cut, info = env.step(env.action_space.sample())
            assert observation in env.observation_space
            assert info["outcome"] in ("ok", "format_error", "escape_attempt"), info
            assert (reward, cut) == (0.0, False) or over
        observation, _ = env.reset(seed=1)
        (ref,) = re.findall(r'button "Click Me!".*\[ref=(\w+)\]', observation["text"])
        observation, reward, terminated, _, _ = env.step({"type": "click", "ref": ref})
        assert (reward, terminated) == (1.0, True)
    finally:
        env.close()


def test_many_episodes_share_a_connection_and_the_quick_are_not_held_up(server: ServerProcess) -> None:
    envs = EnvserverVectorEnv("code", 4, url=server.url, task="HumanEval/0", autoreset_mode="Disabled")
    try:
        observations, _ = envs.reset(seed=1)
        assert observations in envs.observation_space
        held = {"type": "bash", "command": "until [ -e /workspace/go ]; do sleep 0.01; done; echo gone"}
        quick = [{"type": "python", "code": f"{number} ** 2"} for number in range(3)]
        envs.send([*quick, held], range(4))
        results: dict[int, str] = {}
        while len(results) < 3:
            indices, observations, *_ = envs.recv(1)
            results |= {int(index): seen["result"] for index, seen in zip(indices, observations, strict=True)}
        assert results == {0: "0", 1: "1", 2: "4"}
        assert envs.recv(1, timeout_s=0.05)[0].tolist() == []
        envs.reset(seed=2, options={"reset_mask": np.array([False, False, False, True])})

        write = {"type": "write_file", "path": "solution.py", "content": RIGHT}
        kill = {"type": "bash", "command": "kill -9 -1"}
        _, rewards, terminations, _, infos = envs.step([write, write, kill, {"type": "submit"}])
        assert rewards.tolist() == [0.0] * 4
        assert infos["trainable"].all(), "what the policy does to itself is its own"
        assert terminations[3]
        envs.send([{"type": "submit"}], [0])
        indices, _, rewards, terminations, _, _ = envs.recv(1, timeout_s=60)
        assert (indices.tolist(), rewards.tolist(), terminations.tolist()) == ([0], [1.0], [True])
    finally:
        envs.close()


def test_the_benchmark_measures_both_ways(server: ServerProcess) -> None:
    command = [sys.executable, "-m", "benchmarks.vector", "--url", server.url, "--envs", "2", "--steps", "2"]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    (line,) = said.splitlines()
    figures = json.loads(line)
    for way in ("lock_step", "first_ready"):
        assert figures[way]["seconds"] >= figures[way]["shortest_s"], "nothing is quicker than the sleeps themselves"
        assert figures[way]["steps_per_s"] > 0
