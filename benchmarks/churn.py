"""Sandboxes made, written to, saved, forked and deleted at full rate: does it stay as fast, and is space given back?

    python -m benchmarks.churn --run /run/envserver --seconds 300

Prints JSON: latencies by phase in intervals of the run's tenth part, and the free space of the writable layers before,
at its least, and once everything is deleted and the file system's cleaner has caught up. It speaks to the launcher's
socket, so it runs as the server's user or as root.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.statistics import summarise
from envserver.launcher.client import LauncherClient
from envserver.runtimes.base import MIB, CheckpointKind, Command, Limits, SandboxSpec
from envserver.runtimes.crun import CrunRuntime

T = TypeVar("T")

INTERVALS = 10
_AT_ONCE = 4
_FILES, _FILE_BYTES = 20, 50_000
_SPEC = SandboxSpec("busybox", Limits(disk_bytes=64 * MIB), labels={"purpose": "benchmark"}, ttl_s=600)
_CLEAN_S = 60
_RETURNED_BYTES = 64 * MIB
"""As near as free space has to come to where it began: the file system keeps some for what it will need again."""


class Churn:
    """Timings of one run, by interval and phase."""

    def __init__(self, runtime: CrunRuntime, run: Path, seconds: float) -> None:
        self._runtime, self._run, self._seconds = runtime, run, seconds
        self._began = time.perf_counter()
        self._times: list[dict[str, list[float]]] = [{} for _ in range(INTERVALS)]
        self.rounds = 0

    async def timed(self, phase: str, work: Awaitable[T]) -> T:
        began = time.perf_counter()
        result = await work
        ended = time.perf_counter()
        interval = min(INTERVALS - 1, int((ended - self._began) / self._seconds * INTERVALS))
        self._times[interval].setdefault(phase, []).append(ended - began)
        return result

    async def play(self) -> None:
        """One sandbox, a checkpoint of each kind, a fork of each, and all of it deleted."""
        runtime = self._runtime
        write = f"for i in $(seq {_FILES}); do head -c {_FILE_BYTES} /dev/urandom > f$i; done"
        box = await self.timed("create", runtime.create(_SPEC))
        await self.timed("write", box.run(Command(["/bin/sh", "-c", write]), timeout_s=60))
        for kind in CheckpointKind:
            saved = await self.timed(f"{kind} checkpoint", runtime.checkpoint(box, kind, {}))
            fork = await self.timed(f"{kind} fork", runtime.restore(saved.checkpoint_id, _SPEC))
            await fork.run(Command(["/bin/sh", "-c", write]), timeout_s=60)
            await self.timed(f"{kind} delete", runtime.delete_checkpoint(saved.checkpoint_id))
            await self.timed("destroy", fork.destroy())
        await self.timed("destroy", box.destroy())
        self.rounds += 1

    async def run(self) -> dict[str, Any]:
        before = least = self.free_bytes()
        self._began = time.perf_counter()
        players = [asyncio.ensure_future(self._play_on()) for _ in range(_AT_ONCE)]
        while not all(player.done() for player in players):
            await asyncio.wait(players, timeout=0.5)
            least = min(least, self.free_bytes())
        for player in players:
            player.result()
        began = time.perf_counter()
        after = await self._cleaned(before)
        return {
            "rounds": self.rounds,
            "rounds_per_s": round(self.rounds / self._seconds, 2),
            "intervals": [{phase: summarise(each).as_dict() for phase, each in part.items()} for part in self._times],
            "free_bytes": {"before": before, "least": least, "after": after},
            "cleaned_after_s": round(time.perf_counter() - began, 1),
        }

    async def _play_on(self) -> None:
        while time.perf_counter() - self._began < self._seconds:
            await self.play()

    async def _cleaned(self, before: int) -> int:
        for _ in range(2 * _CLEAN_S):
            if self.free_bytes() >= before - _RETURNED_BYTES:
                break
            await asyncio.sleep(0.5)
        return self.free_bytes()

    def free_bytes(self) -> int:
        with LauncherClient(self._run) as client:
            return int(client.call("health")["layers_free_bytes"])


async def measure(run: Path, seconds: float) -> dict[str, Any]:
    runtime = CrunRuntime(run)
    try:
        return await Churn(runtime, run, seconds).run()
    finally:
        await runtime.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("/run/envserver"), help="the node's sockets")
    parser.add_argument("--seconds", type=float, default=300)
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(measure(arguments.run, arguments.seconds))))


if __name__ == "__main__":
    main()
