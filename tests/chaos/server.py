"""The server of one seed, and the node that it stands on, with all that may be done to either.

Whoever ends the server's process, it is started again over the same journal until `stop`; each start is timed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Container
from pathlib import Path

import httpx

from benchmarks import inventory
from envserver.launcher import cgroups
from envserver.launcher.client import LauncherClient, LauncherRefusedError
from tests.chaos.history import Fault, Final, History, Start
from tests.conftest import Node
from tests.e2e.conftest import free_port
from tests.unit.api.keys import Keys

TENANT = "chaos"
QUOTA_BYTES = 1 << 40
"""Of disk; one episode may ask for all of it, and then finds out whether any of it is still taken."""
READY_S = 60.0
_POLL_S = 0.02
_DEFECTS = ("step_defect", "environment_defect", "task_failed", "Traceback (most recent call last)")
_GONE = "the handler is closed"
"""In uvicorn's traceback of an answer to a client that was cut off while it was written."""
_BEGINNING = ("queued", "starting")

_STORED = """
from pathlib import Path
data = Path("/var/lib/envserver")
for name in ("checkpoints", "hibernated"):
    print(name, sum(1 for _ in (data / name).iterdir()) if (data / name).is_dir() else 0)
print("saved_layers", sum(1 for _ in (data / "layers").glob("checkpoint-*")) +
      sum(1 for _ in (data / "layers").glob("hibernated-*")))
"""


class ChaosNode:
    """A node whose launcher's failpoints can be armed."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.failpoints = node.run / "failpoints"
        self.fired = node.run / "failpoints.fired"
        self.baseline = self.inventory()

    def inventory(self) -> dict[str, int]:
        """What is on the node: processes, mounts, groups, layers, directories, checkpoints."""
        stored = self.node.docker("exec", self.node.container, "python3", "-c", _STORED)
        saved = {name: int(count) for name, count in (line.split() for line in stored.splitlines())}
        return {**inventory.take(self.node.container), **saved}

    def settled(self, timeout_s: float = 15.0) -> dict[str, int]:
        """The same, once it is as it was in the beginning, or as it is when time is up."""
        deadline = time.monotonic() + timeout_s
        while self.has_more(counted := self.inventory()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return counted

    def has_more(self, counted: dict[str, int]) -> bool:
        """Than in the beginning."""
        return any(count > self.baseline[name] for name, count in counted.items())

    def describe(self) -> list[str]:
        """Sandboxes and checkpoints that the launcher has, and every process of its container."""
        with LauncherClient(self.node.run, timeout_s=10) as launcher:
            sandboxes, stored = launcher.call("list")["sandboxes"], launcher.call("checkpoints")["checkpoints"]
        shown = ("sandbox_id", "checkpoint_id", "state", "kind", "pid", "created_at", "labels")
        lines = [json.dumps({name: each[name] for name in shown if name in each}) for each in [*sandboxes, *stored]]
        processes = self.node.docker("top", self.node.container, "-eo", "pid,ppid,uid,stat,etimes,args").splitlines()
        return lines + [f"{line[:200]} {_cgroup(line.split()[0])}" for line in processes[1:]]

    def log_since(self, seconds: float) -> str:
        """What the launcher has logged."""
        command = ["docker", "logs", "--since", f"{int(seconds) + 1}s", self.node.container]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout

    def launcher_pid(self) -> int | None:
        """On this host; None while it is not there."""
        top = int(self.node.docker("inspect", "-f", "{{.State.Pid}}", self.node.container))
        for child in Path(f"/proc/{top}/task/{top}/children").read_text().split():
            with contextlib.suppress(OSError):
                if b"envserver.cli\0launcher" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    def kill_launcher(self) -> bool:
        pid = self.launcher_pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True

    def sandboxes(self) -> list[dict[str, object]]:
        """As the launcher lists them. Raises: OSError, LauncherRefusedError."""
        with LauncherClient(self.node.run, timeout_s=10) as launcher:
            listed: list[dict[str, object]] = launcher.call("list")["sandboxes"]
            return listed

    def kill_sandbox(self, pick: Callable[[list[dict[str, object]]], dict[str, object] | None]) -> str | None:
        """Kill every process of one, its agent first; the id of its episode."""
        try:
            chosen = pick([each for each in self.sandboxes() if each["state"] == "running"])
        except (OSError, LauncherRefusedError):
            return None
        if chosen is None:
            return None
        labels = chosen["labels"]
        assert isinstance(labels, dict)
        for pid in [int(str(chosen["pid"])), *cgroups.processes(str(chosen["cgroup"]))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return str(labels.get("episode", ""))

    def wait_for_launcher(self, timeout_s: float = 30.0) -> None:
        """Raises: TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.sandboxes()
                return
            except (OSError, LauncherRefusedError):
                if time.monotonic() > deadline:
                    raise TimeoutError("the launcher does not answer") from None
            time.sleep(0.05)

    def clear(self) -> None:
        """Remove all that a seed left, so that one failure is not every later seed's."""
        self.disarm()
        self.wait_for_launcher()
        with LauncherClient(self.node.run) as launcher:
            for entry in launcher.call("list")["sandboxes"]:
                launcher.call("destroy", sandbox_id=entry["sandbox_id"])
            for entry in launcher.call("checkpoints")["checkpoints"]:
                launcher.call("destroy_checkpoint", checkpoint_id=entry["checkpoint_id"])

    # Failpoints

    def arm(self, text: str) -> None:
        """Atomically: a process that reads it sees all of it or what was before."""
        temporary = self.failpoints.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(self.failpoints)
        self.fired.unlink(missing_ok=True)

    def disarm(self) -> None:
        self.failpoints.unlink(missing_ok=True)
        self.fired.unlink(missing_ok=True)

    def has_fired(self) -> str:
        """The failpoint's name."""
        try:
            return self.fired.read_text()
        except FileNotFoundError:
            return ""


def _cgroup(pid: str) -> str:
    try:
        return next(line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if ":pids:" in line)
    except (OSError, StopIteration):
        return ""


class SmallDisk:
    """A file system in memory in a mount namespace of its own, which ends with the process that holds it."""

    def __init__(self, size_bytes: int) -> None:
        script = f"mount -t tmpfs -o size={size_bytes} chaos /mnt && echo mounted && exec sleep infinity"
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"mounted\n":
            raise OSError("a file system of its own cannot be mounted; the campaign needs root")
        self.enter = ["nsenter", "--target", str(self._holder.pid), "--mount", "--"]
        self.inside = Path("/mnt")
        self.outside = Path(f"/proc/{self._holder.pid}/root/mnt")

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.outside / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(1 << 16)):
                pass

    def free(self) -> None:
        (self.outside / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdout is not None:
            self._holder.stdout.close()


class Server:
    """Belongs to one event loop. Entered, it runs; left, it has stopped."""

    def __init__(
        self, node: ChaosNode, directory: Path, history: History, now: Callable[[], float], **settings: str
    ) -> None:
        self.node, self.directory, self._history, self._now = node, directory, history, now
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.disk: SmallDisk | None = None
        self.clock_offset = directory / "clock-offset"
        self.log = directory / "server.log"
        self._keys = Keys(directory / "keys.json")
        self.api_key = self._keys.add(TENANT)
        self._keys.limit(TENANT, disk_bytes=QUOTA_BYTES)
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False
        self.ready = asyncio.Event()
        self.unexpected: list[str] = []
        """Exits that nobody asked for."""
        self.may_fail = False
        """Its disk is full, so it may refuse to start."""
        self._ending = False

    def on_small_disk(self, size_bytes: int) -> None:
        self.disk = SmallDisk(size_bytes)

    @property
    def journal(self) -> Path:
        """As this process sees it."""
        return self.disk.outside / "journal" if self.disk else self.directory / "journal"

    async def start(self) -> None:
        self._watching = asyncio.create_task(self._watch())
        async with asyncio.timeout(READY_S):
            await self.ready.wait()

    async def stop(self) -> None:
        """As an operator does. Raises: TimeoutError when it does not end."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        if self._watching is not None:
            await asyncio.wait_for(self._watching, 60)

    def end(self) -> bool:
        """Ask it to end, as a rolling restart does; another one begins then."""
        self._ending = self.signal(signal.SIGTERM)
        return self._ending

    async def destroy(self) -> None:
        """Whatever state it is in."""
        self._stopping = True
        self.signal(signal.SIGKILL)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._process is not None:
            await self._process.wait()
        if self.disk is not None:
            await asyncio.to_thread(self.disk.close)

    def signal(self, number: int) -> bool:
        if self._process is None or self._process.returncode is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            # Not send_signal(), which reaps what has just ended by itself: its status would be lost to the watcher.
            os.kill(self._process.pid, number)
        return True

    # Keeping it running

    async def _watch(self) -> None:
        while not self._stopping:
            began = self._now()
            await self._spawn()
            assert self._process is not None
            answering = asyncio.create_task(self._time_start(began))
            status = await self._process.wait()
            self.ready.clear()
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            if self._stopping:
                if status:
                    self.unexpected.append(f"asked to stop, it ended with status {status}")
            elif status not in self._excused():
                self.unexpected.append(f"it ended with status {status} at {self._now():.2f} s")
            if self._stopping or len(self.unexpected) > 5:
                return
            self._ending = False
            if status != -signal.SIGKILL:
                await asyncio.sleep(0.3)

    def _excused(self) -> Container[int]:
        """Statuses with which it may end now."""
        if self.may_fail:
            return range(-64, 256)
        return (-signal.SIGKILL, -signal.SIGTERM, 0) if self._ending else (-signal.SIGKILL,)

    async def _spawn(self) -> None:
        settings = {
            "ENVSERVER_RUN": str(self.node.node.run),
            "ENVSERVER_PORT": str(self.port),
            "ENVSERVER_KEYS_FILE": str(self._keys.path),
            "ENVSERVER_JOURNAL": str((self.disk.inside if self.disk else self.directory) / "journal"),
            "ENVSERVER_FAILPOINTS_FILE": str(self.node.failpoints),
            "ENVSERVER_CLOCK_OFFSET_FILE": str(self.clock_offset),
            "ENVSERVER_POOL_SIZE": "0",
            **self._settings,
        }
        command = [*(self.disk.enter if self.disk else ()), sys.executable, "-m", "envserver.cli", "serve"]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, env={**os.environ, **settings}, stdout=log, stderr=log
            )

    async def _time_start(self, began: float) -> None:
        """Until it answers, and until every episode that it took over is there again."""
        headers = {"X-API-Key": self.api_key}
        async with httpx.AsyncClient(base_url=self.url, timeout=10, trust_env=False, headers=headers) as http:
            while not await self._answers(http, "/v1/health"):
                await asyncio.sleep(_POLL_S)
            answered_s = self._now() - began
            count, attached_s = 0, None
            self.ready.set()
            try:
                first = (await http.get("/v1/episodes", params={"limit": 1000})).json()["episodes"]
                count = len(first)
                on_its_way = {each["episode_id"] for each in first if each["state"] in _BEGINNING}
                while on_its_way:
                    page = (await http.get("/v1/episodes", params={"limit": 1000})).json()["episodes"]
                    on_its_way &= {each["episode_id"] for each in page if each["state"] in _BEGINNING}
                attached_s = self._now() - began
            except (httpx.HTTPError, ValueError, KeyError):
                pass
            finally:
                self._history.starts.append(Start(began, answered_s, attached_s, count))

    @staticmethod
    async def _answers(http: httpx.AsyncClient, path: str) -> bool:
        try:
            return (await http.get(path)).status_code in (200, 503)
        except httpx.HTTPError:
            return False

    # What it left

    def read_log(self, final: Final) -> None:
        """Lines that only a defect writes."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        told = [line for line in lines if any(defect in line for defect in _DEFECTS) and _GONE not in line]
        final.defects += [line[-3000:] for line in told]
        final.defects += [f"the server: {line}" for line in self.unexpected]

    def set_clock(self, offset_s: float) -> None:
        temporary = self.clock_offset.with_suffix(".new")
        temporary.write_text(str(offset_s))
        temporary.replace(self.clock_offset)

    def break_off(self, kind: str, detail: str = "") -> None:
        self._history.faults.append(Fault(kind, self._now(), self._now(), detail))

    def copy_journal(self) -> Path:
        """A copy to read: SQLite follows links, and so would look for what is in another namespace in its own."""
        copy = self.directory / "left"
        shutil.copytree(self.journal, copy)
        return copy

    def keep_log(self, file: Path) -> None:
        shutil.copyfile(self.log, file)

    def health(self) -> dict[str, object]:
        answered = httpx.get(f"{self.url}/v1/health", timeout=10, trust_env=False)
        document: dict[str, object] = json.loads(answered.content)
        return document
