"""From a history to the promises that were broken. Pure: it reads nothing but the history.

Every invariant is a function from `Facts` to sentences, each of which says what happened that must not. What is
allowed when a container is killed is docs/episodes.md, "When the container ends during a step".
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from envserver_sdk.models import StepResult
from tests.chaos.actions import ACTIONS
from tests.chaos.history import Call, Document, Ended, History, Kept, World

UNDONE = frozenset({"interrupted", "create_failed", "cancelled", "refused"})
"""Why an episode is closed of which nobody was told."""
OURS = frozenset({"infra_error", "episode_lost"})
NEVER = frozenset(
    {
        "invalid_request", "idempotency_mismatch", "unauthorized", "forbidden", "method_not_allowed", "not_supported",
        "payload_too_large", "unsupported_media_type", "internal_error", "request_timeout",
    }
)  # fmt: skip
"""Problems that no client here gives a reason for."""
_EPISODE = re.compile(r"\bep_[0-9a-f]+")
_TOKEN = re.compile(r"\bt\d+\.\d+\b")

Name = tuple[str, int, int]


@dataclass(frozen=True)
class Violation:
    """One broken promise."""

    invariant: str
    what: str


class Facts:
    """The history, looked at from the sides that the invariants need."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.final = history.final

    @cached_property
    def worlds(self) -> dict[tuple[str, int], World]:
        return {(each.episode, each.generation): each for each in self.final.worlds}

    @cached_property
    def steps(self) -> dict[tuple[str, int], list[Kept]]:
        """By world, in order."""
        found: dict[tuple[str, int], list[Kept]] = defaultdict(list)
        for each in sorted(self.final.steps, key=lambda step: step.index):
            found[each.episode, each.generation].append(each)
        return found

    @cached_property
    def kept(self) -> dict[Name, Kept]:
        return {(each.episode, each.generation, each.index): each for each in self.final.steps}

    @cached_property
    def episodes(self) -> dict[str, Ended]:
        return {each.episode: each for each in self.final.episodes}

    @cached_property
    def answers(self) -> dict[Name, list[Call]]:
        """Results of steps by name, in the order of their arrival."""
        found: dict[Name, list[Call]] = defaultdict(list)
        for call in sorted(self.history.calls, key=lambda call: call.ended_at):
            if call.op in ("step", "get_step") and call.status == 200:
                found[call.name].append(call)
        return found

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Of actions, by token."""
        return {call.token: call.kind for call in self.history.calls if call.op == "step" and call.token}

    @cached_property
    def killed(self) -> set[str]:
        """Episodes whose container was killed from outside."""
        return {fault.detail for fault in self.history.faults if fault.kind == "kill_sandbox"}

    @cached_property
    def disk_was_full(self) -> bool:
        return any(fault.kind == "fill_disk" for fault in self.history.faults)

    @cached_property
    def node_was_broken(self) -> bool:
        """Beginning a world, saving one and judging could fail by our fault."""
        return (
            self.disk_was_full
            or any(fault.kind == "kill_launcher" for fault in self.history.faults)
            or any(name.startswith("launcher.") for name in self.history.fired)
        )

    @cached_property
    def ended_by_policy(self) -> set[str]:
        """Episodes whose world went with a step that was blamed for it (`blame` says whether rightly)."""
        return {step.episode for step in self.final.steps if result_of(step).get("terminated")}

    def past(self, world: World) -> list[Kept]:
        """The steps that stand before a world's own, the oldest first."""
        if world.parent is None:
            return []
        parent = self.worlds.get(world.parent)
        before = self.past(parent) if parent is not None else []
        own = self.steps.get(world.parent, [])
        return [step for step in [*before, *own] if step.index <= world.first_index]

    def told(self) -> Iterator[tuple[Call, list[Document]]]:
        """Calls that made episodes, with what they said of each."""
        for call in self.history.calls:
            if call.ok and call.op in ("create", "fork", "create_group"):
                yield call, call.document.get("episodes", [call.document])


def token_of(step: Kept) -> str:
    found = _TOKEN.search(step.action)
    return found.group() if found else ""


def result_of(step: Kept) -> Document:
    document: Document = json.loads(step.result.encode("latin-1")) if step.result else {}
    return document


def outcome_of(step: Kept) -> str:
    return str(result_of(step).get("info", {}).get("outcome", ""))


def _writes(facts: Facts, step: Kept) -> bool:
    """Whether its token must be in the file."""
    kind = facts.kinds.get(token_of(step), "")
    result = result_of(step)
    observation = result.get("observation", {})
    clean = not observation.get("stderr") and not observation.get("error")
    return kind in ACTIONS and ACTIONS[kind].writes and outcome_of(step) == "ok" and clean


# Exactly once


def runs_once(facts: Facts) -> Iterator[str]:
    """A step's name is carried out at most once in a world."""
    for seen in facts.history.seen:
        for token, count in Counter(seen.tokens).items():
            if count > 1:
                yield f"{seen.episode} generation {seen.generation}: {token} ran {count} times"


def same_bytes(facts: Facts) -> Iterator[str]:
    """All answers to one step's name are equal, byte for byte, and so is the journal's record."""
    for name, calls in facts.answers.items():
        bodies = {call.body for call in calls if call.via != "sdk"}
        kept = facts.kept.get(name)
        if kept is not None and kept.result is not None:
            bodies.add(kept.result)
        if len(bodies) > 1:
            yield f"step {name} was answered in {len(bodies)} ways: {' / '.join(sorted(bodies))[:600]}"
        models = {_as_model(body) for body in bodies | {call.body for call in calls}}
        if len(models) > 1 and len(bodies) <= 1:
            yield f"step {name} was told the SDK differently: {' / '.join(sorted(models))[:600]}"


def _as_model(body: str) -> str:
    return StepResult.model_validate_json(body.encode("latin-1")).model_dump_json()


def idempotent(facts: Facts) -> Iterator[str]:
    """Calls of one key have one answer and one effect."""
    answers: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for call in facts.history.calls:
        if call.ok and call.key and call.via != "sdk":
            answers[call.op, call.target, call.key].add(call.body)
    for name, bodies in answers.items():
        if len(bodies) > 1:
            yield f"{name} was answered in {len(bodies)} ways: {' / '.join(sorted(bodies))[:600]}"
    yield from _effects(facts)


def _effects(facts: Facts) -> Iterator[str]:
    made: dict[str, set[str]] = defaultdict(set)
    for each in facts.final.episodes:
        if each.key and each.reason not in UNDONE:
            made[each.key.rpartition("\x1f")[2]].add(each.episode)
    for call, started in facts.told():
        told = {each["episode_id"] for each in started}
        if call.op != "create_group" and call.key in made and made[call.key] != told:
            yield f"{call.op} {call.key} made {sorted(made[call.key])}, and told of {sorted(told)}"
    taken = Counter(each.key for each in facts.final.checkpoints if each.key)
    yield from (f"{count} checkpoints of the key {key.split(chr(31))}" for key, count in taken.items() if count > 1)
    again = Counter((each.episode, each.key) for each in facts.final.worlds if each.key)
    for (episode, key), count in again.items():
        if count > 1:
            yield f"{episode}: {count} generations of the key {key.split(chr(31))}"


def no_gaps(facts: Facts) -> Iterator[str]:
    """The steps of a world are numbered without a gap, and only the last may have no result."""
    for name, steps in facts.steps.items():
        world = facts.worlds.get(name)
        if world is None:
            yield f"{name} has {len(steps)} steps and never began"
            continue
        expected = list(range(world.first_index + 1, world.first_index + 1 + len(steps)))
        if [step.index for step in steps] != expected:
            yield f"{name} has the steps {[step.index for step in steps]} after {world.first_index}"
        open_ = [step.index for step in steps[:-1] if step.result is None]
        if open_:
            yield f"{name} has no result for the steps {open_}, and later ones"


# Nothing that was acknowledged is lost


def kept(facts: Facts) -> Iterator[str]:
    """A step that was answered is there ever after, in the journal and for who asks, until its generation is over."""
    told = {name: calls[0].ended_at for name, calls in facts.answers.items()}
    for name in told:
        if name not in facts.kept and not (facts.final.forgetful and name[0] not in facts.episodes):
            yield f"step {name} was answered, and the journal does not have it"
    heights: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
    for (episode, generation, index), at in told.items():
        heights[episode, generation].append((at, index))
    for call in facts.history.calls:
        if not (facts.final.forgetful and call.code == "not_found"):
            yield from _forgotten(call, told, heights)


def _forgotten(
    call: Call, told: dict[Name, float], heights: dict[tuple[str, int], list[tuple[float, int]]]
) -> Iterator[str]:
    at = told.get(call.name)
    if call.op in ("step", "get_step") and at is not None and call.sent_at > at:
        if call.code in ("not_found", "wrong_step_index"):
            yield f"step {call.name} was answered at {at:.2f} s, and at {call.ended_at:.2f} s it is {call.code}"
    elif call.op == "get" and call.ok:
        document = call.document
        before = [index for at, index in heights.get((call.target, document["generation"]), []) if at < call.sent_at]
        if before and document["step_index"] < max(before):
            yield f"{call.target} stands at {document['step_index']}, after step {max(before)} was answered"


def in_the_world(facts: Facts) -> Iterator[str]:
    """A world has what its steps did, with those of the state that it was forked or restored from, and nothing else."""
    for seen in facts.history.seen:
        world = facts.worlds.get((seen.episode, seen.generation))
        if world is None:
            continue
        own = [step for step in facts.steps.get((seen.episode, seen.generation), []) if step.index <= seen.index]
        steps = [*facts.past(world), *own]
        required = {token_of(step) for step in steps if _writes(facts, step)}
        allowed = {token_of(step) for step in steps}
        where = f"{seen.episode} generation {seen.generation} ({world.origin} {world.kind}) after step {seen.index}"
        if missing := required - set(seen.tokens):
            yield f"{where} lacks {sorted(missing)} of {seen.tokens}"
        if extra := set(seen.tokens) - allowed:
            yield f"{where} has {sorted(extra)} that is not of its past"


def variables(facts: Facts) -> Iterator[str]:
    """The interpreter's variables go on from one step to the next, and over forks of processes."""
    for name, steps in facts.steps.items():
        world = facts.worlds.get(name)
        if world is None:
            continue
        value: int | None = 0
        if world.kind == "process":
            value = _value(0, facts.past(world), facts)
        elif world.kind:
            value = None  # sessions begin anew, or what is replayed may have gone otherwise
        for step in steps:
            before, value = value, _value(value, [step], facts)
            live = result_of(step).get("observation", {}).get("session") == "live"
            if live and _shown(step, facts) is not None and before is not None and value != before + 1:
                yield f"{name} step {step.index}: the variable was {before} and is {value}"


def _value(value: int | None, steps: list[Kept], facts: Facts) -> int | None:
    for step in steps:
        shown = _shown(step, facts)
        if shown is not None:
            value = shown
        elif outcome_of(step) != "ok" and outcome_of(step) != "format_error":
            value = None  # what a limit stopped may have taken the session with it
    return value


def files(facts: Facts) -> Iterator[str]:
    """What was put is what is got."""
    for call in facts.history.calls:
        wrong = call.op == "read_file" and call.token and call.status == 200 and call.body != call.token
        if wrong and call.target not in facts.killed:
            yield f"{call.target}: put {call.token[:40]}, got {call.body[:40]}"


def _shown(step: Kept, facts: Facts) -> int | None:
    """What a step that counts has counted."""
    shown = result_of(step).get("observation", {}).get("result")
    counts = facts.kinds.get(token_of(step)) == "python" and outcome_of(step) == "ok"
    return int(shown) if counts and shown is not None else None


# Ends


def one_end(facts: Facts) -> Iterator[str]:
    """Every episode that somebody was told of has one record, and that says how it ended."""
    count = Counter(each.episode for each in facts.final.episodes)
    for call, started in facts.told():
        for each in started:
            found = count[each["episode_id"]]
            if found != 1 and not (facts.final.forgetful and found == 0):
                yield f"{each['episode_id']} ({call.op} {call.key}) has {found} records"
    for row in facts.final.episodes:
        if not row.closed or row.state != "closed":
            yield f"{row.episode} is {row.state} ({row.reason}) when all were closed"
    if facts.final.open_episodes:
        yield f"still open: {facts.final.open_episodes}"


def not_lost(facts: Facts) -> Iterator[str]:
    """An episode is lost only with its container, and fails only where a world could not begin on a broken node."""
    failed: set[str] = set()
    for call in sorted(facts.history.calls, key=lambda call: call.ended_at):
        document = call.document if call.op == "get" or call.code == "episode_lost" else {}
        if facts.node_was_broken and document.get("state") == "failed":
            failed.add(call.target)
        is_lost = call.code == "episode_lost" or document.get("state") in ("lost", "failed")
        named = {call.target, *_EPISODE.findall(call.body)}  # a group's first member is named in the answer alone
        if is_lost and not named & (facts.killed | failed | facts.ended_by_policy):
            if facts.node_was_broken and "is failed" in document.get("detail", ""):
                continue
            yield f"{call.target} is lost by nothing: {call.op} at {call.ended_at:.2f} s: {call.body[:300]}"


def blame(facts: Facts) -> Iterator[str]:
    """The policy is blamed only for what it did, and what we did is never for training."""
    for step in facts.final.steps:
        info = result_of(step).get("info", {})
        outcome = outcome_of(step)
        kind = facts.kinds.get(token_of(step), "submit" if "submit" in step.action else "wrong")
        allowed = {"ok"} if kind == "submit" else set(ACTIONS[kind].outcomes)
        if step.episode in facts.killed:
            allowed |= {"policy_killed", "episode_lost", "infra_error"}
        if facts.disk_was_full or (kind == "submit" and facts.node_was_broken):
            allowed |= OURS
        name = (step.episode, step.generation, step.index)
        if outcome and outcome not in allowed:
            yield f"step {name}, {kind}, came to {outcome}: {step.result[:400] if step.result else ''}"
        if outcome in OURS and info.get("trainable") is not False:
            yield f"step {name} came to {outcome} and is said to be trainable"


def rewards(facts: Facts) -> Iterator[str]:
    """One reward a generation, decided by a grader; none where we failed."""
    for name, steps in facts.steps.items():
        paid = [step for step in steps if result_of(step).get("reward")]
        if len(paid) > 1 or any("submit" not in step.action for step in paid):
            yield f"{name} was paid in the steps {[step.index for step in paid]}"
        if any(outcome_of(step) in OURS for step in paid):
            yield f"{name} was paid for a step that we failed"
    grades: dict[str, set[str]] = defaultdict(set)
    for call in facts.history.calls:
        if call.op == "grade" and call.status == 200:
            grades[call.target].add(json.dumps(call.document, sort_keys=True))
            if call.document["reward"] is None and call.document["trainable"]:
                yield f"{call.target}: a grade without a reward is said to be trainable"
    for episode, different in grades.items():
        row = facts.episodes.get(episode)
        if row is not None and len(different) > row.generation:
            yield f"{episode} has {len(different)} grades in {row.generation} generations"
    yield from _last_grades(facts)


def _last_grades(facts: Facts) -> Iterator[str]:
    for row in facts.final.episodes:
        steps = facts.steps.get((row.episode, row.generation), [])
        failed = any(outcome_of(step) in OURS for step in steps if "submit" not in step.action)
        grade: dict[str, Any] = json.loads(row.grade) if row.grade else {}
        if failed and grade.get("trainable"):
            yield f"{row.episode} failed by our fault, and its grade is said to be trainable"
        paid = sum(result_of(step).get("reward", 0.0) for step in steps)
        if steps and abs(paid - row.reward) > 1e-9:
            yield f"{row.episode} has the reward {row.reward}, and its steps {paid}"


# What is left


def released(facts: Facts) -> Iterator[str]:
    """Capacity and quotas are all there again."""
    for member in ("used_memory_bytes", "used_cpus", "admitted_episodes"):
        if facts.final.capacity.get(member):
            yield f"{member} is {facts.final.capacity[member]} without an episode"
    if not facts.final.quota_free:
        yield "the tenant's quota of disk is not all free"


def nothing_left(facts: Facts) -> Iterator[str]:
    """The node holds no more than before: processes, mounts, groups, layers, directories, checkpoints."""
    before, after = facts.final.before, facts.final.after  # less where an earlier seed's remains have gone at last
    changed = {name: (before.get(name), count) for name, count in after.items() if count > before.get(name, 0)}
    if changed:
        yield f"before and after: {changed}"


def answered(facts: Facts) -> Iterator[str]:
    """Whoever asks again gets an answer once faults are over, and none that nothing called for."""
    yield from (f"not answered: {what}" for what in facts.final.unfinished)
    for call in facts.history.calls:
        of_known = call.op in ("get", "step", "get_step", "close") and not facts.final.forgetful
        if call.code in NEVER or (call.code == "not_found" and of_known):
            yield f"client {call.client}: {call.op} {call.target} {call.key} over {call.via}: {call.body[:300]}"


def no_defects(facts: Facts) -> Iterator[str]:
    """The server's log has no line of a defect, and it never ends by itself."""
    yield from facts.final.defects


INVARIANTS: dict[str, Callable[[Facts], Iterator[str]]] = {
    each.__name__: each
    for each in (
        runs_once, same_bytes, idempotent, no_gaps, kept, in_the_world, variables, files, one_end, not_lost, blame,
        rewards, released, nothing_left, answered, no_defects,
    )
}  # fmt: skip


def check(history: History) -> list[Violation]:
    """Every broken promise of a history."""
    facts = Facts(history)
    return [Violation(name, what) for name, holds in INVARIANTS.items() for what in holds(facts)]
