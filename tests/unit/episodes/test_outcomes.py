"""The table of outcomes: the cause wins over its consequence."""

from __future__ import annotations

import pytest

from envserver.episodes.outcomes import Evidence, classify, classify_gone
from envserver.runtimes.base import Usage
from envserver_sdk.models import Outcome

NOTHING, OOM, PIDS, BOTH = Evidence(), Evidence(oom_kills=1), Evidence(pids_denied=1), Evidence(1, 1)


@pytest.mark.parametrize(
    ("said", "evidence", "expected"),
    [
        ("ok", NOTHING, "ok"),
        ("ok", OOM, "policy_oom"),
        ("ok", PIDS, "policy_pids"),
        ("ok", BOTH, "policy_oom"),
        ("policy_timeout", NOTHING, "policy_timeout"),
        ("policy_timeout", OOM, "policy_oom"),
        ("policy_timeout", PIDS, "policy_pids"),
        ("policy_killed", OOM, "policy_oom"),
        ("policy_killed", NOTHING, "policy_killed"),
        ("disk_full", PIDS, "disk_full"),
        ("disk_full", OOM, "policy_oom"),
        ("output_overflow", PIDS, "output_overflow"),
        ("format_error", BOTH, "format_error"),
        ("escape_attempt", BOTH, "escape_attempt"),
        ("infra_error", BOTH, "infra_error"),
        ("episode_lost", BOTH, "episode_lost"),
    ],
)
def test_the_kernels_counters_overrule_what_the_environment_saw(said: str, evidence: Evidence, expected: str) -> None:
    assert classify(Outcome(said), evidence) == expected


@pytest.mark.parametrize(
    ("evidence", "launcher_answers", "expected"),
    [
        (OOM, True, "policy_oom"),
        (OOM, False, "policy_oom"),
        (NOTHING, True, "policy_killed"),
        (None, True, "policy_killed"),
        (NOTHING, False, "episode_lost"),
        (None, False, "episode_lost"),
    ],
)
def test_a_sandbox_that_ended_is_blamed_on_whoever_could_have_done_it(
    evidence: Evidence | None, launcher_answers: bool, expected: str
) -> None:
    assert classify_gone(evidence, launcher_answers=launcher_answers) == expected


@pytest.mark.parametrize(
    ("cpu_s", "launcher_answers", "expected"),
    [(9.0, True, "policy_killed"), (4.9, True, "episode_lost"), (9.0, False, "episode_lost")],
)
def test_a_silent_sandbox_is_the_policys_doing_only_if_it_had_cpu_time(
    cpu_s: float, launcher_answers: bool, expected: str
) -> None:
    outcome = classify_gone(Evidence(cpu_s=cpu_s), launcher_answers=launcher_answers, silent_cpu_s=10.0)
    assert outcome == expected


def test_a_silent_sandbox_whose_counters_cannot_be_read_is_not_the_policys_doing() -> None:
    assert classify_gone(None, launcher_answers=True, silent_cpu_s=10.0) == "episode_lost"


def test_evidence_is_what_was_counted_since_the_step_began() -> None:
    before = Usage(0, 0, 0, oom_kills=2, pids_denied=5)
    after = Usage(0, 0, 0, oom_kills=3, pids_denied=5)
    assert Evidence.between(before, after) == OOM


def test_only_what_is_not_the_policys_doing_is_kept_from_training() -> None:
    untrainable = {outcome for outcome in Outcome if not outcome.trainable_by_default}
    assert untrainable == {Outcome.INFRA_ERROR, Outcome.EPISODE_LOST}
