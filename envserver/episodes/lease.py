"""An episode's clock: one timer for its three deadlines.

- **TTL**: so long after its creation an episode is closed, whatever it does.
- **idle**: so long without a call that uses it, an episode is closed: trainers forget to, or die.
- **episode time-out**: so long after its world began, an episode is truncated.

Only the earliest deadline has a timer; a use of the episode moves a number, not the timer, and a timer that
fires early finds that out and is set again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum


class Expiry(StrEnum):
    """Which deadline passed."""

    TTL = "expired"
    IDLE = "idle"
    EPISODE = "episode_timeout"


class Lease:
    """Belongs to the running loop. `on_expiry` is called at most once for each deadline."""

    def __init__(
        self, ttl_s: float, idle_timeout_s: float, busy: Callable[[], bool], on_expiry: Callable[[Expiry], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ttl_s = ttl_s
        self.idle_timeout_s = idle_timeout_s
        self._busy = busy
        self._on_expiry = on_expiry
        self._ttl_at = self._loop.time() + ttl_s
        self._used_at = self._loop.time()
        self._episode_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._arm()

    def use(self) -> None:
        self._used_at = self._loop.time()

    def begin_episode(self, timeout_s: float) -> None:
        """A world has begun: its time starts now."""
        self._episode_at = self._loop.time() + timeout_s
        self.use()
        self._arm()

    def end_episode(self) -> None:
        self._episode_at = None

    def episode_left_s(self) -> float:
        """Time until the episode time-out; infinite when none runs."""
        return float("inf") if self._episode_at is None else self._episode_at - self._loop.time()

    def expires_in_s(self) -> float:
        """Time until the episode is closed if nobody uses it."""
        return min(self._ttl_at, self._used_at + self.idle_timeout_s) - self._loop.time()

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._stopped:
            return
        if self._timer is not None:
            self._timer.cancel()
        deadlines = [self._ttl_at, self._used_at + self.idle_timeout_s]
        if self._episode_at is not None:
            deadlines.append(self._episode_at)
        self._timer = self._loop.call_at(min(deadlines), self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._busy():
            self._used_at = now
        if self._episode_at is not None and now >= self._episode_at:
            self._episode_at = None
            self._on_expiry(Expiry.EPISODE)
        if now >= self._ttl_at:
            self.stop()
            self._on_expiry(Expiry.TTL)
        elif now >= self._used_at + self.idle_timeout_s:
            self.stop()
            self._on_expiry(Expiry.IDLE)
        else:
            self._arm()
