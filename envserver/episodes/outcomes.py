"""What a step's outcome is, from what the environment said and what the kernel counted.

The environment sees how a command ended; only the kernel's counters, read outside the sandbox, know that a
limit was the reason. Where several apply, the cause wins over its consequence: a process that was killed for
memory often shows up as a time-out or a lost session, a program that cannot fork as one that never ends.
From strongest to weakest:

    what is not the policy's doing, or was found with evidence    infra_error, episode_lost, escape_attempt
    an action that never ran                                      format_error
    the kernel killed for memory during the step                  policy_oom
    the environment saw a limit stop the step                     disk_full, output_overflow
    the kernel refused a process during the step                  policy_pids
    whatever else the environment said                            policy_timeout, policy_killed, ok

When the sandbox itself has ended, nobody inside can be asked. Out of memory is counted outside. Otherwise
the guest agent died while a step of the policy was running: the policy is the only one inside who acts, so
if the launcher still answers it is taken to have killed its own world (`policy_killed`: terminated, and a
trainer may learn from it). If the launcher does not answer either, the fault is more likely ours, and
blaming the policy would teach it noise: `episode_lost`. An agent that did not answer in time may have been starved
by the policy, within the sandbox's limits, or by the machine: it was the policy only if the sandbox had CPU time.
"""

from __future__ import annotations

from dataclasses import dataclass

from envserver.runtimes.base import Usage
from envserver_sdk.models import Outcome

_FINAL = frozenset({Outcome.INFRA_ERROR, Outcome.EPISODE_LOST, Outcome.ESCAPE_ATTEMPT, Outcome.FORMAT_ERROR})
_SEEN_LIMITS = frozenset({Outcome.DISK_FULL, Outcome.OUTPUT_OVERFLOW})


@dataclass(frozen=True)
class Evidence:
    """What the kernel counted during one step."""

    oom_kills: int = 0
    pids_denied: int = 0
    cpu_s: float = 0.0

    @classmethod
    def between(cls, before: Usage, after: Usage) -> Evidence:
        return cls(
            after.oom_kills - before.oom_kills, after.pids_denied - before.pids_denied, after.cpu_s - before.cpu_s
        )


def classify(said: Outcome, evidence: Evidence) -> Outcome:
    """The outcome of a step whose sandbox lives."""
    if said in _FINAL:
        return said
    if evidence.oom_kills > 0:
        return Outcome.POLICY_OOM
    if said in _SEEN_LIMITS:
        return said
    if evidence.pids_denied > 0:
        return Outcome.POLICY_PIDS
    return said


_BUSY = 0.5
"""Share of its CPU limit that a sandbox must have had for its silence to be its own doing."""


def classify_gone(evidence: Evidence | None, *, launcher_answers: bool, silent_cpu_s: float | None = None) -> Outcome:
    """The outcome of a step during which the sandbox ended; `evidence` is None when it cannot be read.

    `silent_cpu_s`: where it did not end but fell silent, the CPU time that its limits allowed it meanwhile.
    """
    if evidence is not None and evidence.oom_kills > 0:
        return Outcome.POLICY_OOM
    if not launcher_answers:
        return Outcome.EPISODE_LOST
    if silent_cpu_s is not None and (evidence is None or evidence.cpu_s < _BUSY * silent_cpu_s):
        return Outcome.EPISODE_LOST
    return Outcome.POLICY_KILLED
