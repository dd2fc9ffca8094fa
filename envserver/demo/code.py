"""Five HumanEval episodes: a policy that stands in for a model looks around, writes a draft, tests and corrects it.

In the last one it submits its wrong draft, so that a reward of 0 is seen too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from environments.code.humaneval import SOLUTION, problems
from envserver.demo.table import Played, begin, one_line
from envserver_sdk import Client

TASKS = ("HumanEval/0", "HumanEval/32", "HumanEval/95", "HumanEval/129", "HumanEval/2")


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


def play(client: Client, console: Console) -> list[Played]:
    """Raises: EnvserverClientError."""
    return [_play_one(client, console, task, honest=task != TASKS[-1]) for task in TASKS]


def _play_one(client: Client, console: Console, task: str, *, honest: bool) -> Played:
    began = time.perf_counter()
    episode = client.create("code", task_set="humaneval", task=task, metadata={"policy": "demo"})
    played = begin(episode, task, float(honest), began, console)
    for action in scripted_policy(task, honest=honest):
        shown = action.get("code") or action.get("command") or action.get("path") or ""
        step = played.take(episode, action, console, f"{action['type']:<10} {one_line(shown)}")
        said = step.observation.get("error") or step.observation.get("result") or step.observation.get("stdout") or ""
        if said:
            console.print(f"              →  {one_line(said)}", markup=False, highlight=False)
    played.close(episode, console)
    return played
