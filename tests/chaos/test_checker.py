"""The checker finds each broken promise in a history made by hand, and nothing in one where all were kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.checker import INVARIANTS, check
from tests.chaos.history import Call, Ended, Fault, Final, History, Kept, SavedState, Seen, World

EPISODE, FORK = "ep_1", "ep_2"
GRADE = '{"reward":0,"trainable":true}'
KEY = "chaos\x1fcreate\x1fc0-1"


def result(index: int, outcome: str = "ok", *, reward: float = 0.0, **observation: Any) -> str:
    trainable = outcome not in ("infra_error", "episode_lost")
    return json.dumps(
        {
            "step_index": index, "generation": 1, "observation": observation, "reward": reward, "terminated": False,
            "truncated": False, "info": {"outcome": outcome, "trainable": trainable, "duration_ms": 1.0},
        }
    )  # fmt: skip


def started(episode: str, index: int = 0) -> dict[str, Any]:
    return {"episode_id": episode, "generation": 1, "step_index": index, "observation": {}, "info": {}}


def problem(code: str, status: int, **members: Any) -> dict[str, Any]:
    return {"status": status, "body": json.dumps({"type": f"urn:envserver:problem:{code}", **members})}


def step(
    index: int, at: float, *, episode: str = EPISODE, kind: str = "python", body: str = "", **members: Any
) -> Call:
    body = body or result(index, result=str(index), session="live")
    return Call(
        0, "http", "step", episode, "", 1, index, kind, f"t0.{index}", at, at + 0.1, 200, body, **members
    )  # fmt: skip


def kept(index: int, *, episode: str = EPISODE, body: str = "", action: str = "") -> Kept:
    action = action or json.dumps({"type": "python", "code": f"t0.{index} ..."})
    return Kept(episode, 1, index, action, body or result(index, result=str(index), session="live"))


def clean() -> History:
    """An episode of two steps, a checkpoint after the first and a fork of that with a step of its own; all closed."""
    calls = [
        Call(0, "http", "create", "", "c0-1", sent_at=0, ended_at=0.5, status=201, body=json.dumps(started(EPISODE))),
        step(1, 1.0),
        step(2, 2.0),
        replace(step(1, 3.0), op="get_step", kind="", token=""),
        Call(
            0, "http", "fork", "cp_1", "c0-2", sent_at=4, ended_at=5, status=201,
            body=json.dumps({"episodes": [started(FORK, 1)]}),
        ),
        replace(step(2, 6.0, episode=FORK), token="t0.7"),
        Call(0, "http", "grade", EPISODE, "c0-3", sent_at=7, ended_at=8, status=200, body=GRADE),
        Call(0, "http", "get", EPISODE, sent_at=8, ended_at=9, status=200,
             body=json.dumps({"state": "ended", "generation": 1, "step_index": 2})),
    ]  # fmt: skip
    own = kept(2, episode=FORK, action=json.dumps({"type": "python", "code": "t0.7 ..."}))
    final = Final(
        worlds=[
            World(EPISODE, 1, "create", 0, None, "", ""),
            World(FORK, 1, "fork", 1, (EPISODE, 1), "process", ""),
        ],
        steps=[kept(1), kept(2), own],
        episodes=[
            Ended(EPISODE, "closed", "deleted", True, KEY, "", 1, 2, 0.0, GRADE),
            Ended(FORK, "closed", "deleted", True, "chaos\x1ffork cp_1\x1fc0-2", "", 1, 2, 0.0, None),
        ],
        checkpoints=[SavedState("cp_1", EPISODE, "process", False, "chaos\x1fcheckpoint\x1fc0-9", True)],
        capacity={"used_memory_bytes": 0, "used_cpus": 0.0, "admitted_episodes": 0},
        before={"processes": 1},
        after={"processes": 1},
    )
    seen = [
        Seen(EPISODE, 1, 2, ["t0.1", "t0.2"], 3.0),
        Seen(FORK, 1, 2, ["t0.1", "t0.7"], 7.0),
    ]
    return History(1, calls, seen, final=final)


def test_a_history_where_every_promise_was_kept_is_clean(tmp_path: Path) -> None:
    history = clean()
    assert check(history) == []
    history.save(tmp_path / "history.json")
    assert History.load(tmp_path / "history.json") == history


def _ran_twice(history: History) -> None:
    history.seen[0].tokens.append("t0.2")


def _other_bytes(history: History) -> None:
    history.calls.append(step(1, 3.5, body=result(1, result="1", session="live") + " "))


def _told_the_sdk_otherwise(history: History) -> None:
    history.calls.append(replace(step(1, 3.5, body=result(1, result="9", session="live")), via="sdk"))


def _two_episodes_of_a_key(history: History) -> None:
    history.final.episodes.append(Ended("ep_3", "closed", "deleted", True, KEY, "", 1, 0, 0.0, None))


def _two_answers_of_a_key(history: History) -> None:
    history.calls.append(replace(history.calls[0], body=json.dumps(started(EPISODE, 1))))


def _two_checkpoints_of_a_key(history: History) -> None:
    history.final.checkpoints.append(replace(history.final.checkpoints[0], checkpoint="cp_2"))


def _two_generations_of_a_key(history: History) -> None:
    history.final.worlds += [
        World(EPISODE, number, "reset", 0, None, "", "chaos\x1freset\x1fc0-5") for number in (2, 3)
    ]


def _a_gap(history: History) -> None:
    history.final.steps.append(kept(4))


def _no_result_in_the_middle(history: History) -> None:
    history.final.steps[0] = replace(history.final.steps[0], result=None)


def _not_in_the_journal(history: History) -> None:
    history.calls.append(step(3, 3.5))


def _forgotten(history: History) -> None:
    history.calls.append(replace(step(1, 3.5), **problem("not_found", 404)))


def _rolled_back(history: History) -> None:
    body = json.dumps({"state": "live", "generation": 1, "step_index": 1})
    history.calls.append(Call(0, "http", "get", EPISODE, sent_at=9, ended_at=9.1, status=200, body=body))


def _not_in_the_world(history: History) -> None:
    history.seen[0].tokens.remove("t0.1")


def _not_in_the_fork(history: History) -> None:
    history.seen[1].tokens.remove("t0.1")


def _of_after_the_checkpoint(history: History) -> None:
    history.seen[1].tokens.append("t0.2")


def _variable_forgotten(history: History) -> None:
    history.final.steps[1] = kept(2, body=result(2, result="7", session="live"))
    history.calls[2] = step(2, 2.0, body=result(2, result="7", session="live"))


def _fork_with_another_variable(history: History) -> None:
    action = json.dumps({"type": "python", "code": "t0.7 ..."})
    history.final.steps[2] = kept(2, episode=FORK, action=action, body=result(2, result="1", session="live"))
    history.calls[5] = replace(history.calls[5], body=result(2, result="1", session="live"))


def _another_file(history: History) -> None:
    history.calls.append(Call(0, "http", "read_file", EPISODE, token="put", status=200, body="got"))


def _no_record(history: History) -> None:
    del history.final.episodes[1]


def _open_in_the_journal(history: History) -> None:
    history.final.episodes[1] = replace(history.final.episodes[1], closed=False, state="live")


def _open_at_the_server(history: History) -> None:
    history.final.open_episodes.append("ep_9 live")


def _lost_by_nothing(history: History) -> None:
    history.calls.append(replace(step(3, 9.0), **problem("episode_lost", 410)))


def _lost_by_a_killed_launcher(history: History) -> None:
    history.faults.append(Fault("kill_launcher", 1, 1))
    _lost_by_nothing(history)


def _blamed_for_what_we_killed(history: History) -> None:
    history.final.steps[1] = kept(2, body=result(2, "policy_killed"))
    history.calls[2] = step(2, 2.0, body=result(2, "policy_killed"))
    history.seen.clear()


def _trainable_though_ours(history: History) -> None:
    history.faults.append(Fault("kill_sandbox", 1, 1, EPISODE))
    body = result(2, "infra_error").replace('"trainable": false', '"trainable": true')
    history.final.steps[1] = kept(2, body=body)
    history.calls[2] = step(2, 2.0, body=body)
    history.seen.clear()


def _paid_without_a_grader(history: History) -> None:
    history.final.steps[1] = kept(2, body=result(2, reward=1.0, result="2", session="live"))
    history.calls[2] = step(2, 2.0, body=result(2, reward=1.0, result="2", session="live"))
    history.final.episodes[0] = replace(history.final.episodes[0], reward=1.0)


def _graded_twice(history: History) -> None:
    history.calls.append(replace(history.calls[6], key="c0-8", body='{"reward":1,"trainable":true}'))


def _reward_is_not_the_sum(history: History) -> None:
    history.final.episodes[0] = replace(history.final.episodes[0], reward=0.5)


def _capacity_held(history: History) -> None:
    history.final.capacity["admitted_episodes"] = 1


def _quota_held(history: History) -> None:
    history.final.quota_free = False


def _a_process_left(history: History) -> None:
    history.final.after = {"processes": 2}


def _never_answered(history: History) -> None:
    history.final.unfinished.append("step ep_1")


def _answered_with_a_defect(history: History) -> None:
    history.calls.append(replace(step(3, 9.0), **problem("internal_error", 500)))


def _a_line_of_a_defect(history: History) -> None:
    history.final.defects.append("step_defect")


BROKEN: dict[str, list[Callable[[History], None]]] = {
    "runs_once": [_ran_twice],
    "same_bytes": [_other_bytes, _told_the_sdk_otherwise],
    "idempotent": [
        _two_episodes_of_a_key, _two_answers_of_a_key, _two_checkpoints_of_a_key, _two_generations_of_a_key
    ],
    "no_gaps": [_a_gap, _no_result_in_the_middle],
    "kept": [_not_in_the_journal, _forgotten, _rolled_back],
    "in_the_world": [_not_in_the_world, _not_in_the_fork, _of_after_the_checkpoint],
    "variables": [_variable_forgotten, _fork_with_another_variable],
    "files": [_another_file],
    "one_end": [_no_record, _open_in_the_journal, _open_at_the_server],
    "not_lost": [_lost_by_nothing, _lost_by_a_killed_launcher],
    "blame": [_blamed_for_what_we_killed, _trainable_though_ours],
    "rewards": [_paid_without_a_grader, _graded_twice, _reward_is_not_the_sum],
    "released": [_capacity_held, _quota_held],
    "nothing_left": [_a_process_left],
    "answered": [_never_answered, _answered_with_a_defect],
    "no_defects": [_a_line_of_a_defect],
}  # fmt: skip
CASES = [(invariant, break_) for invariant, all_of_it in BROKEN.items() for break_ in all_of_it]


@pytest.mark.parametrize(("invariant", "break_"), CASES, ids=[break_.__name__.strip("_") for _, break_ in CASES])
def test_a_broken_promise_is_found(invariant: str, break_: Callable[[History], None]) -> None:
    history = clean()
    break_(history)
    assert invariant in {violation.invariant for violation in check(history)}


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    assert set(BROKEN) == set(INVARIANTS)


def _a_container_was_killed(history: History) -> None:
    history.faults.append(Fault("kill_sandbox", 1, 1, EPISODE))
    _blamed_for_what_we_killed(history)


def _retried_creates_that_failed(history: History) -> None:
    history.final.episodes += [
        Ended("ep_3", "closed", "create_failed", True, KEY, "", 1, 0, 0.0, None),
        Ended("ep_4", "closed", "interrupted", True, KEY, "", 1, 0, 0.0, None),
    ]


def _a_session_that_began_anew(history: History) -> None:
    body = result(2, result="1", session="restarted")
    history.final.steps[1] = kept(2, body=body)
    history.calls[2] = step(2, 2.0, body=body)


def _a_connection_that_ended(history: History) -> None:
    history.calls.append(replace(step(3, 9.0), status=0, body="ConnectionError()"))


@pytest.mark.parametrize(
    "change",
    [_a_container_was_killed, _retried_creates_that_failed, _a_session_that_began_anew, _a_connection_that_ended],
)
def test_what_is_allowed_is_not_held_against_anyone(change: Callable[[History], None]) -> None:
    history = clean()
    change(history)
    assert check(history) == []
