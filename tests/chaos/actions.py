"""The actions of the workload. Each appends its token to one file and says something that no second run would say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RAN = "/workspace/ran"
MEMORY_BYTES = 192 << 20
DISK_BYTES = 24 << 20


@dataclass(frozen=True)
class Action:
    """One kind of action."""

    make: Callable[[str], dict[str, Any]]
    outcomes: frozenset[str]
    """What may come of it while nothing is broken."""
    weight: int
    timeout_s: float | None = None
    writes: bool = True
    """Whether its token is in the file when it was `ok`."""


def _bash(rest: str) -> Callable[[str], dict[str, Any]]:
    return lambda token: {"type": "bash", "command": f"echo {token} >> {RAN}; {rest}"}


def _python(token: str) -> dict[str, Any]:
    code = f"with open('{RAN}', 'a') as ran: _ = ran.write('{token}\\n')\nn = globals().get('n', 0) + 1\nn"
    return {"type": "python", "code": code}


_CHANCE = "od -An -tx8 -N8 /dev/urandom"
_OK = frozenset({"ok"})

ACTIONS: dict[str, Action] = {
    "plain": Action(_bash(_CHANCE), _OK, 10),
    "python": Action(_python, _OK, 8),
    "long": Action(_bash(f"sleep 0.5; {_CHANCE}"), _OK, 3),
    "large": Action(_bash(f"head -c 60000 /dev/zero | tr '\\0' x; {_CHANCE}"), _OK, 2),
    "chatty": Action(_bash(f"head -c 30000 /dev/zero | tr '\\0' y; {_CHANCE}"), _OK, 1),
    "late": Action(_bash("sleep 30"), frozenset({"policy_timeout"}), 1, timeout_s=0.3),
    "hungry": Action(_bash("python3 -c 'bytearray(1 << 30)'"), frozenset({"policy_oom"}), 1),
    "full": Action(
        _bash("head -c 99999999 /dev/zero > /workspace/big; s=$?; rm -f /workspace/big; (exit $s)"),
        frozenset({"ok", "disk_full"}),
        1,
    ),
    "wrong": Action(lambda _: {"type": "bash"}, frozenset({"format_error"}), 1, writes=False),
}
