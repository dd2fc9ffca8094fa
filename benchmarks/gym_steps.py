"""Steps a second of a hosted environment through one connection, with this machine's own beside them; prints JSON.

Both take the same actions, reset at every end, and look at every observation, reward and end: here in a loop over
Gymnasium, as anyone would write it; there in calls of `--batch`
steps, from the action array to the observations' array, all encoding included. Rounds take turns, so that both meet the
same load, and the best round of each counts: nothing makes a program faster than it is.

    python -m benchmarks.gym_steps --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

import envserver_sdk.gymnasium
from envserver_sdk.gymnasium import HostedEnv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--env-id", default="CartPole-v1")
    parser.add_argument("--steps", type=int, default=32_768, help="a round")
    parser.add_argument("--batch", type=int, default=4096, help="steps a call")
    parser.add_argument("--rounds", type=int, default=7)
    print(json.dumps(measure(parser.parse_args())))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    there = envserver_sdk.gymnasium.HostedEnv(arguments.env_id, url=arguments.url)
    here = gymnasium.make(arguments.env_id)
    try:
        there.reset(seed=1)
        here.reset(seed=1)
        here.action_space.seed(1)
        actions = np.array([here.action_space.sample() for _ in range(arguments.steps)])
        single = min(arguments.steps, 500)
        ways: dict[str, tuple[int, Callable[[], None]]] = {
            "remote_steps_per_s": (len(actions), lambda: step_there(there, actions, arguments.batch)),
            "local_steps_per_s": (len(actions), lambda: step_here(here, actions)),
            "remote_one_step_a_call_per_s": (single, lambda: step_there(there, actions[:single], 1)),
        }
        best = dict.fromkeys(ways, 0.0)
        for _ in range(arguments.rounds):
            for name, (steps, run) in ways.items():
                began = time.perf_counter()
                run()
                best[name] = max(best[name], steps / (time.perf_counter() - began))
    finally:
        there.close()
    figures = {name: round(rate) for name, rate in best.items()}
    share = figures["remote_steps_per_s"] / figures["local_steps_per_s"]
    return {
        "env_id": arguments.env_id, "batch": arguments.batch, "rounds": arguments.rounds, **figures,
        "share_of_local": round(share, 2), "load_average": os.getloadavg()[0],
    }  # fmt: skip


def step_there(env: HostedEnv, actions: np.ndarray[Any, Any], batch: int) -> None:
    for first in range(0, len(actions), batch):
        part = actions[first : first + batch]
        steps = env.step_many(part, autoreset=True)
        assert len(steps) == len(steps.observations) == len(part), "none may be left out"


def step_here(env: gymnasium.Env[Any, Any], actions: np.ndarray[Any, Any]) -> None:
    seen = []
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        seen.append((observation, reward, terminated, truncated))
        if terminated or truncated:
            env.reset()


if __name__ == "__main__":
    main()
