"""Admission: who may start, in which order, and what the others are told.

Episodes are charged their limits against the node's capacity before anything is made. Who does not fit waits
in one first-in first-out queue (a large episode at its head is not overtaken, so none starves); the queue is
bounded in length and each wait in time, and whoever is refused is told its position and when to come
again: a create never hangs. Real memory is looked at too: while the machine is short of it nobody starts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from envserver.config import ServerConfig
from envserver.metrics import Metrics
from envserver.runtimes.base import Limits
from envserver_sdk.errors import InvalidRequest, Overloaded, ShuttingDown

PRESSURE_POLL_S = 0.25
"""Only while somebody waits for memory that the machine, and not the sum of limits, lacks."""


def available_memory_bytes() -> int:
    """What the kernel thinks can still be used without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/meminfo has no MemAvailable")


@dataclass(frozen=True)
class Charge:
    """What one episode takes from the node, or several that begin together or not at all."""

    memory_bytes: int
    cpus: float
    episodes: int = 1

    @classmethod
    def of(cls, limits: Limits, episodes: int = 1) -> Charge:
        return cls(limits.memory_bytes * episodes, limits.cpus * episodes, episodes)


class Ticket:
    """The right to hold a charge; give it back with `release` (idempotent)."""

    def __init__(self, admission: Admission, charge: Charge) -> None:
        self._admission: Admission | None = admission
        self.charge = charge

    def release(self) -> None:
        if self._admission is not None:
            admission, self._admission = self._admission, None
            admission.give_back(self.charge)

    def split(self) -> list[Ticket]:
        """One for each of its episodes, in its place."""
        admission, self._admission = self._admission, None
        assert admission is not None, "a ticket is given back or split once"
        whole, count = self.charge, self.charge.episodes
        return [Ticket(admission, Charge(whole.memory_bytes // count, whole.cpus / count)) for _ in range(count)]


class Waiter:
    """A place in the queue."""

    def __init__(self, charge: Charge) -> None:
        self.charge = charge
        self.ready: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()


class Admission:
    """The node's capacity and the queue for it."""

    def __init__(
        self, config: ServerConfig, metrics: Metrics, available: Callable[[], int] = available_memory_bytes
    ) -> None:
        self.memory_bytes = config.memory_capacity_bytes
        self.cpus = config.cpu_capacity
        self.used_memory_bytes = 0
        self.used_cpus = 0.0
        self.admitted = 0
        self._config = config
        self._metrics = metrics
        self._available = available
        self._queue: deque[Waiter] = deque()
        self._poll: asyncio.TimerHandle | None = None
        self._turn_s = 1.0
        self._last_release: float | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the server is shutting down: nothing new begins."""
        return self._closed

    @property
    def queued(self) -> int:
        return len(self._queue)

    def check(self, charge: Charge) -> None:
        """Raises: InvalidRequest when the charge could never be admitted."""
        if charge.memory_bytes > self.memory_bytes or charge.cpus > self.cpus:
            raise InvalidRequest(
                f"limits of {charge.memory_bytes} bytes of memory and {charge.cpus:g} CPUs exceed this node's "
                f"{self.memory_bytes} bytes and {self.cpus:g} CPUs"
            )
        if charge.episodes > self._config.max_episodes:
            raise InvalidRequest(f"{charge.episodes} episodes at once exceed this node's {self._config.max_episodes}")

    def join(self, charge: Charge) -> Waiter:
        """Take a place in the queue. Raises: InvalidRequest, ShuttingDown; Overloaded when it is full."""
        self.check(charge)
        if self._closed:
            raise ShuttingDown()
        waiter = Waiter(charge)
        self._queue.append(waiter)
        self._pump()
        waiting = len(self._queue)
        if waiting > self._config.queue_length and self._queue[-1] is waiter:
            self._queue.pop()
            raise self._overloaded(f"{waiting - 1} creates are waiting already", waiting)
        return waiter

    async def wait(self, waiter: Waiter) -> Ticket:
        """The ticket, when it is this waiter's turn. Raises: Overloaded after the queue time-out, ShuttingDown."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._config.queue_timeout_s):
                ticket = await waiter.ready
        except BaseException as error:
            position = self._leave(waiter)
            if isinstance(error, TimeoutError):
                raise self._overloaded(f"no capacity within {self._config.queue_timeout_s:g} s", position) from None
            raise
        self._metrics.queue_wait.observe(asyncio.get_running_loop().time() - began)
        return ticket

    def position(self, waiter: Waiter) -> int | None:
        """1 for the next one; None for one that does not wait."""
        try:
            return self._queue.index(waiter) + 1
        except ValueError:
            return None

    def occupy(self, charge: Charge) -> Ticket:
        """Charge what is there already, such as sandboxes of an earlier server."""
        self._take(charge)
        return Ticket(self, charge)

    def give_back(self, charge: Charge) -> None:
        self.used_memory_bytes -= charge.memory_bytes
        self.used_cpus -= charge.cpus
        self.admitted -= charge.episodes
        now = asyncio.get_running_loop().time()
        if self._queue and self._last_release is not None:
            self._turn_s = 0.8 * self._turn_s + 0.2 * min(60.0, now - self._last_release)
        self._last_release = now
        self._pump()

    def close(self) -> None:
        """Refuse whoever waits and whoever comes."""
        self._closed = True
        for waiter in self._queue:
            if not waiter.ready.done():
                waiter.ready.set_exception(ShuttingDown())

    def retry_after_s(self, position: int) -> float:
        """When a place so far back in the queue may have its turn, by how fast capacity was given back of late."""
        return round(min(60.0, max(1.0, position * self._turn_s)), 1)

    def _overloaded(self, detail: str, position: int) -> Overloaded:
        return Overloaded(detail, retry_after_s=self.retry_after_s(position), queue_position=position)

    def _take(self, charge: Charge) -> None:
        self.used_memory_bytes += charge.memory_bytes
        self.used_cpus += charge.cpus
        self.admitted += charge.episodes

    def _leave(self, waiter: Waiter) -> int:
        """Give up a place in the queue, or the ticket that came in the very moment of giving up."""
        position = self.position(waiter) or 1
        ready = waiter.ready
        if waiter in self._queue:
            self._queue.remove(waiter)
        elif ready.done() and not ready.cancelled() and ready.exception() is None:
            ready.result().release()
        self._pump()
        return position

    def _fits(self, charge: Charge) -> bool:
        return (
            self.used_memory_bytes + charge.memory_bytes <= self.memory_bytes
            and self.used_cpus + charge.cpus <= self.cpus
            and self.admitted + charge.episodes <= self._config.max_episodes
        )

    def _short_of_memory(self) -> bool:
        reserve = self._config.min_available_memory_bytes
        return reserve > 0 and self._available() < reserve

    def _pump(self) -> None:
        while self._queue and self._fits(self._queue[0].charge):
            if self._short_of_memory():
                self._poll_later()
                break
            waiter = self._queue.popleft()
            if not waiter.ready.done():
                self._take(waiter.charge)
                waiter.ready.set_result(Ticket(self, waiter.charge))
        self._metrics.queue_length.set(len(self._queue))

    def _poll_later(self) -> None:
        if self._poll is None:
            self._poll = asyncio.get_running_loop().call_later(PRESSURE_POLL_S, self._polled)

    def _polled(self) -> None:
        self._poll = None
        self._pump()
