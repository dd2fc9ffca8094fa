"""What a task expects of a world, and whether an episode came up to it. Pure: no sandbox, no clock.

Each expectation that a task makes is a component of the grade, 1.0 or 0.0; the reward is 1.0 when all of them are. The
report names parts of the state and counts what is missing; it holds no value of the reference.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from environments.tools.worlds.record import Call, WorldRecord
from envserver.grading.base import Grade

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Expectations:
    """The members of a task's grader data with these names."""

    turns: Sequence[Sequence[Mapping[str, Any]]] = ((),)
    """The reference: for each turn its calls, `{"tool", "arguments"}`."""
    checked: str = "end"
    """When the states must be equal: at the `end`, after all `turns` in which the reference makes a call and at the
    end, or `never`."""
    compared: Sequence[str] | None = None
    """The parts of the state that must be equal; without it, all."""
    results: bool = False
    """Whether the policy must have seen, by the end of each turn, all that the reference's calls answered in it."""
    required_calls: Sequence[Mapping[str, Any]] = ()
    """Calls that must have been made with these arguments, among others: `{"tool", "arguments"}`."""
    forbidden_calls: Sequence[Mapping[str, Any]] = ()
    kept: Sequence[str] = ()
    """Parts of the state that must be as in the beginning, throughout."""
    said: Sequence[Mapping[str, Any]] = ()
    """What must occur in the policy's answers: `{"text"}` or `{"number", "tolerance"?}`, each with `turn`? from 1."""
    assertions: Sequence[Mapping[str, Any]] = ()
    """Calls that must answer `text` when made after the policy's last: `{"tool", "arguments", "text"}`."""

    def __post_init__(self) -> None:
        if self.checked not in ("turns", "end", "never"):
            raise ValueError(f"checked is {self.checked!r}, must be turns, end or never")

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Expectations:
        return cls(**{each.name: data[each.name] for each in fields(cls) if each.name in data})


def judge(
    expected: Expectations, reference: WorldRecord, record: WorldRecord, said: Sequence[str], met: Sequence[bool] = ()
) -> Grade:
    """The grade of an episode, given what the reference came to and which assertions are met."""
    checks = {
        "state": _state(expected, reference, record) if expected.checked != "never" else None,
        "results": _results(reference, record) if expected.results else None,
        "required": _required(expected, record) if expected.required_calls else None,
        "forbidden": _forbidden(expected, record) if expected.forbidden_calls or expected.kept else None,
        "said": _said(expected, said) if expected.said else None,
        "assertions": _assertions(met) if expected.assertions else None,
    }
    found = {name: problems for name, problems in checks.items() if problems is not None}
    if record.lost:
        found["world"] = ["it ended before the episode did"]
    components = {name: 0.0 if problems else 1.0 for name, problems in found.items()}
    report = {
        "problems": [f"{name}: {problem}" for name, problems in found.items() for problem in problems],
        "calls": sum(len(turn.calls) for turn in record.turns),
    }
    return Grade(min(components.values(), default=1.0), components, report)


def _state(expected: Expectations, reference: WorldRecord, record: WorldRecord) -> list[str]:
    wanted, reached = reference.states(), record.states()
    if len(reached) < len(wanted):
        return [f"the episode ended in turn {len(reached)} of {len(wanted)}"]
    problems = []
    for number, turn in enumerate(reference.turns, 1):
        last = number == len(reference.turns)
        acted = expected.checked == "turns" and bool(turn.calls)
        if acted and not record.turns[number - 1].calls:
            problems.append(f"turn {number}: no call was made")
        if acted or last:
            state = reached[-1] if last else reached[number - 1]
            other = _differing(wanted[number - 1], state, expected.compared)
            problems += [f"turn {number}: {part} is not as it should be" for part in other]
    return problems


def _differing(wanted: Mapping[str, str], reached: Mapping[str, str], compared: Sequence[str] | None) -> list[str]:
    parts = sorted(wanted.keys() | reached.keys()) if compared is None else compared
    return [part for part in parts if wanted.get(part) != reached.get(part)]


def _results(reference: WorldRecord, record: WorldRecord) -> list[str]:
    problems, seen = [], Counter[str]()
    for number, turn in enumerate(reference.turns, 1):
        if number <= len(record.turns):
            seen.update(call.result for call in record.turns[number - 1].calls)
        if missing := (Counter(call.result for call in turn.calls) - seen).total():
            problems.append(f"turn {number}: {missing} of {len(turn.calls)} results had not been obtained")
    return problems


def _required(expected: Expectations, record: WorldRecord) -> list[str]:
    missing = sum(not _made(each, record) for each in expected.required_calls)
    return [f"{missing} of {len(expected.required_calls)} calls were not made"] if missing else []


def _forbidden(expected: Expectations, record: WorldRecord) -> list[str]:
    problems = [f"{each['tool']} was called" for each in expected.forbidden_calls if _made(each, record)]
    states = record.states()
    changed = [part for part in expected.kept if any(state.get(part) != record.beginning.get(part) for state in states)]
    return problems + [f"{part} was changed" for part in changed]


def _made(wanted: Mapping[str, Any], record: WorldRecord) -> bool:
    return any(_fits(wanted, call) for turn in record.turns for call in turn.calls)


def _fits(wanted: Mapping[str, Any], call: Call) -> bool:
    if call.tool != wanted["tool"] or call.error:
        return False
    arguments = wanted.get("arguments", {})
    return all(name in call.arguments and call.arguments[name] == value for name, value in arguments.items())


def _said(expected: Expectations, said: Sequence[str]) -> list[str]:
    missing = [str(number) for number, each in enumerate(expected.said, 1) if not _occurs(each, said)]
    return [f"of what had to be said, number {', '.join(missing)} was not"] if missing else []


def _occurs(wanted: Mapping[str, Any], said: Sequence[str]) -> bool:
    turn = wanted.get("turn")
    texts = said if turn is None else said[turn - 1 : turn]
    if "text" in wanted:
        return any(_plain(wanted["text"]) in _plain(text) for text in texts)
    tolerance = wanted.get("tolerance", 1e-9)
    return any(abs(number - wanted["number"]) <= tolerance for text in texts for number in _numbers(text))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in _NUMBER.findall(text)]


def _assertions(met: Sequence[bool]) -> list[str]:
    missed = sum(not each for each in met)
    return [f"{missed} of {len(met)} assertions about the last state do not hold"] if missed else []
