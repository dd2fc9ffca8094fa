"""The `answer` grader: is the answer right, was it found out, and how well were the tools used?

    reward = answer x (1 - what is missing of evidence, tools and citations) - format - overuse - repeats, within [0, 1]

A right answer that was guessed pays half; a wrong one pays nothing, however well it was looked for, so that going
through the motions is never learned. Everything but the answer's text comes from the server's own notes of the calls.

A task's data: `answer` (matching.py), `evidence` (groups of document ids: one of each group must have been seen),
`tools` (those that a good solution uses, or groups of which it uses one), `par_calls`, `weights` (see `Weights`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

from environments.environment import Artifacts
from environments.tasks import Task
from envserver.grading.base import Grade, Grader, GradingError, SandboxFactory
from envserver.grading.matching import CITATION, matches


@dataclass(frozen=True)
class Weights:
    """What a right answer loses, at most, and what every answer loses for each mistake, with caps."""

    evidence: float = 0.2
    tools: float = 0.15
    citations: float = 0.15
    format_error: float = 0.1
    format_cap: float = 0.3
    overuse: float = 0.02
    """For each call past twice `par_calls`."""
    overuse_cap: float = 0.2
    repeat: float = 0.05
    """For each call that was made before with the same arguments."""
    repeat_cap: float = 0.2

    def __post_init__(self) -> None:
        if self.evidence + self.tools + self.citations > 1 or min(asdict(self).values()) < 0:
            raise ValueError("weights are 0 or more, those of evidence, tools and citations at most 1 together")


class AnswerGrader(Grader):
    """Pays for a right answer that was found out."""

    kind = "answer"

    async def grade(self, task: Task, artifacts: Artifacts, make_sandbox: SandboxFactory) -> Grade:
        try:
            return judge(task.grader.data, artifacts.answer, artifacts.facts)
        except (ValueError, TypeError, KeyError) as error:
            raise GradingError(f"the task's grader data cannot be used: {error!r}") from error


def judge(data: Mapping[str, Any], answer: str | None, facts: Mapping[str, Any]) -> Grade:
    """The grade of one episode. Raises: ValueError, TypeError, KeyError for data that is not a task's."""
    weights = Weights(**data.get("weights", {}))
    calls = facts.get("calls", [])
    right = answer is not None and matches(answer, data["answer"])
    evidence, tools = data.get("evidence", ()), data.get("tools", ())
    quality = {
        "evidence": _share(evidence, [set(call["seen"]) for call in calls]),
        "tools": _share_of_tools(tools, calls, set(facts["offered"]) if "offered" in facts else None),
        "citations": _cited(evidence, answer or "", calls),
    }
    lost = {
        "format": min(weights.format_cap, weights.format_error * facts.get("format_errors", 0)),
        "overuse": min(weights.overuse_cap, weights.overuse * _past_par(data.get("par_calls"), calls)),
        "repeats": min(weights.repeat_cap, weights.repeat * _repeats(calls)),
    }
    missing = sum(getattr(weights, name) * (1 - share) for name, share in quality.items())
    reward = max(0.0, right * (1 - missing) - sum(lost.values()))
    components = {"answer": float(right), **quality, **{name: -value for name, value in lost.items()}}
    return Grade(round(reward, 6), components, _report(answer, calls, components))


def _share(groups: Sequence[Sequence[str]], seen: Sequence[set[str]]) -> float:
    """Of the groups of which something was seen."""
    everything = set().union(*seen) if seen else set()
    return _mean([bool(everything.intersection(group)) for group in groups])


def _share_of_tools(
    tools: Sequence[str | Sequence[str]], calls: Sequence[Mapping[str, Any]], offered: Set[str] | None
) -> float:
    """Of those, or of each group one, that the episode had."""
    used = {call["tool"] for call in calls if not call["error"]}
    groups = [{tool} if isinstance(tool, str) else set(tool) for tool in tools]
    return _mean([bool(group & used) for group in groups if offered is None or group & offered])


def _cited(groups: Sequence[Sequence[str]], answer: str, calls: Sequence[Mapping[str, Any]]) -> float:
    """Of the groups that a cited observation shows; nothing, if one is cited that there never was."""
    cited = {int(number) for number in CITATION.findall(answer)}
    seen = {call["number"]: set(call["seen"]) for call in calls}
    if not cited <= seen.keys():
        return 0.0
    return _share(groups, [seen[number] for number in cited])


def _mean(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 1.0


def _past_par(par: int | None, calls: Sequence[Mapping[str, Any]]) -> int:
    return 0 if par is None else max(0, len(calls) - 2 * par)


def _repeats(calls: Sequence[Mapping[str, Any]]) -> int:
    return sum(count - 1 for count in Counter(call["digest"] for call in calls).values())


def _report(answer: str | None, calls: Sequence[Mapping[str, Any]], components: Mapping[str, float]) -> dict[str, Any]:
    """Why it lost what it lost, without anything of the right answer."""
    cited = {int(number) for number in CITATION.findall(answer or "")}
    invented = sorted(cited - {call["number"] for call in calls})
    said = {
        "answer": "there is none" if answer is None else "it is not right",
        "evidence": "documents that the answer rests on were never seen",
        "tools": "tools that the answer needs were not used",
        "citations": f"observations that were never made are cited: {invented}"
        if invented
        else "no cited observation shows all that the answer rests on",
        "format": "malformed actions",
        "overuse": "far more calls than it takes",
        "repeats": "the same calls again",
    }
    good = {"answer": 1.0, "evidence": 1.0, "tools": 1.0, "citations": 1.0}
    return {
        "calls": len(calls),
        "lost": {name: said[name] for name, got in components.items() if got != good.get(name, 0)},
    }
