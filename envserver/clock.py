"""Two clocks, told apart: one to show, one to measure with.

`wall` is for people and for what outlives the machine's boot; somebody may set it at any time, so no time-out rests on
it. `steady` goes on through suspension, nobody can set it, and every process of the machine reads the same: what one
server measured, its successor goes on measuring.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_OFFSET_FILE = os.environ.get("ENVSERVER_CLOCK_OFFSET_FILE")
"""For tests: a file with seconds by which the wall clock of this process is off, read at every look."""


def wall() -> float:
    """Unix time, in seconds."""
    return time.time() + (_offset(_OFFSET_FILE) if _OFFSET_FILE else 0.0)


def _offset(file: str) -> float:
    try:
        return float(Path(file).read_text() or 0)
    except (OSError, ValueError):
        return 0.0


def steady() -> float:
    """Seconds since the machine's boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
"""Tells this boot's `steady` from another's."""
