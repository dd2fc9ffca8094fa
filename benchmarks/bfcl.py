"""Whether the BFCL task sets are graded rightly: python -m benchmarks.bfcl [--json] [--every N] [NAME ...]

For every entry the reference's calls must score 1.0, and corrupted ones 0.0: a call dropped, an argument changed, a
call too many, two calls in the wrong order. No node is needed: worlds run in one process on this machine, through the
program that runs in sandboxes, and verdicts are the graders' own.

A corrupted sequence of the multi-turn sets may come to exactly what the reference comes to, in every state that is
compared and in all that was to be found out: a call made twice that has no effect, two readings swapped. Such a one is
rightly paid; it is counted under `same`, decided by comparing the whole runs, not by the verdict. It exits with 1 when
a reference is not paid, when a corrupted sequence is that comes to something else, or when more than 2 % cannot be
loaded.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.bfcl_truth import break_value, true_call
from benchmarks.worlds import Calls, LocalWorld, use_installed
from environments.environment import JsonObject
from environments.tasks import Task
from environments.tools.worlds.bfcl import data, multi_turn, single_turn
from environments.tools.worlds.bfcl.answers import LEFT_OUT
from environments.tools.worlds.record import Call, WorldRecord
from environments.tools.worlds.session import WorldSpec
from envserver.grading.calls import judge_calls
from envserver.grading.expectations import Expectations, judge

KINDS = ("dropped", "changed", "extra", "order")
MAX_BROKEN = 0.02
Corrupted = Iterator[tuple[str, list[list[JsonObject]]]]


@dataclass
class Row:
    """What became of one task set."""

    name: str
    entries: int
    broken: Mapping[str, str]
    loaded: int = 0
    paid: int = 0
    unpaid: list[str] = field(default_factory=list)
    corrupted: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)
    wrongly_paid: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> JsonObject:
        return {**vars(self), "corrupted": dict(self.corrupted), "same": dict(self.same), "broken": dict(self.broken)}

    def truth(self, task_id: str, paid: bool) -> None:
        self.loaded += 1
        self.paid += paid
        if not paid:
            self.unpaid.append(task_id)

    def falsehood(self, task_id: str, kind: str, *, paid: bool, same: bool) -> None:
        self.corrupted[kind] += 1
        self.same[kind] += same
        if paid and not same:
            self.wrongly_paid.append(f"{task_id}: {kind}")


def check_multi_turn(tasks: multi_turn.MultiTurn, world: LocalWorld, every: int) -> Row:
    row = Row(tasks.name, len(data.entries(f"multi_turn_{tasks.category}")), tasks.broken())
    for task_id in tasks.task_ids()[::every]:
        given = tasks.get(task_id).grader.data
        spec, expected = WorldSpec.of(given["world"]), Expectations.of(given)
        reference = world.replay(spec, given["turns"])
        row.truth(task_id, _paid(expected, reference, world.replay(spec, given["turns"])))
        for kind, turns in corrupted_turns(given["turns"]):
            record = world.replay(spec, turns)
            row.falsehood(task_id, kind, paid=_paid(expected, reference, record), same=_same(reference, record))
    return row


def _paid(expected: Expectations, reference: WorldRecord, record: WorldRecord) -> bool:
    return judge(expected, reference, record, []).reward == 1.0


def _same(reference: WorldRecord, record: WorldRecord) -> bool:
    """Whether a run ends each turn in the reference's state and has learnt by then what the reference has."""
    if reference.states() != record.states():
        return False
    learnt: Counter[str] = Counter()
    for wanted, turn in zip(reference.turns, record.turns, strict=True):
        learnt.update(call.result for call in turn.calls)
        if Counter(call.result for call in wanted.calls) - learnt or (wanted.calls and not turn.calls):
            return False
    return True


def corrupted_turns(turns: Sequence[Calls]) -> Corrupted:
    """Each call dropped, each argument changed, each call made once more, each two neighbours swapped."""
    for number, calls in enumerate(turns):
        for place, call in enumerate(calls):
            yield "dropped", _with(turns, number, [*calls[:place], *calls[place + 1 :]])
            yield "extra", _with(turns, number, [*calls[: place + 1], *calls[place:]])
            for name, value in call["arguments"].items():
                other = {**call, "arguments": {**call["arguments"], name: break_value(value)}}
                yield "changed", _with(turns, number, [*calls[:place], other, *calls[place + 1 :]])
            if place + 1 < len(calls) and calls[place + 1] != call:
                yield "order", _with(turns, number, [*calls[:place], calls[place + 1], call, *calls[place + 2 :]])


def _with(turns: Sequence[Calls], number: int, calls: Sequence[Mapping[str, Any]]) -> list[list[JsonObject]]:
    return copy.deepcopy([list(calls) if at == number else list(each) for at, each in enumerate(turns)])  # type: ignore[arg-type]


def check_single_turn(tasks: single_turn.SingleTurn, every: int) -> Row:
    row = Row(tasks.name, len(data.entries(tasks.category.file)), tasks.broken())
    for task_id in tasks.task_ids()[::every]:
        task = tasks.get(task_id)
        calls = _truth(task)
        row.truth(task_id, judge_calls(task.grader.data, calls).reward == 1.0)
        for kind, other in corrupted_calls(task, calls):
            row.falsehood(task_id, kind, paid=judge_calls(task.grader.data, other).reward == 1.0, same=False)
    return row


def _truth(task: Task) -> list[Call]:
    given = task.grader.data
    if given["wanted"] == "some":
        return [_any_call(task)]
    return [true_call(answer, given["functions"], given["language"]) for answer in given["answers"]]


def _any_call(task: Task) -> Call:
    return Call(next((each["name"] for each in task.hidden["recorded"]), "anything"), {})


def corrupted_calls(task: Task, calls: Sequence[Call]) -> Iterator[tuple[str, list[Call]]]:
    """As `corrupted_turns`; what may be left out is not dropped, and order never matters."""
    if task.grader.data["wanted"] == "some":
        yield "dropped", []
        return
    yield "extra", [*calls, calls[0] if calls else _any_call(task)]
    for place, (call, answer) in enumerate(zip(calls, task.grader.data["answers"], strict=True)):
        (values,) = answer.values()
        before, after = list(calls[:place]), list(calls[place + 1 :])
        yield "dropped", [*before, *after]
        for name, value in call.arguments.items():
            if (other := break_value(value)) not in values[name]:  # neighbours may both be right
                yield "changed", [*before, Call(call.tool, {**call.arguments, name: other}), *after]
            if LEFT_OUT not in values[name]:
                kept = {each: given for each, given in call.arguments.items() if each != name}
                yield "dropped", [*before, Call(call.tool, kept), *after]


def run(names: Sequence[str], every: int) -> list[Row]:
    """The rows of the task sets with these names, or of all."""
    use_installed(data.folder().parent)
    multi = [multi_turn.MultiTurn(category) for category in multi_turn.CATEGORIES]
    single = [single_turn.SingleTurn(category) for category in single_turn.CATEGORIES]
    with LocalWorld() as world:
        checks: list[tuple[str, Callable[[], Row]]] = [
            *((each.name, partial(check_multi_turn, each, world, every)) for each in multi),
            *((each.name, partial(check_single_turn, each, every)) for each in single),
        ]
        return [_timed(check) for name, check in checks if not names or name in names]


def _timed(check: Callable[[], Row]) -> Row:
    began = time.monotonic()
    row = check()
    row.seconds = round(time.monotonic() - began, 1)
    return row


def holds(rows: Sequence[Row]) -> bool:
    entries, broken = sum(row.entries for row in rows), sum(len(row.broken) for row in rows)
    return broken <= MAX_BROKEN * entries and not any(row.unpaid or row.wrongly_paid for row in rows)


def show(rows: Sequence[Row]) -> None:
    heads = ("task set", "entries", "broken", "loaded", "paid", *(f"{kind} (same)" for kind in KINDS), "wrong", "s")
    print("".join(f"{head:>15}" if at else f"{head:30}" for at, head in enumerate(heads)))
    for row in rows:
        cells = [row.entries, len(row.broken), row.loaded, row.paid]
        cells += [f"{row.corrupted[kind]} ({row.same[kind]})" for kind in KINDS]  # type: ignore[misc]
        print(f"{row.name:30}" + "".join(f"{cell!s:>15}" for cell in [*cells, len(row.wrongly_paid), row.seconds]))
    for row in rows:
        for task_id, reason in row.broken.items():
            print(f"cannot be loaded: {task_id}: {reason}")
        for each in [*row.unpaid, *row.wrongly_paid]:
            print(f"WRONG: {each}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of task sets; all without any")
    parser.add_argument("--every", type=int, default=1, help="only each so-many-th entry")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = run(arguments.names, arguments.every)
    if arguments.json:
        print(json.dumps({"holds": holds(rows), "task_sets": [row.as_json() for row in rows]}, indent=1))
    else:
        show(rows)
    sys.exit(0 if holds(rows) else 1)


if __name__ == "__main__":
    main()
