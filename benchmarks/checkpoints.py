"""Checkpoints and forks of a live Python session, beside crun and CRIU alone and `docker commit`. Prints JSON.

    python -m benchmarks.checkpoints --run /run/envserver --container <the launcher's container>

Sessions are small, or hold an array of 100 MB. `pause` is how long the sandbox stood still, `checkpoint` how long the
call took, `fork` is a restore with the first answer of its session, one at a time and sixteen at once. It speaks to the
launcher's socket and enters its container, so it runs as root on the node's host.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.statistics import summarise
from envserver.runtimes.base import CheckpointKind, Sandbox, SandboxSpec
from envserver.runtimes.conformance_tools import open_python, say
from envserver.runtimes.crun import CrunRuntime
from envserver.runtimes.guest_sandbox import GuestSandbox

_SPEC = SandboxSpec("code", labels={"purpose": "benchmark"}, ttl_s=600)
_AT_ONCE = 16
_SESSIONS = {
    "small": "import json, re; x = [1, 2, 3]; reply = None",
    "100 MB": "import os; x = bytearray(os.urandom(1 << 20) * 100); reply = None",
}
_BARE = Path(__file__).with_name("bare_criu.py")
_IMAGE = "envserver/code:latest"
_HELD = "import sys, time; print(1, flush=True); x = list(range(1000)); time.sleep(1000)"


async def _fork(runtime: CrunRuntime, checkpoint_id: str, times: list[float]) -> Sandbox:
    began = time.perf_counter()
    box = await runtime.restore(checkpoint_id, _SPEC)
    assert await say(box.attach_session("python"), "reply = len(x)") != "0"
    times.append(time.perf_counter() - began)
    return box


async def _measure(runtime: CrunRuntime, container: str, setup: str, rounds: int) -> dict[str, Any]:
    box = await runtime.create(_SPEC)
    pauses, totals, files, forks, crowded = [], [], [], [], []  # type: ignore[var-annotated]
    try:
        await say(await open_python(box), setup)
        await runtime.delete_checkpoint((await runtime.checkpoint(box, CheckpointKind.PROCESS, {})).checkpoint_id)
        for _ in range(rounds):
            for kind, samples in ((CheckpointKind.PROCESS, totals), (CheckpointKind.FILESYSTEM, files)):
                began = time.perf_counter()
                made = await runtime.checkpoint(box, kind, {})
                samples.append(time.perf_counter() - began)
                if kind is CheckpointKind.PROCESS:
                    pauses.append(made.pause_ms / 1000)
                await runtime.delete_checkpoint(made.checkpoint_id)
        kept = await runtime.checkpoint(box, CheckpointKind.PROCESS, {})
        for _ in range(rounds):
            await (await _fork(runtime, kept.checkpoint_id, forks)).destroy()
        began = time.perf_counter()
        boxes = await asyncio.gather(*(_fork(runtime, kept.checkpoint_id, crowded) for _ in range(_AT_ONCE)))
        all_of_them = time.perf_counter() - began
        await asyncio.gather(*(each.destroy() for each in boxes))
        bare = await _bare(container, box, kept.checkpoint_id, rounds)
        await runtime.delete_checkpoint(kept.checkpoint_id)
    finally:
        await box.destroy()
    return {
        "bytes": kept.bytes,
        "pause": summarise(pauses).as_dict(),
        "checkpoint": summarise(totals).as_dict(),
        "file system checkpoint": summarise(files).as_dict(),
        "fork, one at a time": summarise(forks).as_dict(),
        f"fork, {_AT_ONCE} at once": {**summarise(crowded).as_dict(), "all_ms": round(all_of_them * 1000, 1)},
        **{f"bare {name}": summarise(samples).as_dict() for name, samples in bare.items()},
    }


async def _bare(container: str, box: Sandbox, checkpoint_id: str, rounds: int) -> dict[str, list[float]]:
    assert isinstance(box, GuestSandbox)
    await box.quiesce()
    try:
        command = ["docker", "exec", "-i", container, "python", "-", box.sandbox_id, checkpoint_id, str(rounds)]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        told, errors = await process.communicate(_BARE.read_bytes())
    finally:
        await box.rejoin()
    if process.returncode != 0:
        raise RuntimeError(errors.decode()[-2000:])
    found: dict[str, list[float]] = json.loads(told)
    return found


def docker_commit(rounds: int) -> dict[str, Any]:
    """`docker commit` of a container in which Python lives, and a container of what it made; memory is lost."""
    held = _docker("run", "--detach", "--network", "none", _IMAGE, "python3", "-c", _HELD)
    commits, runs = [], []
    try:
        for _ in range(rounds):
            began = time.perf_counter()
            image = _docker("commit", held)
            commits.append(time.perf_counter() - began)
            began = time.perf_counter()
            _docker("run", "--rm", "--network", "none", image, "true")
            runs.append(time.perf_counter() - began)
            _docker("rmi", image)
    finally:
        _docker("rm", "--force", held)
    return {"docker commit": summarise(commits).as_dict(), "docker run of it": summarise(runs).as_dict()}


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


async def _main(run: Path, container: str, rounds: int) -> dict[str, Any]:
    runtime = CrunRuntime(run)
    found = {name: await _measure(runtime, container, setup, rounds) for name, setup in _SESSIONS.items()}
    await runtime.close()
    return {**found, "peers": docker_commit(max(2, rounds // 4))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("/run/envserver"), help="the node's sockets")
    parser.add_argument("--container", required=True, help="the launcher's")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(_main(arguments.run, arguments.container, arguments.rounds))))


if __name__ == "__main__":
    main()
