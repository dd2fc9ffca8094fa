"""An episode's clock: one timer for its three deadlines.

- **TTL**: so long after its creation an episode is closed, whatever it does.
- **idle**: so long without a call that uses it, an episode is closed: trainers forget to, or die.
- **episode time-out**: so long after its world began, an episode is truncated. Time in which the world stands still
  (paused, hibernated) does not count; the other two are wall time, and do.

Only the earliest deadline has a timer; a use of the episode moves a number, not the timer, and a timer that
fires early finds that out and is set again. What is written down of it goes on counting while no server runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from envserver import clock


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
        self._held_s: float | None = None
        """What is left of the episode's time while its world stands still."""
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._arm()

    def use(self) -> None:
        self._used_at = self._loop.time()

    def begin_episode(self, timeout_s: float) -> None:
        """A world has begun: its time starts now."""
        self._held_s = None
        self._episode_at = self._loop.time() + timeout_s
        self.use()
        self._arm()

    def end_episode(self) -> None:
        self._episode_at = self._held_s = None

    def hold_episode(self) -> None:
        """The world stands still, and so does its time. Idempotent."""
        if self._episode_at is not None:
            self._held_s, self._episode_at = max(0.0, self.episode_left_s()), None

    def continue_episode(self) -> None:
        """Undo `hold_episode`. Idempotent."""
        if self._held_s is not None:
            self._episode_at, self._held_s = self._loop.time() + self._held_s, None
            self._arm()

    def episode_left_s(self) -> float:
        """Time until the episode time-out; infinite when none runs."""
        if self._held_s is not None:
            return self._held_s
        return float("inf") if self._episode_at is None else self._episode_at - self._loop.time()

    def expires_in_s(self) -> float:
        """Time until the episode is closed if nobody uses it."""
        return min(self._ttl_at, self._used_at + self.idle_timeout_s) - self._loop.time()

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    # Across servers

    def write_down(self) -> dict[str, Any]:
        """The deadlines, for `read_back` by another server."""
        ttl_s = self._ttl_at - self._loop.time()
        written: dict[str, Any] = {
            "boot": clock.BOOT_ID, "ttl_at": clock.steady() + ttl_s, "ttl_wall_at": clock.wall() + ttl_s,
        }  # fmt: skip
        if self._held_s is not None:
            written["episode_held_s"] = self._held_s
        elif self._episode_at is not None:
            written["episode_at"] = clock.steady() + self.episode_left_s()
        return written

    def read_back(self, written: Mapping[str, Any]) -> None:
        """Go on with deadlines that another server wrote down; being found again is a use."""
        now = self._loop.time()
        same_boot = written.get("boot") == clock.BOOT_ID
        if same_boot:
            self._ttl_at = now + written["ttl_at"] - clock.steady()
        elif "ttl_wall_at" in written:
            self._ttl_at = now + min(self.ttl_s, written["ttl_wall_at"] - clock.wall())
        self._held_s = written.get("episode_held_s")
        if same_boot and "episode_at" in written:
            self._episode_at = now + written["episode_at"] - clock.steady()
        self._used_at = now
        self._arm()

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
