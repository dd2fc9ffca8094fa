"""Tenants and their quotas: how much of the node the holders of a tenant's keys may have, together.

Checked and charged in one piece of synchronous code, so that two creates at once cannot both take the last
place. A create over a quota is refused at once and never waits in the node's queue, where it would keep other tenants
waiting. Rates are token buckets. CPU time is charged from the kernel's counters once it was used, so its
bucket may sink below nothing: the tenant starts nothing until it has filled up again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from envserver_sdk.errors import QuotaExceeded

DEFAULT_TENANT = "default"


class Quotas(BaseModel):
    """Of one tenant; None is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_episodes: int | None = Field(default=None, ge=0)
    """Episodes that are queued, live or ended and not yet closed."""
    starts_per_minute: float | None = Field(default=None, gt=0)
    """Creates and resets; as many may come at once."""
    cpu_s_per_hour: float | None = Field(default=None, gt=0)
    """CPU seconds of its sandboxes."""
    disk_bytes: int | None = Field(default=None, ge=0)
    """Sum of its episodes' disk limits."""
    max_checkpoints: int | None = Field(default=None, ge=0)
    """Checkpoints that are kept, automatic ones with them."""


class Bucket:
    """Tokens that come back at a steady rate, `capacity` of them in `period_s`."""

    def __init__(self, capacity: float, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.capacity = capacity
        self._per_s = capacity / period_s
        self._clock = clock
        self._level = capacity
        self._at = clock()

    def level(self) -> float:
        now = self._clock()
        self._level = min(self.capacity, self._level + (now - self._at) * self._per_s)
        self._at = now
        return self._level

    def take(self, tokens: float) -> None:
        """May sink below nothing; negative ones give back."""
        self._level = self.level() - tokens

    def wait_s(self, tokens: float) -> float:
        """Until so many are there; 0 when they are."""
        return max(0.0, (min(tokens, self.capacity) - self.level()) / self._per_s)


class Hold:
    """What one episode takes of its tenant's quotas; `release` gives it back (idempotent)."""

    def __init__(self, tenant: Tenant, disk_bytes: int) -> None:
        self.tenant = tenant
        self._disk_bytes = disk_bytes
        self._held = True
        tenant.episodes += 1
        tenant.disk_bytes += disk_bytes

    def release(self, *, refund: bool = False) -> None:
        """`refund` gives the start back too: nothing began."""
        if self._held:
            self._held = False
            self.tenant.episodes -= 1
            self.tenant.disk_bytes -= self._disk_bytes
            if refund:
                self.tenant.refund_start()


class Tenant:
    """One tenant as it is now."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.episodes = 0
        self.disk_bytes = 0
        self.quotas = Quotas()
        self._clock = clock
        self._starts: Bucket | None = None
        self._cpu: Bucket | None = None

    def set_quotas(self, quotas: Quotas) -> None:
        """Rates that stay the same keep their level."""
        if quotas.starts_per_minute != self.quotas.starts_per_minute:
            self._starts = self._bucket(quotas.starts_per_minute, 60.0)
        if quotas.cpu_s_per_hour != self.quotas.cpu_s_per_hour:
            self._cpu = self._bucket(quotas.cpu_s_per_hour, 3600.0)
        self.quotas = quotas

    def _bucket(self, capacity: float | None, period_s: float) -> Bucket | None:
        return None if capacity is None else Bucket(capacity, period_s, self._clock)

    def admit(self, disk_bytes: int) -> Hold:
        """Check every quota, then charge. Raises: QuotaExceeded."""
        quotas = self.quotas
        if quotas.max_episodes is not None and self.episodes >= quotas.max_episodes:
            raise self._exceeded("max_episodes", f"{self.episodes} of {quotas.max_episodes} episodes are open")
        if quotas.disk_bytes is not None and self.disk_bytes + disk_bytes > quotas.disk_bytes:
            taken = f"{self.disk_bytes} of {quotas.disk_bytes} bytes of disk are taken, {disk_bytes} were asked for"
            raise self._exceeded("disk_bytes", taken)
        self.start()
        return Hold(self, disk_bytes)

    def occupy(self, disk_bytes: int) -> Hold:
        """Charge what is there already, over the quota or not."""
        return Hold(self, disk_bytes)

    def start(self) -> None:
        """Check and charge one create or reset. Raises: QuotaExceeded."""
        if self._cpu is not None and self._cpu.level() <= 0:
            # A tenth of an hour's worth, so that it does not come back for a single step.
            wait_s = self._cpu.wait_s(self._cpu.capacity / 10)
            raise self._exceeded("cpu_s_per_hour", f"{self._cpu.capacity:g} CPU seconds an hour are used up", wait_s)
        if self._starts is not None:
            wait_s = self._starts.wait_s(1.0)
            if wait_s > 0:
                detail = f"{self._starts.capacity:g} creates and resets a minute are used up"
                raise self._exceeded("starts_per_minute", detail, wait_s)
            self._starts.take(1.0)

    def save(self, kept: int) -> None:
        """Check one more checkpoint beside those that are kept. Raises: QuotaExceeded."""
        most = self.quotas.max_checkpoints
        if most is not None and kept >= most:
            raise self._exceeded("max_checkpoints", f"{kept} of {most} checkpoints are kept; delete some")

    def refund_start(self) -> None:
        if self._starts is not None:
            self._starts.take(-1.0)

    def charge_cpu(self, cpu_s: float) -> None:
        if self._cpu is not None and cpu_s > 0:
            self._cpu.take(cpu_s)

    def _exceeded(self, quota: str, detail: str, wait_s: float | None = None) -> QuotaExceeded:
        extra = {} if wait_s is None else {"retry_after_s": math.ceil(wait_s * 10) / 10}
        return QuotaExceeded(f"tenant {self.name!r}: {detail}", quota=quota, **extra)


class Tenants:
    """All tenants of a server, by name. One that nothing is said of has no limits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tenants: dict[str, Tenant] = {}

    def get(self, name: str) -> Tenant:
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = self._tenants[name] = Tenant(name, self._clock)
        return tenant

    def set_quotas(self, quotas: Mapping[str, Quotas]) -> None:
        """From now on; what is left out has no limits any more."""
        for name in {*self._tenants, *quotas}:
            self.get(name).set_quotas(quotas.get(name, Quotas()))
