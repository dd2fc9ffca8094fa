"""The warm pool: sandboxes made before anyone asks for them, so that a create need not wait for one.

A kind is what an episode cannot tell from a fresh sandbox: environment, image and limits. How many of a kind are
kept follows demand (demand.py) up to `pool_size` in all. A claimed sandbox belongs to its episode for good and dies
with it: nothing is ever used twice. One sandbox is made at a time, only while no create is under way, and as long
again is paused, so that steps do not notice; when memory or the runtime's capacity gets short, the whole pool is
given up, since episodes come before it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from environments.environment import Environment
from envserver.config import ServerConfig
from envserver.episodes.admission import available_memory_bytes
from envserver.episodes.demand import Demand
from envserver.logs import get_logger
from envserver.metrics import Metrics
from envserver.runtimes.base import Limits, Runtime, Sandbox, SandboxError, SandboxSpec

log = get_logger(__name__)

PURPOSE_POOL = "pool"
TICK_S = 5.0
"""How often demand that fades and memory that gets short are looked at."""
BUSY_POLL_S = 0.05
SETTLE_S = 0.03
"""Left to whoever has just claimed one, for its first step."""
MAX_AGE_S = 900.0
"""Older ones are replaced: the image of their name may be another by now, and so may the machine's state."""
PRESSURE_HOLD_S = 30.0
_KINDS = 64
"""Kinds remembered; the one longest unused is forgotten first."""


@dataclass(frozen=True)
class Kind:
    """What two sandboxes must share for one to stand in for the other."""

    environment: type[Environment]
    image: str
    limits: Limits


@dataclass(frozen=True)
class Warm:
    """A sandbox that nobody has used, with the environment prepared over it."""

    sandbox: Sandbox
    environment: Environment
    made_at: float


@dataclass
class _Shelf:
    demand: Demand
    warm: deque[Warm]


class WarmPool:
    """Belongs to one event loop. `pool_size` 0 turns it off."""

    def __init__(
        self,
        config: ServerConfig,
        runtime: Runtime,
        metrics: Metrics,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        destroy: Callable[[Sandbox], Awaitable[None]],
        busy: Callable[[], bool],
        labels: Mapping[str, str] | None = None,
        available: Callable[[], int] = available_memory_bytes,
    ) -> None:
        """`busy` says whether an episode is beginning, or waits to; `destroy` never fails."""
        self._config = config
        self._runtime = runtime
        self._metrics = metrics
        self._spawn = spawn
        self._destroy = destroy
        self._busy = busy
        self._labels = dict(labels or {})
        self._available = available
        self._shelves: OrderedDict[Kind, _Shelf] = OrderedDict()
        self._wake = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None
        self._held_until = float("-inf")
        self._closed = False

    @property
    def count(self) -> int:
        return sum(len(shelf.warm) for shelf in self._shelves.values())

    def take(self, kind: Kind, ttl_s: float) -> Warm | None:
        """A warm sandbox for good, where there is one that lives long enough; and note the demand."""
        if self._config.pool_size == 0 or self._closed:
            return None
        now = monotonic()
        shelf = self._shelf(kind, now)
        shelf.demand.note(now)
        self._start()
        found = None
        while found is None and shelf.warm and ttl_s <= self._ttl_s:
            oldest = shelf.warm.popleft()
            if oldest.sandbox.gone:
                self._give_up(oldest)
            else:
                found = oldest
        self._metrics.pool_claims.labels(kind.environment.spec.name, "hit" if found else "miss").inc()
        self._note_count()
        return found

    @property
    def _ttl_s(self) -> float:
        """Of a warm sandbox; the guest agent outlives its server for so long, whoever claims it."""
        return self._config.default_ttl_s + self._config.sandbox_ttl_margin_s

    def _shelf(self, kind: Kind, now: float) -> _Shelf:
        if kind not in self._shelves:
            self._shelves[kind] = _Shelf(Demand(now), deque())
        self._shelves.move_to_end(kind)
        while len(self._shelves) > _KINDS:
            _, forgotten = self._shelves.popitem(last=False)
            self._discard(forgotten, 0)
        return self._shelves[kind]

    # Filling

    def _start(self) -> None:
        self._wake.set()
        if self._filling is None or self._filling.done():
            self._filling = self._spawn(self._fill())

    async def _fill(self) -> None:
        """Runs as long as there is demand or anything warm."""
        while self._shelves and not self._closed:
            self._trim()
            kind = self._most_missing()
            if kind is None:
                self._wake.clear()
                await self._tick()
            elif self._busy():
                await asyncio.sleep(BUSY_POLL_S)
            else:
                await asyncio.sleep(SETTLE_S)
                began = monotonic()
                await self._make(kind)
                await asyncio.sleep(monotonic() - began)

    async def _tick(self) -> None:
        try:
            async with asyncio.timeout(TICK_S):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _trim(self) -> None:
        """Let go of what is too old, no longer wanted, or in the way."""
        now = monotonic()
        if self._short_of_memory():
            self._held_until = now + PRESSURE_HOLD_S
        for kind, shelf in list(self._shelves.items()):
            while shelf.warm and now - shelf.warm[0].made_at > MAX_AGE_S:
                self._discard(shelf, len(shelf.warm) - 1)
            self._discard(shelf, 0 if now < self._held_until else shelf.demand.wanted(now))
            if not shelf.warm and shelf.demand.forgotten(now):
                del self._shelves[kind]
        self._note_count()

    def _short_of_memory(self) -> bool:
        """Twice what keeps episodes from starting: the pool goes first."""
        reserve = self._config.min_available_memory_bytes
        return reserve > 0 and self._available() < 2 * reserve

    def _most_missing(self) -> Kind | None:
        now = monotonic()
        if now < self._held_until or self.count >= self._config.pool_size:
            return None
        missing = {kind: shelf.demand.wanted(now) - len(shelf.warm) for kind, shelf in self._shelves.items()}
        kind = max(missing, key=lambda each: missing[each], default=None)
        return kind if kind is not None and missing[kind] > 0 else None

    async def _make(self, kind: Kind) -> None:
        labels = {**self._labels, "purpose": PURPOSE_POOL, "environment": kind.environment.spec.name}
        try:
            async with asyncio.timeout(self._config.start_timeout_s):
                sandbox = await self._runtime.create(SandboxSpec(kind.image, kind.limits, labels, self._ttl_s))
                try:
                    environment = kind.environment()
                    await environment.prepare(sandbox)
                except BaseException:
                    await self._destroy(sandbox)
                    raise
        except Exception as error:
            self._held_until = monotonic() + PRESSURE_HOLD_S
            if not isinstance(error, (SandboxError, TimeoutError)):
                raise
            log.info("pool_held", environment=kind.environment.spec.name, error=repr(error)[:300])
            return
        shelf = self._shelves.get(kind)
        if shelf is None or self._closed:
            await self._destroy(sandbox)
            return
        shelf.warm.append(Warm(sandbox, environment, monotonic()))
        self._note_count()

    # Giving up

    async def drain(self) -> bool:
        """Make room for an episode: destroy all that is warm, and make none for a while. Whether there was any."""
        self._held_until = monotonic() + PRESSURE_HOLD_S
        return await self._empty()

    async def close(self) -> None:
        """For good."""
        self._closed = True
        self._wake.set()
        await self._empty()

    async def _empty(self) -> bool:
        warm = [each for shelf in self._shelves.values() for each in shelf.warm]
        for shelf in self._shelves.values():
            shelf.warm.clear()
        self._note_count()
        await asyncio.gather(*(self._destroy(each.sandbox) for each in warm))
        return bool(warm)

    def _discard(self, shelf: _Shelf, keep: int) -> None:
        while len(shelf.warm) > keep:
            self._give_up(shelf.warm.popleft())

    def _give_up(self, warm: Warm) -> None:
        async def destroy() -> None:
            await self._destroy(warm.sandbox)

        self._spawn(destroy())

    def _note_count(self) -> None:
        self._metrics.pool.set(self.count)
