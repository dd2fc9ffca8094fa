"""What goes wrong in a seed, and when: failpoints one after the other, and meanwhile anything else at any moment."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from envserver.failpoints import FAILPOINTS
from tests.chaos.history import Fault, History
from tests.chaos.proxy import ChaosProxy
from tests.chaos.server import ChaosNode, Server

WALK: tuple[str, ...] = tuple(sorted(FAILPOINTS))
UNREACHABLE: dict[str, str] = {}
"""Failpoints that a campaign cannot fire, each with the reason."""
KINDS = ("kill_server", "end_server", "kill_launcher", "stop_server", "kill_sandbox", "network", "fill_disk", "clock")
DAY_S = 86400.0
_SLOW = frozenset({"journal.checkpointed", "journal.sweep_slice", "launcher.claim.recorded"})
"""They take longest to be reached, and so come first."""
_FAVOURS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("delete_checkpoint", ("save", "forget")),
    ("checkpoint.forgotten", ("save", "forget")),
    ("checkpoint", ("save",)),
    ("restore.", ("save", "fork")),
    ("fork", ("save", "fork")),
    ("hibernate", ("hibernate",)),
    ("wake", ("hibernate",)),
    ("rest.", ("pause", "hibernate")),
    ("pause", ("pause",)),
    ("resume", ("pause", "resume")),
    ("grade", ("grade", "submit")),
    ("close", ("close",)),
    ("destroy", ("close",)),
    ("replace", ("reset",)),
    ("payload", ("step", "large")),
    ("sweep", ("close",)),
    ("journal.checkpointed", ("step", "chatty")),
)


@dataclass(frozen=True)
class Plan:
    """What one seed is like."""

    seed: int
    clients: int
    operations: int
    lasts_s: float
    pool: int
    forgetful: bool
    """The journal keeps one closed episode and is swept all the time."""
    failpoints: tuple[tuple[str, int], ...]
    """A name, and at which hit from then on."""
    kinds: tuple[str, ...]
    """Other faults, in their order."""

    @property
    def favours(self) -> frozenset[str]:
        """Operations that lead to its failpoints."""
        return frozenset(
            operation
            for name, _ in self.failpoints
            for part, operations in _FAVOURS
            if part in name
            for operation in operations
        )

    @property
    def wants_groups(self) -> bool:
        return any("group" in name for name, _ in self.failpoints)


def plan_of(seed: int, *, at_most: int = 64, points: int = 2, lasts_s: float = 11.0) -> Plan:
    """The plan of a seed: which failpoints follows from its number, so that a campaign walks through all of them."""
    rng = random.Random(seed)
    names = sorted((WALK[(points * seed + place) % len(WALK)] for place in range(points)), key=_SLOW.__contains__)[::-1]
    clients = min(at_most, rng.choices([6, 8, 10, 12, 16, 24, 64], [3, 4, 4, 4, 3, 1, 1])[0])
    kinds = rng.sample(KINDS, rng.choice([1, 2, 2, 3]))
    if rng.random() < 0.5:
        kinds.insert(0, "kill_server")
    if "journal.checkpointed" in names:
        clients, kinds = 8, []  # it takes megabytes of steps
    return Plan(
        seed=seed,
        clients=clients,
        operations=max(8, 260 // clients),
        lasts_s=lasts_s
        if clients < 64
        else lasts_s / 2,  # beginning and ending so many takes the rest of half a minute
        pool=4 if "launcher.claim.recorded" in names else rng.choice([0, 0, 4]),
        forgetful="journal.sweep_slice" in names,
        failpoints=tuple((name, rng.choice([1, 1, 2, 3])) for name in names),
        kinds=tuple(kinds),
    )


class Injector:
    """Breaks things while a seed's workload runs; `mend` puts all of it right again."""

    def __init__(
        self, plan: Plan, node: ChaosNode, server: Server, proxy: ChaosProxy, history: History, now: Callable[[], float]
    ) -> None:
        self._plan, self._node, self._server, self._proxy = plan, node, server, proxy
        self._history, self._now = history, now
        self._rng = random.Random(plan.seed * 7919 + 1)
        self._faults: dict[str, Callable[[], Awaitable[str | None]]] = {
            "kill_server": self._kill_server,
            "end_server": self._end_server,
            "kill_launcher": self._kill_launcher,
            "stop_server": self._stop_server,
            "kill_sandbox": self._kill_sandbox,
            "network": self._network,
            "fill_disk": self._fill_disk,
            "clock": self._clock,
        }

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.gather(self._walk(), self._break())

    async def _walk(self) -> None:
        for name, nth in self._plan.failpoints:
            await asyncio.to_thread(self._node.arm, f"{name}=kill@{nth}")
            if "recovery" in name or "adopt" in name:
                await asyncio.sleep(self._rng.uniform(0.5, 1.5))  # so that there is something to recover
                await self._inject("kill_server")
            while not self._node.has_fired():
                await asyncio.sleep(0.05)
            self._history.fired.append(name)
            self._history.faults.append(Fault("failpoint", self._now(), self._now(), name))

    async def _break(self) -> None:
        for kind in self._plan.kinds:
            await asyncio.sleep(self._rng.uniform(0.3, 2.0))
            await self._inject(kind)

    async def _inject(self, kind: str) -> None:
        began = self._now()
        detail = await self._faults[kind]()
        if detail is not None:
            self._history.faults.append(Fault(kind, began, self._now(), detail))

    async def mend(self) -> None:
        """Nothing is broken any more, and both programs run."""
        await asyncio.to_thread(self._node.disarm)
        self._proxy.calm()
        self._server.signal(signal.SIGCONT)
        if self._server.disk is not None:
            self._server.disk.free()
        self._server.may_fail = False
        await asyncio.to_thread(self._node.wait_for_launcher)
        async with asyncio.timeout(30):
            await self._server.ready.wait()

    # The faults; each says what it did, or None where there was nothing to break

    async def _kill_server(self) -> str | None:
        return "" if self._server.signal(signal.SIGKILL) else None

    async def _end_server(self) -> str | None:
        return "" if self._server.end() else None

    async def _kill_launcher(self) -> str | None:
        return "" if await asyncio.to_thread(self._node.kill_launcher) else None

    async def _stop_server(self) -> str | None:
        if not self._server.signal(signal.SIGSTOP):
            return None
        try:
            await asyncio.sleep(self._rng.uniform(1, 3))
        finally:
            self._server.signal(signal.SIGCONT)
        return ""

    async def _kill_sandbox(self) -> str | None:
        return await asyncio.to_thread(
            self._node.kill_sandbox, lambda running: self._rng.choice(running) if running else None
        )

    async def _network(self) -> str | None:
        self._proxy.trouble(self._rng)
        try:
            await asyncio.sleep(self._rng.uniform(1, 3))
        finally:
            self._proxy.calm()
        return ""

    async def _fill_disk(self) -> str | None:
        disk = self._server.disk
        if disk is None:
            return None
        self._server.may_fail = True
        await asyncio.to_thread(disk.fill)
        try:
            await asyncio.sleep(self._rng.uniform(0.5, 2))
        finally:
            disk.free()
        return ""

    async def _clock(self) -> str | None:
        self._server.set_clock(self._rng.choice([-DAY_S, DAY_S, -3600.0, 3600.0]))
        await asyncio.sleep(self._rng.uniform(0.5, 2))
        if self._rng.random() < 0.5:
            self._server.set_clock(0.0)
        return ""
