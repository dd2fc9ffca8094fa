"""Five HumanEval episodes on a running node, played step by step through the SDK by a scripted policy.

The policy stands in for a model: it looks around in the live interpreter, writes a draft, tests it in the shell,
corrects it and submits. In the last episode it submits its wrong draft, so that a reward of 0 is seen too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from environments.code.humaneval import SOLUTION, problems
from envserver_sdk import Client, Timeouts

TASKS = ("HumanEval/0", "HumanEval/32", "HumanEval/95", "HumanEval/129", "HumanEval/2")
_WIDTH = 76
RECONNECT_S = 10.0
"""Whoever shows a demo is not to wait long to hear that there is no node."""


@dataclass
class Played:
    task: str
    create_s: float
    steps: int
    step_s: float
    grade_s: float
    close_s: float
    reward: float
    trainable: bool


def scripted_policy(task: str, *, honest: bool) -> Iterator[dict[str, Any]]:
    """The actions for one task; what a model would make up, this reads from the data set."""
    problem = problems()[task]
    name = problem["entry_point"]
    draft = problem["prompt"] + "    return None\n"
    yield {"type": "python", "code": f"import sys\nsys.version_info[:2], {name!r}"}
    yield {"type": "write_file", "path": SOLUTION, "content": draft}
    yield {"type": "bash", "command": f"wc -l solution.py && python3 -c 'from solution import {name}; print({name})'"}
    if honest:
        solution = problem["prompt"] + problem["canonical_solution"]
        yield {"type": "write_file", "path": SOLUTION, "content": solution}
        yield {"type": "python", "code": f"from solution import {name}\ncallable({name})"}
    yield {"type": "submit"}


def _summary(action: dict[str, Any], observation: dict[str, Any]) -> str:
    said = observation.get("error") or observation.get("result") or observation.get("stdout") or ""
    shown = action.get("code") or action.get("command") or action.get("path") or ""
    line = f"{action['type']:<10} {' '.join(str(shown).split())}"
    return line[:_WIDTH] + (f"  →  {' '.join(str(said).split())[:60]}" if said else "")


def _play_one(client: Client, console: Console, task: str, *, honest: bool) -> Played:
    began = time.perf_counter()
    episode = client.create("code", task_set="humaneval", task=task, metadata={"policy": "demo"})
    created = time.perf_counter()
    console.print(f"\n[bold]{task}[/bold]  episode {episode.episode_id}", highlight=False)
    played = Played(task, created - began, 0, 0.0, 0.0, 0.0, 0.0, trainable=False)
    for action in scripted_policy(task, honest=honest):
        began = time.perf_counter()
        step = episode.step(action)
        elapsed = time.perf_counter() - began
        if action["type"] == "submit":
            played.grade_s, played.reward, played.trainable = elapsed, step.reward, step.info.trainable
        else:
            played.steps += 1
            played.step_s += elapsed
        line = _summary(action, step.observation)
        console.print(f"  {elapsed * 1000:7.1f} ms  {line}", markup=False, highlight=False)
    began = time.perf_counter()
    episode.close()
    played.close_s = time.perf_counter() - began
    console.print(f"  reward {played.reward}   outcome {step.info.outcome}", highlight=False)
    return played


def _table(results: list[Played]) -> Table:
    table = Table(title="milliseconds by phase")
    for heading in ("task", "create", "steps", "each step", "submit + grade", "close", "reward", "trainable"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for played in results:
        table.add_row(
            played.task,
            f"{played.create_s * 1000:.0f}",
            str(played.steps),
            f"{played.step_s / played.steps * 1000:.1f}",
            f"{played.grade_s * 1000:.0f}",
            f"{played.close_s * 1000:.0f}",
            f"{played.reward:.1f}",
            "yes" if played.trainable else "no",
        )
    return table


def play(url: str, api_key: str | None = None, *, as_json: bool = False) -> int:
    """Play, print, and return an exit status: 0 when each episode earned what it should have, else 1.

    Raises: EnvserverClientError.
    """
    console = Console(width=160, quiet=as_json)
    results = []
    with Client(url, api_key, timeouts=Timeouts(reconnect_s=RECONNECT_S)) as client:
        for number, task in enumerate(TASKS, 1):
            results.append(_play_one(client, console, task, honest=number < len(TASKS)))
    console.print()
    console.print(_table(results))
    if as_json:
        sys.stdout.write(json.dumps([asdict(played) for played in results]) + "\n")
    expected = [1.0] * (len(TASKS) - 1) + [0.0]
    if [played.reward for played in results] != expected:
        sys.stderr.write(f"unexpected rewards: {[played.reward for played in results]}\n")
        return 1
    return 0
