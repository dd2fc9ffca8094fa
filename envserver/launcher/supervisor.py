"""PID 1 of the launcher's container: starts the launcher, starts it again when it dies, reaps orphans.

Sandboxes are reparented to this process, so that the launcher can be killed and started again without touching
one of them. On SIGTERM it ends the launcher and then, with the container, everything.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

_RESTART_DELAY_S = 0.5


def supervise(command: list[str]) -> int:
    """Run `command` until told to stop; returns the exit status for the container."""
    stopping = False
    child = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        if child:
            os.kill(child, signal.SIGINT)  # "end the node", where SIGTERM would leave the sandboxes

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while not stopping:
        child = os.posix_spawn(sys.executable, [sys.executable, "-m", "envserver.cli", *command], os.environ)
        status = _reap_until(child)
        child = 0
        if not stopping:
            print(f"launcher ended with status {status}; starting it again", file=sys.stderr, flush=True)  # noqa: T201
            time.sleep(_RESTART_DELAY_S)
    return 0


def _reap_until(child: int) -> int:
    """Reap whatever ends until `child` does."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)
