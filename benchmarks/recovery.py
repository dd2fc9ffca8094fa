"""What a killed server costs: `python -m benchmarks.recovery [--episodes 500]` prints JSON.

A server of its own on a node that runs already (`--run`: the launcher's directory) is killed by SIGKILL with all its
episodes live, an interpreter's variable in each, and a step under way in some; the next one is started on the same
journal. Measured from the start of its process: until it answers, which it does once every episode is attached, and
until every episode has taken another step. Then each is asked what it kept, and how often each step ran.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from envserver.health import ask_server
from envserver_sdk import AsyncClient, AsyncEpisode
from envserver_sdk.models import EpisodeState

AT_ONCE = 16
TARGET_S = 5.0


class Server:
    """`envserver serve`, with a journal or without."""

    def __init__(self, run: Path, journal: Path | None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._run, self._journal = run, journal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Seconds until it answers."""
        settings = {
            "ENVSERVER_RUN": str(self._run), "ENVSERVER_PORT": str(self.port), "ENVSERVER_POOL_SIZE": "0",
        }  # fmt: skip
        if self._journal is not None:
            settings["ENVSERVER_JOURNAL"] = str(self._journal)
        began = time.monotonic()
        command = [sys.executable, "-m", "envserver.cli", "serve"]
        null = subprocess.DEVNULL
        self._process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=null, stderr=null)
        ask_server(self.url, wait_s=120)
        return time.monotonic() - began

    def end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(60)


async def _each(work: list[Any]) -> list[Any]:
    """All of them, so many at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(each: Any) -> Any:
        async with slots:
            return await each

    return await asyncio.gather(*(one(each) for each in work))


def _note(number: int) -> dict[str, Any]:
    return {"type": "bash", "command": f"echo {number} >> /workspace/ran"}


async def measure(server: Server, count: int, running: int) -> dict[str, Any]:
    await asyncio.to_thread(server.start)
    async with AsyncClient(server.url) as client:
        episodes: list[AsyncEpisode] = await _each([_begin(client) for _ in range(count)])
        await _each([each.step({"type": "python", "code": f"kept = {n}"}) for n, each in enumerate(episodes)])
        await _each([each.step(_note(1)) for each in episodes])
        held = {"type": "bash", "command": "echo 2 >> /workspace/ran; sleep 2"}
        stepping = [asyncio.ensure_future(each.step(held)) for each in episodes[:running]]
        await _each([_until_running(each) for each in episodes[:running]])
        server.end(signal.SIGKILL)
        answered_s = await asyncio.to_thread(server.start)
        listed = [entry for entry in (await client.list(limit=1000)).episodes if entry.state is EpisodeState.LIVE]
        began = time.monotonic()
        await asyncio.gather(*stepping)
        await _each([each.step(_note(2)) for each in episodes[running:]])
        stepped_s = time.monotonic() - began
        kept = await _each([each.step({"type": "python", "code": "kept"}) for each in episodes])
        ran = await _each([each.read_file("/workspace/ran") for each in episodes])
        await _each([each.close() for each in episodes])
    server.end(signal.SIGTERM)
    return {
        "episodes": count,
        "steps_under_way": running,
        "attached_s": round(answered_s, 2),
        "target_s": TARGET_S,
        "attached": len(listed),
        "all_stepped_s": round(stepped_s, 2),
        "variables_kept": sum(step.observation.get("result") == str(n) for n, step in enumerate(kept)),
        "steps_run_once": sum(data == b"1\n2\n" for data in ran),
    }


async def _begin(client: AsyncClient) -> AsyncEpisode:
    return await client.create("code", task="HumanEval/0")


async def _until_running(episode: AsyncEpisode) -> None:
    while await episode.read_file("/workspace/ran") != b"1\n2\n":  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # the sandbox sets no event


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--running", type=int, default=50, help="episodes with a step under way")
    parser.add_argument("--run", type=Path, default=Path("/run/envserver"), help="the launcher's directory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = Server(options.run, Path(directory) / "journal")
        print(json.dumps(asyncio.run(measure(server, options.episodes, options.running)), indent=2))


if __name__ == "__main__":
    main()
