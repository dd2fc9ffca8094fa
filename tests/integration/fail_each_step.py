"""Makes each step of making a sandbox fail in turn, and prints what each left behind. Runs in a node's container.

    python - fail|kill create|checkpoint|restore|hibernate|wake < fail_each_step.py

A step is a system call that the launcher's code makes while it carries out the operation; it fails by raising before
it does anything. A first run that succeeds lists them by line of code; of a loop only the first two rounds count.
Prints one JSON object: {"steps": [what failed], "left": {step: [what was left]}}.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from envserver.launcher import cgroups, images
from envserver.launcher.bundle import BundleLimits
from envserver.launcher.checkpoints import Checkpoints
from envserver.launcher.hibernation import Hibernation
from envserver.launcher.paths import Paths
from envserver.launcher.records import SandboxRecord, SandboxRequest
from envserver.launcher.sandboxes import SandboxMaker
from envserver.launcher.store import CheckpointStore

DATA = Path("/var/lib/envserver")
NODE = "injected"
LIMITS = BundleLimits(memory_bytes=64 << 20, cpus=1.0, pids=32, shm_bytes=1 << 20, nofile=256)
SYSTEM_CALLS = frozenset(
    "chmod chown fork_exec fsync ioctl link mkdir open pidfd_open rename scandir statvfs unlink".split()
)
OUR_WRAPPERS = frozenset(("mount", "umount", "attach_id_mapped", "start_writing", "take", "_get"))
"""Of the launcher: functions whose system calls go through ctypes, where no profiler sees them, or to its helper."""


class InjectedError(OSError):
    """The failure of a step."""


class Injector:
    """A profiler that lists the steps and raises at one of them."""

    def __init__(self, fail_at: str | None = None) -> None:
        self._fail_at = fail_at
        self._seen: Counter[str] = Counter()
        self.steps: list[str] = []
        self.failed = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        name = self._step(frame, event, argument)
        if name is None:
            return
        self._seen[name] += 1
        if self._seen[name] > 2:
            return
        self.steps.append(f"{name} ({self._seen[name]})")
        if self.steps[-1] == self._fail_at:
            sys.setprofile(None)
            self.failed = True
            raise InjectedError(f"injected at {name}")

    @staticmethod
    def _step(frame: FrameType, event: str, argument: Any) -> str | None:
        if event == "call" and frame.f_code.co_name in OUR_WRAPPERS:
            call, caller = frame.f_code.co_name, frame.f_back
        elif event == "c_call" and argument.__name__ in SYSTEM_CALLS:
            call, caller = argument.__name__, frame
        else:
            return None
        while caller is not None and "/envserver/launcher/" not in caller.f_code.co_filename:
            if caller.f_code.co_name == "rmtree":
                return None  # itself a cleaning up
            caller = caller.f_back
        if caller is None:
            return None
        return f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno} {caller.f_code.co_name}: {call}"


def make_maker(reserve_bytes: int = 0) -> SandboxMaker:
    """Another maker beside the container's own launcher, on the same file system of layers."""
    run, work = Path("/run/injected"), Path("/run/injected-work")
    for directory in (run / "s", work / "bundles", work / "crun", work / "errors"):
        directory.mkdir(parents=True, exist_ok=True)
    for directory in (run, run / "s", work, work / "bundles"):
        directory.chmod(0o711)
    paths = Paths(layers=DATA / "layers", run=run, work=work, checkpoints=DATA / "checkpoints", dev=DATA / "dev")
    store = images.ImageStore(Path(os.environ["ENVSERVER_IMAGES"]), Path("/usr/lib/envserver/agent"))
    return SandboxMaker(NODE, paths, store, server_uid=990, server_gid=990, reserve_bytes=reserve_bytes)


def request(image: str = "busybox") -> SandboxRequest:
    return SandboxRequest(image=image, limits=LIMITS, disk_bytes=16 << 20, labels={"purpose": "injection"}, ttl_s=60.0)


def inventory(maker: SandboxMaker) -> set[str]:
    """By name, everything that a sandbox could leave."""
    paths = maker.paths
    found = {f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    kept = (paths.checkpoints, paths.hibernated)
    for directory in (paths.layers, paths.run / "s", paths.work / "bundles", paths.crun, *kept):
        found |= {f"entry {entry}" for entry in directory.iterdir()}
    found |= {f"group {name}" for name in cgroups.leftovers(NODE)}
    unified = cgroups.ROOT / "unified" / cgroups.PARENT / NODE
    found |= {f"entry {entry}" for entry in unified.iterdir()} if unified.is_dir() else set()
    # Told apart by number, for a sandbox that comes back has other pids.
    found |= {f"process {name} ({n})" for name, count in Counter(_processes()).items() for n in range(count)}
    found |= {f"record {record.sandbox_id}" for record in maker.records()}
    found.add(f"free ranges {len(maker._ranges._fresh) + len(maker._ranges._freed)}")
    return found | {f"descriptor {number}" for number in _descriptors()}


def _processes() -> Iterator[str]:
    """Guest agents, crun and CRIU: whatever is not Python."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if "python" not in (entry / "cmdline").read_text() and state != "Z":
                yield (entry / "comm").read_text().strip()


def _descriptors() -> list[str]:
    """User namespaces are kept on purpose; the directory being listed is gone by the time that it is looked at."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            if not target.startswith("user:"):
                found.append(f"{entry.name} {target}")
    return [each for each in found if "/proc/" not in each]


def settled(maker: SandboxMaker, before: set[str]) -> list[str]:
    """What is there beyond `before`, once that has stopped to shrink: what crun was killed under ends by itself."""
    deadline = time.monotonic() + 3.0
    while left := inventory(maker) - before:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return sorted(left)


class Operation:
    """What is made to fail, and how its success is undone."""

    def __init__(self, maker: SandboxMaker, image: str) -> None:
        self.maker = maker
        self.store = CheckpointStore(maker.paths)
        self.checkpoints = Checkpoints(maker, self.store, 0)
        self.hibernation = Hibernation(maker, self.checkpoints.check_room)
        self._request = request(image)

    def create(self) -> Callable[[], object]:
        record = self.maker.create(self._request)
        return lambda: self.maker.destroy(record.sandbox_id)

    def prepare_checkpoint(self) -> SandboxRecord:
        return self.maker.create(self._request)

    def checkpoint_of(self, sandbox: SandboxRecord) -> Callable[[], object]:
        record = self.checkpoints.create(sandbox.sandbox_id, "process", {}, lambda: None)
        return lambda: self.store.delete(record.checkpoint_id)

    def of_another(self, work: Callable[[SandboxRecord], Callable[[], object]]) -> Callable[[], object]:
        """With a sandbox of its own: one whose dump was killed is not what it was."""
        sandbox = self.prepare_checkpoint()

        def end() -> None:
            self.maker.destroy(sandbox.sandbox_id)
            self.hibernation.destroy(sandbox.sandbox_id)

        try:
            _await_agent(self.maker, sandbox)
            undo = work(sandbox)
        except BaseException:
            end()
            raise

        def undo_all() -> None:
            undo()
            end()

        return undo_all

    def restore_of(self, checkpoint_id: str) -> Callable[[], object]:
        record = self.checkpoints.restore(self.store.get(checkpoint_id), {}, 60.0)
        return lambda: self.maker.destroy(record.sandbox_id)

    def hibernation_of(self, sandbox: SandboxRecord) -> Callable[[], object]:
        self.hibernation.hibernate(sandbox.sandbox_id)
        return lambda: self.hibernation.wake(sandbox.sandbox_id, {}, 60.0)

    def waking_of(self, sandbox: SandboxRecord) -> Callable[[], object]:
        self.hibernation.wake(sandbox.sandbox_id, {}, 60.0)
        _await_agent(self.maker, sandbox)
        return lambda: self.hibernation.hibernate(sandbox.sandbox_id)


def attempt(operation: Callable[[], Callable[[], object]], injector: Injector) -> None:
    """Carry out the operation under an injector, and undo it where it succeeds."""
    undo = None
    try:
        sys.setprofile(injector)
        undo = operation()
    except Exception:  # the operation may name the failure as it likes
        pass
    finally:
        sys.setprofile(None)
    if undo is not None:
        undo()


def fail_each_step(maker: SandboxMaker, operation: Callable[[], Callable[[], object]], _what: str) -> dict[str, Any]:
    operation()()  # what is made once and kept is there before the count
    before = inventory(maker)
    whole = Injector()
    attempt(operation, whole)
    failed: list[str] = []
    left: dict[str, list[str]] = {}
    for step in whole.steps:
        injector = Injector(step)
        attempt(operation, injector)
        if remaining := settled(maker, before):
            left[step] = remaining
            before = inventory(maker)
        if injector.failed:  # else a loop that waits had no second round this time
            failed.append(step)
    return {"steps": failed, "left": left}


def kill_crun(maker: SandboxMaker, operation: Callable[[], Callable[[], object]], what: str) -> dict[str, Any]:
    """SIGKILL to crun after each of many delays, by a crun of our own before it on the PATH."""
    spared = "" if what == "create" else 'case "$*" in *" run "*) exec /usr/bin/crun "$@";; esac'
    wrapper = Path("/run/injected-bin")
    wrapper.mkdir(exist_ok=True)
    operation()()
    before = inventory(maker)
    steps, left = [], {}
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{wrapper}:{path}"
    try:
        for delay_ms in [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 80, 120, 250]:
            script = (
                f'#!/bin/sh\n{spared}\n/usr/bin/crun "$@" &\nsleep {delay_ms / 1000}; kill -9 $! && exit 137; wait $!\n'
            )
            (wrapper / "crun").write_text(script)
            (wrapper / "crun").chmod(0o755)
            undo = None
            try:
                undo = operation()
                outcome = "made"
            except Exception as error:
                outcome = f"{type(error).__name__} {error}"
            finally:
                (wrapper / "crun").unlink()
            if undo is not None:
                undo()
            if remaining := settled(maker, before):
                left[f"after {delay_ms} ms"] = remaining
                before = inventory(maker)
            steps.append(f"{delay_ms} ms: {outcome}")
    finally:
        os.environ["PATH"] = path
    return {"steps": steps, "left": left}


def main(way: str, what: str) -> dict[str, Any]:
    maker = make_maker()
    # Python, so that a dump has more than one page to write and CRIU takes its time.
    operation = Operation(maker, "busybox")
    way_of_attack = {"fail": fail_each_step, "kill": kill_crun}[way]

    def attack(maker: SandboxMaker, work: Callable[[], Callable[[], object]]) -> dict[str, Any]:
        return way_of_attack(maker, work, what)

    if what == "create":
        return attack(maker, operation.create)
    sandbox = operation.prepare_checkpoint()
    _await_agent(maker, sandbox)
    try:
        if what in ("checkpoint", "hibernate"):
            work = operation.checkpoint_of if what == "checkpoint" else operation.hibernation_of
            return attack(maker, lambda: operation.of_another(work) if way == "kill" else work(sandbox))
        if what == "wake":
            operation.hibernation.hibernate(sandbox.sandbox_id)
            return attack(maker, lambda: operation.waking_of(sandbox))
        checkpoint = operation.checkpoints.create(sandbox.sandbox_id, "process", {}, lambda: None)
        try:
            return attack(maker, lambda: operation.restore_of(checkpoint.checkpoint_id))
        finally:
            operation.store.delete(checkpoint.checkpoint_id)
    finally:
        maker.destroy(sandbox.sandbox_id)
        operation.hibernation.destroy(sandbox.sandbox_id)


def _await_agent(maker: SandboxMaker, sandbox: SandboxRecord) -> None:
    deadline = time.monotonic() + 10
    while not (maker.paths.control(sandbox.sandbox_id) / "agent.sock").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the agent does not listen")
        time.sleep(0.002)


if __name__ == "__main__":
    try:
        found = main(sys.argv[1], sys.argv[2])
    finally:
        cgroups.release(NODE)
    print(json.dumps(found))  # noqa: T201
