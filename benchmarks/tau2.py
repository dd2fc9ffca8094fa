"""Whether the tau2 task sets are graded rightly: python -m benchmarks.tau2 [--json] [--every N]

For every task the reference's actions must score 1.0; doing nothing, and doing all but the last action that has an
effect, must score 0.0 unless that comes to the same. No node is needed, see benchmarks/bfcl.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.worlds import Calls, LocalWorld, use_installed
from environments.environment import JsonObject
from environments.tasks import Task
from environments.tools.worlds.record import WorldRecord
from environments.tools.worlds.session import WorldSpec
from environments.tools.worlds.tau2 import data
from environments.tools.worlds.tau2.solo import Solo
from envserver.grading.expectations import Expectations, judge


@dataclass
class Row:
    """What became of one task set."""

    name: str
    tasks: int
    broken: Mapping[str, str]
    loaded: int = 0
    paid: int = 0
    unpaid: list[str] = field(default_factory=list)
    idle: int = 0
    """Tasks that are paid for doing nothing."""
    shortened: int = 0
    """Tasks that are paid for all but the last action."""
    unsteady: list[str] = field(default_factory=list)
    """Tasks whose reference comes to another state when it is replayed."""
    seconds: float = 0.0


def check(tasks: Solo, world: LocalWorld, every: int) -> Row:
    began = time.monotonic()
    row = Row(tasks.name, len(data.tasks(tasks.domain)), tasks.broken())
    for task_id in tasks.task_ids()[::every]:
        task = tasks.get(task_id)
        (actions,) = task.grader.data["turns"]
        reference, paid = _score(task, world, actions, None)
        again, _ = _score(task, world, actions, reference)
        row.loaded += 1
        row.paid += paid
        row.idle += _score(task, world, [], reference)[1]
        row.shortened += len(actions) > 1 and _score(task, world, actions[:-1], reference)[1]
        row.unpaid += [] if paid else [task_id]
        row.unsteady += [] if again.states() == reference.states() else [task_id]
    row.seconds = round(time.monotonic() - began, 1)
    return row


def _score(task: Task, world: LocalWorld, actions: Calls, reference: WorldRecord | None) -> tuple[WorldRecord, bool]:
    """What the actions come to, and whether they are paid."""
    expected = Expectations.of(task.grader.data)
    record = world.replay(WorldSpec.of(task.grader.data["world"]), [actions])
    met = [_holds(world, assertion) for assertion in expected.assertions]
    return record, judge(expected, reference or record, record, [], met).reward == 1.0


def _holds(world: LocalWorld, assertion: Mapping[str, Any]) -> bool:
    answer = world.call(assertion["tool"], assertion["arguments"])
    return not answer.error and answer.text == assertion["text"]


def run(domains: Sequence[str], every: int) -> list[Row]:
    use_installed(data.folder())
    with LocalWorld() as world:
        return [check(Solo(domain), world, every) for domain in domains]


def holds(rows: Sequence[Row]) -> bool:
    return not any(row.unpaid or row.unsteady or row.idle for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domains", nargs="*", default=list(data.DOMAINS))
    parser.add_argument("--every", type=int, default=1, help="only each so-many-th task")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = run(arguments.domains, arguments.every)
    shown: list[JsonObject] = [{**vars(row), "broken": dict(row.broken)} for row in rows]
    if arguments.json:
        print(json.dumps({"holds": holds(rows), "task_sets": shown}, indent=1))
    else:
        for row in shown:
            print("  ".join(f"{name}: {value}" for name, value in row.items()))
    sys.exit(0 if holds(rows) else 1)


if __name__ == "__main__":
    main()
