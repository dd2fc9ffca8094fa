"""Ending processes and knowing that they have ended; told apart from later ones of the same number."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path


def wait_for_end(pid: int, timeout_s: float) -> bool:
    """Whether the process ended in time. `Popen.wait(timeout)` would sleep in steps that grow to 50 ms.

    Raises: ProcessLookupError when there is none.
    """
    fd = os.pidfd_open(pid)
    try:
        ended = select.poll()  # select(2) stops at descriptor 1024
        ended.register(fd, select.POLLIN)
        return bool(ended.poll(timeout_s * 1000))
    finally:
        os.close(fd)


def kill_and_wait(pid: int, deadline: float) -> None:
    """SIGKILL, then wait for the end: the death of PID 1 takes its whole pid namespace along."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid, max(0.0, min(1.0, deadline - time.monotonic())))


def kill_process_group(group: int, timeout_s: float) -> bool:
    """SIGKILL to a process group; whether all of it ended in time.

    A killed process finishes the system call that it is in: it may make a directory after the signal was sent.
    """
    deadline = time.monotonic() + timeout_s
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    for pid in _live_members(group):
        with contextlib.suppress(ProcessLookupError):
            if not wait_for_end(pid, max(0.0, deadline - time.monotonic())):
                return False
    return True


def _live_members(group: int) -> Iterator[int]:
    """Zombies are out: whose child they are is not ours to know, so neither is when they are reaped."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = _stat_fields(int(entry.name))
            if int(fields[2]) == group and fields[0] not in "ZX":
                yield int(entry.name)


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped it."""
    try:
        return _stat_fields(pid)[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return False


def owners() -> Iterator[tuple[int, int]]:
    """Every process that there is, with its real uid."""
    for entry in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            uids = next(line for line in entry.read_text(errors="replace").splitlines() if line.startswith("Uid:"))
            yield int(entry.parent.name), int(uids.split()[1])


def started_ticks(pid: int) -> int:
    """Start time of a process. Raises: FileNotFoundError, ProcessLookupError."""
    return int(_stat_fields(pid)[19])


def _stat_fields(pid: int) -> list[str]:
    # proc_pid_stat(5), from the third field on: the second, the name, may hold spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
