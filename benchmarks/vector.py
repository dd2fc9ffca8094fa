"""The vector environment when steps take unequal time: lock-step beside whichever is ready first, on a running node.

    python -m benchmarks.vector [--url URL] [--envs 16 64] [--steps 20]

Every slot takes the same steps both ways: `sleep` in a live shell, 10 ms for nine in ten of them, 300 ms for the tenth,
drawn by a seed. Beside the measured time stands the shortest that the sleeps alone allow: for lock-step the longest of
each round, summed; otherwise the longest slot's own. `overhead` is steps of `true` instead. Prints a line of JSON for
each number of slots.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from envserver_sdk.gymnasium import EnvserverVectorEnv

SHORT_S, LONG_S, LONG_SHARE = 0.01, 0.3, 0.1
SEED = 20

Sleeps = np.ndarray[Any, np.dtype[np.float64]]
"""Seconds, by slot and step."""


def draw_sleeps(envs: int, steps: int) -> Sleeps:
    long = np.random.default_rng(SEED).random((envs, steps)) < LONG_SHARE
    return np.where(long, LONG_S, SHORT_S)


def _sleep(seconds: float) -> dict[str, str]:
    return {"type": "bash", "command": f"sleep {seconds}" if seconds else "true"}


def lock_step(envs: EnvserverVectorEnv, sleeps: Sleeps) -> None:
    for column in sleeps.T:
        _, _, _, _, infos = envs.step([_sleep(seconds) for seconds in column])
        _check(list(infos["outcome"]))


def first_ready(envs: EnvserverVectorEnv, sleeps: Sleeps) -> None:
    slots, steps = sleeps.shape
    taken = np.zeros(slots, dtype=np.int64)
    envs.send([_sleep(seconds) for seconds in sleeps[:, 0]], range(slots))
    while (taken < steps).any():
        indices, _, _, _, _, infos = envs.recv(min_ready=1)
        _check([info["outcome"] for info in infos])
        taken[indices] += 1
        again = [int(index) for index in indices if taken[index] < steps]
        envs.send([_sleep(sleeps[index, taken[index]]) for index in again], again)


def _check(outcomes: list[str]) -> None:
    if set(outcomes) != {"ok"}:
        raise SystemExit(f"steps ended as {sorted(set(outcomes))}: nothing was measured")


def _timed(play: Callable[[EnvserverVectorEnv, Sleeps], None], envs: EnvserverVectorEnv, sleeps: Sleeps) -> float:
    began = time.perf_counter()
    play(envs, sleeps)
    return time.perf_counter() - began


def measure(url: str, count: int, steps: int) -> dict[str, Any]:
    sleeps = draw_sleeps(count, steps)
    with_none = np.zeros((count, steps))
    envs = EnvserverVectorEnv("code", count, url=url, task="HumanEval/0")
    try:
        envs.reset(seed=SEED)
        _timed(lock_step, envs, with_none[:, :2])  # the shells start with their first command
        locked, ready = _timed(lock_step, envs, sleeps), _timed(first_ready, envs, sleeps)
        overhead = _timed(lock_step, envs, with_none)
        overhead_ready = _timed(first_ready, envs, with_none)
    finally:
        envs.close()
    return {
        "envs": count,
        "steps_per_env": steps,
        "lock_step": {**_rate(count * steps, locked), "shortest_s": round(float(sleeps.max(axis=0).sum()), 3)},
        "first_ready": {**_rate(count * steps, ready), "shortest_s": round(float(sleeps.sum(axis=1).max()), 3)},
        "overhead_lock_step": _rate(count * steps, overhead),
        "overhead_first_ready": _rate(count * steps, overhead_ready),
    }


def _rate(steps: int, seconds: float) -> dict[str, float]:
    return {"steps_per_s": round(steps / seconds, 1), "seconds": round(seconds, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--envs", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    for count in arguments.envs:
        print(json.dumps(measure(arguments.url, count, arguments.steps)))


if __name__ == "__main__":
    main()
