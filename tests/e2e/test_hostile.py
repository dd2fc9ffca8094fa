"""Hostile policies: each ends in the outcome that is promised for it, and its neighbour does not notice.

The neighbour steps all the while, from a process of its own; its p99 is asserted after each attack.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from benchmarks.statistics import summarise
from envserver_sdk import AsyncClient
from tests.e2e.conftest import ServerProcess

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

NEIGHBOUR_P99_MS = 100.0
NOISE_FACTOR = 4.0
"""A machine that is busy with something else has tails of its own: measured first, and allowed for."""
SAMPLES = 300
"""Fewer would make the p99 a single unlucky step."""
MIB = 1 << 20


def bash(command: str) -> dict[str, Any]:
    return {"type": "bash", "command": command}


def python(code: str) -> dict[str, Any]:
    return {"type": "python", "code": code}


@dataclass(frozen=True)
class Attack:
    name: str
    action: dict[str, Any]
    outcomes: tuple[str, ...]
    limits: dict[str, Any] | None = None
    timeout_s: float = 3.0


ATTACKS = (
    Attack("fork bomb", bash(":(){ :|:& };:; sleep 60"), ("policy_pids", "policy_timeout")),
    Attack("fork bomb in Python", python("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"),
           ("policy_pids", "policy_timeout")),
    Attack("memory bomb", python("x = []\nwhile True: x.append(bytearray(1 << 24))"), ("policy_oom",),
           {"memory_bytes": 192 * MIB, "shm_bytes": 16 * MIB}, 20.0),
    Attack("memory bomb of many processes", bash("for i in 1 2 3 4 5 6 7 8; do python3 -c 'x = bytearray(60 << 20); "
           "import time; time.sleep(2)' & done; wait; false"), ("policy_oom",),
           {"memory_bytes": 192 * MIB, "shm_bytes": 16 * MIB}, 20.0),
    Attack("disk fill", bash("cat /dev/zero > big"), ("disk_full",), {"disk_bytes": 32 * MIB}, 20.0),
    Attack("inode fill", python("i = 0\nwhile True:\n    open(f'f{i}', 'w').close(); i += 1"),
           ("disk_full", "policy_timeout"), {"disk_bytes": 8 * MIB}, 20.0),
    Attack("tmpfs fill", bash("cat /dev/zero > /dev/shm/big"), ("disk_full",), {"shm_bytes": 16 * MIB}, 20.0),
    Attack("endless output", bash("yes"), ("output_overflow", "policy_timeout"), None, 20.0),
    Attack("endless loop", python("while True: pass"), ("policy_timeout",), None, 1.0),
    Attack("endless loop that ignores interrupts",
           bash("trap '' INT TERM; while :; do :; done"), ("policy_timeout",), None, 1.0),
    Attack("stopping everything", bash("kill -STOP -1; sleep 60"), ("policy_timeout",), None, 1.0),
    # kill(-1) spares its caller: from the shell itself nothing of the session dies, from a child everything does.
    Attack("killing everything else", bash("kill -9 -1"), ("ok",)),
    Attack("killing everything", bash("sh -c 'kill -9 -1'"), ("policy_killed",)),
    Attack("killing everything from Python", python("import os; os.system('kill -9 -1; true')"),
           ("policy_killed",)),
    Attack("removing everything", bash("rm -rf --no-preserve-root / 2>/dev/null"), ("ok",), None, 60.0),
    Attack("writing to the agent", bash(
        "for f in /.envserver/run/agent.sock /proc/1/mem /proc/1/oom_score_adj; do echo x > $f && echo WROTE; done; "
        "ls /.envserver/run && echo LISTED; cat /proc/1/environ && echo READ; kill -9 1 && echo KILLED; true"),
           ("ok",)),
    Attack("escaping the timeout", bash("(setsid env -i sh -c 'trap \"\" INT TERM HUP; while :; do :; done' &); "
           "trap '' INT; sleep 60"), ("policy_timeout",), None, 1.0),
)  # fmt: skip


class Neighbour:
    """Another episode on the node, that counts how long each of its steps takes."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.latencies: list[float] = []
        self._stop = False

    async def play(self) -> None:
        while not self._stop:
            async with self._client.create("code", task="HumanEval/0") as episode:
                await episode.step(bash("true"))
                for _ in range(150):
                    began = time.perf_counter()
                    await episode.step(bash("true"))
                    self.latencies.append(time.perf_counter() - began)
                    if self._stop:
                        return
                    await asyncio.sleep(0.005)

    async def rest(self) -> float:
        """Play on until there is enough to judge by; returns the p99 in milliseconds."""
        while len(self.latencies) < SAMPLES:
            await asyncio.sleep(0.01)
        return self.stop()

    def stop(self) -> float:
        self._stop = True
        return summarise(self.latencies).p99 if self.latencies else 0.0


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tolerable_p99_ms(server: ServerProcess) -> float:
    async with AsyncClient(server.url) as client:
        return await what_is_tolerable(client)


async def what_is_tolerable(client: AsyncClient) -> float:
    """What the neighbour may see: the promise, or a multiple of what it sees while nobody attacks."""
    neighbour = Neighbour(client)
    playing = asyncio.ensure_future(neighbour.play())
    quiet = await neighbour.rest()
    await playing
    return max(NEIGHBOUR_P99_MS, NOISE_FACTOR * quiet)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_an_attack_ends_as_promised_beside_an_undisturbed_neighbour(
    client: AsyncClient, attack: Attack, tolerable_p99_ms: float
) -> None:
    neighbour = Neighbour(client)
    playing = asyncio.ensure_future(neighbour.play())
    try:
        async with client.create("code", task="HumanEval/0", limits=attack.limits) as episode:
            step = await episode.step(attack.action, timeout_s=attack.timeout_s)
            assert step.info.outcome in attack.outcomes, step
            assert step.info.trainable
            assert step.reward == 0.0
            said = step.observation.get("stdout", "")
            assert not any(word in said for word in ("WROTE", "LISTED", "READ", "KILLED"))
            # The next step works at once.
            again = await episode.step(python("40 + 2"), timeout_s=10)
            assert again.observation.get("result") == "42", again
        seen = await neighbour.rest()
    finally:
        neighbour.stop()
        await playing
    # A machine that others have made busier meanwhile is measured again, now that the attack is over.
    assert seen < tolerable_p99_ms or seen < await what_is_tolerable(client)
