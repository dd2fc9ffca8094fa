"""A group of rollouts of one task, as a GRPO trainer makes them: at once, over one connection, with their advantages.

    python examples/rollout.py [--url URL] [--group 8] [--task HumanEval/0]

The node is at ENVSERVER_URL, or http://127.0.0.1:8000. Needs the SDK alone. `ScriptedPolicy` stands where a model would
be: it sees what a model would see and answers with an action. Some of the group are right, some wrong, one never
submits and one hangs; none disturbs another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
from dataclasses import dataclass, field
from typing import Any

from envserver_sdk import AsyncClient, AsyncEpisode
from envserver_sdk.errors import EnvserverClientError

MAX_STEPS = 6
STEP_TIMEOUT_S = 2.0

RIGHT = """
def has_close_elements(numbers, threshold):
    ordered = sorted(numbers)
    return any(b - a < threshold for a, b in zip(ordered, ordered[1:]))
"""
WRONG = """
def has_close_elements(numbers, threshold):
    return any(abs(a - b) < threshold for a, b in zip(numbers, numbers[1:]))
"""

Action = dict[str, Any]


def _write(solution: str) -> Action:
    return {"type": "write_file", "path": "solution.py", "content": solution}


TRY_IT: Action = {"type": "python", "code": "from solution import *\nhas_close_elements([1.0, 5.0, 1.1], 0.5)"}
SUBMIT: Action = {"type": "submit"}
SCRIPTS: tuple[tuple[Action, ...], ...] = (
    (_write(RIGHT), TRY_IT, SUBMIT),
    (_write(WRONG), SUBMIT),
    (_write(WRONG), TRY_IT, _write(RIGHT), SUBMIT),
    ({"type": "bash", "command": "while :; do :; done"}, _write(RIGHT), SUBMIT),
    ({"type": "think", "text": "no such action"}, SUBMIT),
    (TRY_IT,) * MAX_STEPS,
)


class ScriptedPolicy:
    """Chooses by its number instead of by thinking."""

    def __init__(self, number: int) -> None:
        self._script = iter(SCRIPTS[number % len(SCRIPTS)])

    def act(self, observation: dict[str, Any]) -> Action:
        return next(self._script)


@dataclass
class Rollout:
    """What a trainer keeps. `reward` is None where nothing may be learnt."""

    episode_id: str
    outcomes: list[str] = field(default_factory=list)
    reward: float | None = None
    advantage: float | None = None


async def play(episode: AsyncEpisode, policy: ScriptedPolicy) -> Rollout:
    """One episode, to its end or to the limit of steps."""
    rollout = Rollout(episode.episode_id)
    trainable, reward = True, 0.0
    for _ in range(MAX_STEPS):
        step = await episode.step(policy.act(episode.observation), timeout_s=STEP_TIMEOUT_S)
        rollout.outcomes.append(str(step.outcome))
        trainable, reward = trainable and step.trainable, reward + step.reward
        if step.done:
            break
    else:  # it never submitted: what it left behind is graded all the same
        grade = await episode.grade()
        trainable, reward = trainable and grade.trainable, grade.reward or 0.0
    rollout.reward = reward if trainable else None
    return rollout


async def play_group(client: AsyncClient, task: str, size: int) -> list[Rollout]:
    """All at once. A rollout that failed by the infrastructure's fault counts as untrainable, not as 0."""

    async def one(number: int) -> Rollout:
        async with client.create("code", task=task, metadata={"rollout": number}) as episode:
            try:
                return await play(episode, ScriptedPolicy(number))
            except EnvserverClientError:
                return Rollout(episode.episode_id)

    group = await asyncio.gather(*(one(number) for number in range(size)))
    set_advantages(group)
    return group


def set_advantages(group: list[Rollout]) -> None:
    """(reward - mean) / standard deviation over the trainable ones, as in DeepSeekMath, section 4.1."""
    rewards = [rollout.reward for rollout in group if rollout.reward is not None]
    if not rewards:
        return
    mean, deviation = statistics.fmean(rewards), statistics.pstdev(rewards)
    for rollout in group:
        if rollout.reward is not None:
            rollout.advantage = (rollout.reward - mean) / deviation if deviation else 0.0


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("ENVSERVER_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--task", default="HumanEval/0")
    arguments = parser.parse_args()
    async with AsyncClient(arguments.url) as client:
        for rollout in await play_group(client, arguments.task, arguments.group):
            print(json.dumps(vars(rollout)))


if __name__ == "__main__":
    asyncio.run(main())
