"""What the page plays: a frame for the beginning, one for each step, one for the grade.

name      `3` of the third step, `begin`, `grade`: unique in a page
badge     the outcome, or what else stands out
summary   the action in a line
failed    something went wrong in it: for the filter, and its colour
reward    null where there can be none; `total` is the sum up to here
facts     [[name, text]]
groups    [[heading, sections]]
cut       something of it is not in the page
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from envserver.view.room import Room, visible
from envserver.view.sections import Section, one_line, sections_of
from envserver_sdk.models import GradeResult, Outcome, Trajectory, TrajectoryStep

Frame = dict[str, Any]

FACT_CHARS = 500
MAX_FACTS = 200
MAX_MARKS = 1000
_SHOWN = frozenset({"outcome", "trainable", "duration_ms", "cpu_ms", "peak_memory_bytes"})
"""Members of a step's `info` that are facts."""


def step_frame(step: TrajectoryStep, total: float, room: Room) -> Frame:
    """`total` is the sum of rewards, this step's included."""
    info = step.info
    outcome = fact(info.get("outcome", "unknown"))
    more = {name: value for name, value in info.items() if name not in _SHOWN}
    ends = "terminated" if step.terminated else "truncated" if step.truncated else ""
    facts = [
        ("reward", number(step.reward)), ("sum", number(total)), ("outcome", outcome),
        ("trainable", "" if info.get("trainable") is True else "no"), ("ends", ends),
        ("duration", _unit(info.get("duration_ms"), "ms")), ("CPU", _unit(info.get("cpu_ms"), "ms")),
        ("memory at most", _unit(info.get("peak_memory_bytes"), "MiB", 1 << 20)),
        ("time limit", _unit(step.timeout_s, "s")), ("begun", when(step.begun_at)),
        ("world", f"{step.episode_id} generation {step.generation}"),
    ]  # fmt: skip
    values = [("action", step.action), ("observation", step.observation), ("info", more), ("metadata", step.metadata)]
    return _frame(
        str(step.step_index), room, facts, values, badge=outcome, summary=one_line(step.action),
        failed=_has_failed(outcome, step.observation), reward=finite(step.reward), total=finite(total),
    )  # fmt: skip


def begin_frame(record: Trajectory, room: Room) -> Frame:
    facts = [("origin", record.origin), ("begun", when(record.begun_at))]
    values = [("observation", record.observation), ("info", record.info)]
    return _frame("begin", room, facts, values, badge=record.origin, summary=one_line(record.observation))


def grade_frame(grade: GradeResult, total: float, room: Room) -> Frame:
    facts = [
        ("reward", number(grade.reward)), *((name, number(value)) for name, value in grade.components.items()),
        ("trainable", "yes" if grade.trainable else "no"), ("forgeable", "yes" if grade.forgeable else ""),
    ]  # fmt: skip
    failed = grade.reward is None or not grade.trainable
    badge = "no verdict" if grade.reward is None else "graded"
    return _frame(
        "grade", room, facts, [("report", grade.report)], badge=badge, failed=failed, reward=finite(grade.reward),
        total=finite(total),
    )  # fmt: skip


def overview(record: Trajectory, steps: int) -> list[tuple[str, str]]:
    """What was played, and what came of it, as facts."""
    ended = "terminated" if record.terminated else "truncated" if record.truncated else "not over"
    facts = [
        ("episode", record.episode_id), ("generation", f"{record.generation}, by {record.origin}"),
        ("environment", record.environment), ("task set", record.task_set), ("task", record.task),
        ("seed", str(record.seed)), ("steps", f"{steps:,}"), ("reward", number(record.reward)), ("end", ended),
        ("state", " ".join(filter(None, (record.state.value, record.reason)))),
        ("trainable", "yes" if record.trainable else "no"),
        ("grade", number(record.grade.reward) if record.grade else ""),
        ("group", record.group_id or ""), ("made", when(record.created_at)), ("closed", when(record.closed_at)),
        ("image", record.image or ""),
    ]  # fmt: skip
    return _told(facts)


def settings(record: Trajectory, room: Room) -> list[tuple[str, list[Section]]]:
    """What it was made with, as groups."""
    values = [("options", record.options), ("limits", record.limits), ("metadata", record.metadata)]
    return [(name, sections_of(value, room)) for name, value in values if value]


def marks(record: Trajectory) -> dict[str, list[str]]:
    """What happened between steps, by the name of the frame behind which it did."""
    found: dict[str, list[str]] = {}
    for origin in record.lineage[:MAX_MARKS]:
        text = f"goes on from {origin.episode_id} generation {origin.generation} by {origin.checkpoint_id}"
        found.setdefault(_behind(origin.step_index), []).append(fact(text))
    for saved in record.checkpoints[:MAX_MARKS]:
        text = f"{saved.checkpoint_id}: {saved.kind.value} checkpoint{f', {saved.label}' if saved.label else ''}"
        found.setdefault(_behind(saved.step_index), []).append(fact(text))
    return found


def _behind(step_index: int) -> str:
    return str(step_index) if step_index else "begin"


def _frame(
    name: str, room: Room, facts: list[tuple[str, str]], values: list[tuple[str, Any]], **more: Any
) -> Frame:  # fmt: skip
    before = _left_out(room)
    groups = [(heading, sections_of(value, room)) for heading, value in values if value not in (None, {}, [], "")]
    frame = {"badge": "", "summary": "", "failed": False, "reward": None, "total": 0.0, **more}
    cut = _left_out(room) != before
    return {"name": name, "facts": _told(facts), "groups": [each for each in groups if each[1]], "cut": cut, **frame}


def _left_out(room: Room) -> tuple[int, int, int]:
    return room.cuts.texts, room.cuts.pictures, room.cuts.bad_pictures


def _told(facts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(fact(name), fact(text)) for name, text in facts[:MAX_FACTS] if text]


def _has_failed(outcome: str, observation: Mapping[str, Any]) -> bool:
    return outcome != Outcome.OK or any(map(_tells_of_failure, _parts(observation)))


def _parts(observation: Mapping[str, Any]) -> Iterator[Any]:
    """The observation, and those of the calls of one message."""
    yield observation
    calls = observation.get("observations")
    yield from calls if isinstance(calls, list) else ()


def _tells_of_failure(observation: Any) -> bool:
    return isinstance(observation, Mapping) and bool(
        observation.get("error") or observation.get("traceback") or observation.get("exit_code")
    )


def fact(text: Any) -> str:
    """A short text, whatever it was."""
    return visible(str(text)[:FACT_CHARS])


def number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def finite(value: float | None) -> float | None:
    """As JSON can say it."""
    return value if value is None or math.isfinite(value) else 0.0


def when(unix_time: float | None) -> str:
    if unix_time is None:
        return ""
    try:
        return datetime.fromtimestamp(unix_time, UTC).isoformat(" ", "milliseconds")
    except (OverflowError, ValueError, OSError):
        return fact(unix_time)


def _unit(value: Any, unit: str, size: int = 1) -> str:
    """So many times `size`; nothing for what is no number."""
    if not isinstance(value, int | float):
        return ""
    try:
        return f"{float(value) / size:,.6g} {unit}"
    except OverflowError:  # an integer that no float holds
        return fact(value)
