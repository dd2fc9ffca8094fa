"""How many sandboxes of a kind to keep warm: as many as were asked for at once of late.

Trainers come in bursts: hundreds of creates within a second, then silence while a model learns. So what is
remembered is the largest number asked for within one second, halved every two minutes; a kind that was asked for
once is not worth a sandbox.
"""

from __future__ import annotations

BURST_S = 1.0
HALF_LIFE_S = 120.0
_WORTH = 1.5
"""Creates remembered, from which on a kind is kept warm."""


class Demand:
    """Of one kind of sandbox; times are seconds of a clock that only goes forward."""

    def __init__(self, now: float) -> None:
        self._at = self._burst_began = now
        self._burst = 0
        self._peak = 0.0
        self._seen = 0.0

    def note(self, now: float) -> None:
        """Somebody asked for one."""
        self._fade(now)
        if now - self._burst_began > BURST_S:
            self._burst_began, self._burst = now, 0
        self._burst += 1
        self._seen += 1
        self._peak = max(self._peak, float(self._burst))

    def wanted(self, now: float) -> int:
        """Sandboxes to keep warm."""
        self._fade(now)
        return round(self._peak) if self._seen >= _WORTH else 0

    def forgotten(self, now: float) -> bool:
        """Whether so little of it is remembered that it will not come back by itself."""
        self._fade(now)
        return self._seen < 0.1

    def _fade(self, now: float) -> None:
        factor = 0.5 ** ((now - self._at) / HALF_LIFE_S)
        self._peak *= factor
        self._seen *= factor
        self._at = now
