"""When a sandbox is to end, whatever is done to the wall clock meanwhile.

A deadline counts on CLOCK_BOOTTIME, which nobody sets and which goes on while the machine sleeps. That clock begins
anew with each boot, so beside it stands which boot it is of; for what outlives that one, the wall clock counts.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path

_SAME_S = 1.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@functools.cache
def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def _boottime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Deadline:
    """Kept in records as one string, `str()` of it."""

    unix_s: float
    """As the wall clock was when this was set."""
    boot_id: str
    boottime_s: float

    @classmethod
    def after(cls, ttl_s: float) -> Deadline:
        return cls(time.time() + ttl_s, _boot_id(), _boottime_s() + ttl_s)

    @classmethod
    def parse(cls, text: str) -> Deadline:
        """Of `str()`; a bare Unix time is one of another boot. Raises: ValueError."""
        unix_s, boot_id, boottime_s = (*text.split(), "", "0")[:3]
        return cls(float(unix_s), boot_id, float(boottime_s))

    def __str__(self) -> str:
        return f"{self.unix_s!r} {self.boot_id} {self.boottime_s!r}"

    def left_s(self) -> float:
        if self.boot_id == _boot_id():
            return self.boottime_s - _boottime_s()
        return self.unix_s - time.time()

    def shown(self) -> float:
        """As Unix time, by the wall clock as it is now; always the same while nobody has set that."""
        now = time.time() + self.left_s()
        return self.unix_s if abs(now - self.unix_s) < _SAME_S else now
