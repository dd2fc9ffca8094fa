"""The launcher killed, its container stopped, its clients gone: what lives goes on, and the rest leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from benchmarks import inventory
from envserver.launcher import protocol
from envserver.launcher.client import LauncherClient, LauncherRefusedError
from envserver.launcher.idmap import RANGE_COUNT, range_start
from envserver.runtimes.base import CheckpointKind, Command, RuntimeUnavailableError, Sandbox, SandboxState
from envserver.runtimes.conformance import ECHO, spec
from envserver.runtimes.crun import CrunRuntime
from envserver.runtimes.guest_sandbox import GuestSandbox
from tests.conftest import Node

pytestmark = pytest.mark.node

_KILL_LAUNCHER = """
import os, signal
from pathlib import Path
for entry in Path("/proc").glob("[0-9]*"):
    try:
        parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        if parent == "1" and "launcher" in (entry / "cmdline").read_text():
            os.kill(int(entry.name), signal.SIGKILL)
            print(entry.name)
    except OSError:
        pass
"""
REQUEST: dict[str, Any] = {
    "image": "busybox",
    "limits": {
        "memory_bytes": 64 << 20,
        "cpus": 1,
        "pids": 32,
        "shm_bytes": 1 << 20,
        "nofile": 256,
        "disk_bytes": 16 << 20,
    },
    "labels": {"purpose": "killing"},
    "ttl_s": 300,
}


def kill_launcher(node: Node) -> None:
    assert node.docker("exec", node.container, "python3", "-c", _KILL_LAUNCHER).strip(), "there was no launcher to kill"


def eventually(attempt: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """What `attempt` returns once it raises nothing."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return attempt()
        except (OSError, LauncherRefusedError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def call(node: Node, op: str, **arguments: Any) -> dict[str, Any]:
    with LauncherClient(node.run) as client:
        return client.call(op, **arguments)


def counted(node: Node, expected: dict[str, int] | None = None) -> dict[str, int]:
    """What the node holds, once that is what is expected; a process that ends while it is counted spoils a count."""
    deadline = time.monotonic() + 15
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            found = inventory.take(node.container)
            if expected is None or found == expected or time.monotonic() > deadline:
                return found
        time.sleep(0.05)


@pytest_asyncio.fixture
async def private_runtime(private_node: Node) -> AsyncIterator[CrunRuntime]:
    made = CrunRuntime(private_node.run)
    yield made
    await made.close()


@pytest.fixture
def nothing_left(private_node: Node) -> Iterator[None]:
    """Afterwards the node holds what it held before."""
    before = counted(private_node)
    yield
    assert counted(private_node, before) == before


@contextlib.asynccontextmanager
async def _sandboxes(runtime: CrunRuntime, count: int) -> AsyncIterator[list[Sandbox]]:
    boxes = await asyncio.gather(*(runtime.create(spec()) for _ in range(count)))
    try:
        yield list(boxes)
    finally:
        await asyncio.gather(*(box.destroy() for box in boxes))


async def _listed_again(runtime: CrunRuntime) -> set[str]:
    async with asyncio.timeout(20):
        while True:
            try:
                return {info.sandbox_id for info in await runtime.list() if info.running}
            except RuntimeUnavailableError:
                await asyncio.sleep(0.02)


@pytest.mark.usefixtures("nothing_left")
async def test_sandboxes_outlive_their_launcher_and_belong_to_the_next(
    private_node: Node, private_runtime: CrunRuntime
) -> None:
    async with _sandboxes(private_runtime, 4) as boxes:
        sessions = [await box.open_session("s", Command(["/bin/sh", "-c", ECHO])) for box in boxes]
        for number, session in enumerate(sessions):
            await session.call(f"x={number}; reply=ok".encode(), timeout_s=5)
        await asyncio.to_thread(kill_launcher, private_node)
        answers = await asyncio.gather(*(session.call(b"reply=$x", timeout_s=5) for session in sessions))
        assert [answer.message for answer in answers] == [b"0", b"1", b"2", b"3"], "no launcher is needed to step"
        assert all(box.usage().memory_bytes > 0 for box in boxes)

        assert await _listed_again(private_runtime) == {box.sandbox_id for box in boxes}
        again = await private_runtime.create(spec())
        assert again.sandbox_id not in {box.sandbox_id for box in boxes}
        maps = [
            (await box.run(Command(["cat", "/proc/self/uid_map"]), timeout_s=5)).stdout.text for box in [*boxes, again]
        ]
        assert len(set(maps)) == 5, "a range that an adopted sandbox holds is not given out again"
        assert (await sessions[0].call(b"reply=$x", timeout_s=5)).message == b"0"
        await again.destroy()
    assert await private_runtime.list() == []


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("delay_s", [0.01, 0.05, 0.12])
def test_a_launcher_killed_while_it_creates_leaves_whole_sandboxes_or_none(private_node: Node, delay_s: float) -> None:
    stop = threading.Event()

    def create() -> None:
        with contextlib.suppress(OSError, ValueError):
            while not stop.is_set():
                call(private_node, "create", **REQUEST)

    makers = [threading.Thread(target=create) for _ in range(4)]
    for maker in makers:
        maker.start()
    stop.wait(delay_s)
    kill_launcher(private_node)
    stop.set()
    for maker in makers:
        maker.join()
    listed = eventually(lambda: call(private_node, "list"))["sandboxes"]
    assert all(entry["state"] == "running" for entry in listed)
    for entry in listed:
        assert call(private_node, "destroy", sandbox_id=entry["sandbox_id"]) == {"destroyed": True}


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("delay_s", [0.02, 0.06])
async def test_what_a_killed_launcher_could_not_tell_of_is_ended(
    private_node: Node, private_runtime: CrunRuntime, delay_s: float
) -> None:
    making = [asyncio.ensure_future(private_runtime.create(spec())) for _ in range(8)]
    await asyncio.sleep(delay_s)
    await asyncio.to_thread(kill_launcher, private_node)
    made = [each for each in await asyncio.gather(*making, return_exceptions=True) if isinstance(each, Sandbox)]
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(RuntimeUnavailableError):
                listed = {info.sandbox_id for info in await private_runtime.list()}
                if listed == {box.sandbox_id for box in made}:
                    break
            assert time.monotonic() < deadline, "a sandbox stays that nobody knows"
            await asyncio.sleep(0.05)
    finally:
        for box in made:
            await box.destroy()


def test_a_process_outside_of_every_sandbox_ends_with_the_next_launcher(private_node: Node) -> None:
    uid = str(range_start(RANGE_COUNT - 1))
    private_node.docker("exec", "-d", "--user", uid, private_node.container, "sleep", "1000")

    def escaped() -> bool:
        return uid in private_node.docker("top", private_node.container, "-eo", "uid,pid").split()

    assert escaped()
    kill_launcher(private_node)
    eventually(lambda: call(private_node, "list"))
    assert not escaped()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("delay_s", [0.02, 0.08])
async def test_a_launcher_killed_while_it_dumps_leaves_the_sandbox_running(
    private_node: Node, private_runtime: CrunRuntime, delay_s: float
) -> None:
    async with _sandboxes(private_runtime, 1) as (box,):
        assert isinstance(box, GuestSandbox)
        dumping = asyncio.ensure_future(private_runtime.checkpoint(box, CheckpointKind.PROCESS, {}))
        await asyncio.wait([dumping], timeout=delay_s)
        await asyncio.to_thread(kill_launcher, private_node)
        saved = None
        with contextlib.suppress(RuntimeUnavailableError):
            saved = await dumping  # it was quicker than the kill
        assert await _listed_again(private_runtime) == {box.sandbox_id}
        assert (await box.run(Command(["echo", "alive"]), timeout_s=10)).stdout.text == "alive\n"
        if saved is not None:
            await private_runtime.delete_checkpoint(saved.checkpoint_id)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("delay_s", [0.0, 0.002, 0.005])  # a create takes 10 ms at least
def test_a_client_that_hangs_up_while_its_sandbox_is_made_leaves_none(private_node: Node, delay_s: float) -> None:
    for _ in range(4):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(private_node.run / protocol.SOCKET_NAME))
            client.sendall(protocol.encode({"op": "create", **REQUEST}))
            client.settimeout(delay_s or 0.0001)
            with pytest.raises(TimeoutError):
                client.recv(1, socket.MSG_PEEK)

    def none_listed() -> None:
        assert call(private_node, "list") == {"sandboxes": []}

    eventually(none_listed)


@pytest.mark.usefixtures("nothing_left")
def test_an_image_that_is_not_there_is_named_and_leaves_nothing(private_node: Node) -> None:
    with pytest.raises(LauncherRefusedError, match="no-such-image") as refusal:
        call(private_node, "create", **{**REQUEST, "image": "no-such-image"})
    assert refusal.value.code == protocol.ERROR_IMAGE


@pytest.mark.usefixtures("nothing_left")
def test_a_full_disk_refuses_new_sandboxes_and_keeps_the_old(private_node: Node) -> None:
    fill = """
        cd /var/lib/envserver/layers && number=0
        for size in 1G 256M 64M 16M; do
            while fallocate -l $size filler-$number 2>/dev/null; do number=$((number + 1)); done
        done
        rm -f filler-$number
    """
    old = call(private_node, "create", **REQUEST)
    private_node.docker("exec", private_node.container, "sh", "-c", fill)
    try:
        with pytest.raises(LauncherRefusedError, match=r"MiB are reserve|disk is full") as refusal:
            call(private_node, "create", **REQUEST)
        assert refusal.value.code == protocol.ERROR_CAPACITY
        assert [entry["state"] for entry in call(private_node, "list")["sandboxes"]] == ["running"]
    finally:
        private_node.docker("exec", private_node.container, "sh", "-c", "rm /var/lib/envserver/layers/filler-*")

    new = eventually(lambda: call(private_node, "create", **REQUEST))  # the file system takes its time to free
    for made in (old, new):
        call(private_node, "destroy", sandbox_id=made["sandbox_id"])


@pytest.mark.usefixtures("nothing_left")
def test_the_layers_file_stays_preallocated_whatever_is_written_and_removed(private_node: Node) -> None:
    churn = """
        cd /var/lib/envserver/layers && fallocate -l 1G churn && rm churn && sync -f .
        stat -c '%b %B %s' ../layers.btrfs
    """
    blocks, block_size, size = map(int, private_node.docker("exec", private_node.container, "sh", "-c", churn).split())
    assert blocks * block_size >= size


# --- the container ------------------------------------------------------------------------------


def _groups(name: str) -> list[Path]:
    found = [*Path("/sys/fs/cgroup").glob(f"*/envserver/{name}"), *Path("/sys/fs/cgroup").glob(f"envserver/{name}")]
    return [group for group in found if group.is_dir()]


def _host_pids(name: str) -> set[int]:
    files = [file for group in _groups(name) for file in group.rglob("cgroup.procs")]
    return {int(line) for file in files for line in file.read_text().split()}


def _loop_devices(container_volume: str) -> list[str]:
    backing = [file.read_text().strip() for file in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [path for path in backing if container_volume in path]


def _with_three_sandboxes(node: Node) -> tuple[str, set[int]]:
    for _ in range(3):
        call(node, "create", **REQUEST)
    name = str(call(node, "health")["node"])
    pids = _host_pids(name)
    assert len(pids) >= 3
    return name, pids


def test_a_stopped_container_leaves_nothing_on_the_host(private_node: Node) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    name, pids = _with_three_sandboxes(private_node)
    private_node.docker("stop", "--time", "30", private_node.container)
    try:
        assert _groups(name) == []
        assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
        assert _loop_devices(private_node.project) == []
        assert list((private_node.run / protocol.SANDBOX_DIRECTORY).iterdir()) == []
        assert not {line for line in mounts.splitlines() if name in line}
    finally:
        private_node.docker("start", private_node.container)
    assert eventually(lambda: call(private_node, "list")) == {"sandboxes": []}


def test_a_killed_container_cleans_up_when_it_starts_again(private_node: Node) -> None:
    before = counted(private_node)
    name, pids = _with_three_sandboxes(private_node)
    private_node.docker("kill", private_node.container)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == [], "their pid namespace has ended"
    private_node.docker("start", private_node.container)
    assert eventually(lambda: call(private_node, "list")) == {"sandboxes": []}
    assert call(private_node, "health")["node"] == name
    assert counted(private_node, before) == before
    assert [group for top in _groups(name) for group in top.iterdir() if group.is_dir()] == []


# --- sandboxes that are saved and brought back ----------------------------------------------------


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("delay_s", [0.01, 0.03, 0.08])
async def test_a_launcher_killed_while_it_restores_leaves_whole_sandboxes_or_none(
    private_node: Node, private_runtime: CrunRuntime, delay_s: float
) -> None:
    async with _sandboxes(private_runtime, 1) as (box,):
        checkpoint = await private_runtime.checkpoint(box, CheckpointKind.PROCESS, {})
        restoring = [asyncio.ensure_future(private_runtime.restore(checkpoint.checkpoint_id, spec())) for _ in range(4)]
        await asyncio.wait(restoring, timeout=delay_s)
        await asyncio.to_thread(kill_launcher, private_node)
        for told in await asyncio.gather(*restoring, return_exceptions=True):
            if isinstance(told, Sandbox):
                await told.detach()
        for sandbox_id in await _listed_again(private_runtime) - {box.sandbox_id}:
            found = await private_runtime.adopt(sandbox_id, spec())
            assert (await found.run(Command(["echo", "alive"]), timeout_s=10)).stdout.text == "alive\n"
            await found.destroy()
        again = await private_runtime.restore(checkpoint.checkpoint_id, spec())
        assert (await again.run(Command(["echo", "alive"]), timeout_s=10)).stdout.text == "alive\n"
        await again.destroy()
        await private_runtime.delete_checkpoint(checkpoint.checkpoint_id)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("delay_s", [0.01, 0.04, 0.07, 0.12])
async def test_a_launcher_killed_while_it_hibernates_or_wakes_loses_nothing(
    private_node: Node, private_runtime: CrunRuntime, delay_s: float
) -> None:
    async with _sandboxes(private_runtime, 1) as (box,):
        session = await box.open_session("s", Command(["/bin/sh", "-c", ECHO]))
        await session.call(b"x=41; reply=ok", timeout_s=5)
        for attempt in ("hibernate", "wake"):
            if attempt == "hibernate":
                work: asyncio.Future[Any] = asyncio.ensure_future(private_runtime.hibernate(box))
            else:
                work = asyncio.ensure_future(private_runtime.adopt(box.sandbox_id, spec()))
            await asyncio.wait([work], timeout=delay_s)
            await asyncio.to_thread(kill_launcher, private_node)
            await asyncio.gather(work, return_exceptions=True)
            assert await _listed_again(private_runtime) == {box.sandbox_id}
        await box.detach()
        if not work.exception():
            await work.result().detach()
        woken = await private_runtime.adopt(box.sandbox_id, spec())
        assert (await woken.attach_session("s").call(b"reply=$x", timeout_s=10)).message == b"41"
        assert [info.state for info in await private_runtime.list()] == [SandboxState.RUNNING]


@pytest.mark.usefixtures("nothing_left")
async def test_a_paused_sandbox_stays_so_under_the_next_launcher(
    private_node: Node, private_runtime: CrunRuntime
) -> None:
    async with _sandboxes(private_runtime, 2) as (paused, running):
        await private_runtime.pause(paused)
        await asyncio.to_thread(kill_launcher, private_node)
        await _listed_again(private_runtime)
        states = {info.sandbox_id: info.state for info in await private_runtime.list()}
        assert states == {paused.sandbox_id: SandboxState.PAUSED, running.sandbox_id: SandboxState.RUNNING}
        cpu_s = paused.usage().cpu_s
        assert (await running.run(Command(["echo", "runs"]), timeout_s=10)).stdout.text == "runs\n"
        assert paused.usage().cpu_s == cpu_s
        await private_runtime.resume(paused)
        assert (await paused.run(Command(["echo", "runs"]), timeout_s=10)).stdout.text == "runs\n"


def _reaped(node: Node, sandbox_id: str) -> None:
    listed = {entry["sandbox_id"] for entry in call(node, "list")["sandboxes"]}
    assert sandbox_id not in listed


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("way", ["pause", "hibernate"])
def test_deadlines_end_what_stands_still(private_node: Node, way: str) -> None:
    made = call(private_node, "create", **{**REQUEST, "ttl_s": 2})
    eventually(lambda: call(private_node, way, sandbox_id=made["sandbox_id"]))
    eventually(lambda: _reaped(private_node, made["sandbox_id"]))


async def _state_once_back(runtime: CrunRuntime, wanted: int) -> dict[str, SandboxState]:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(RuntimeUnavailableError):
                found = {info.sandbox_id: info.state for info in await runtime.list()}
                assert len(found) == wanted, found
                return found
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("connected", [False, True])
async def test_a_node_that_is_stopped_keeps_its_episodes(
    private_node: Node, private_runtime: CrunRuntime, connected: bool
) -> None:
    """Also where a server is still connected, whom nobody asks."""
    before = await asyncio.to_thread(counted, private_node)
    labels = {"purpose": "episode"}
    episodes = [await private_runtime.create(replace(spec(), labels=labels)) for _ in range(3)]
    other = await private_runtime.create(spec())
    for number, box in enumerate(episodes):
        session = await box.open_session("s", Command(["/bin/sh", "-c", ECHO]))
        await session.call(f"x={number}; echo {number} > file; reply=ok".encode(), timeout_s=5)
    await private_runtime.pause(episodes[2])
    if not connected:
        for box in [*episodes, other]:
            await box.detach()
    await asyncio.to_thread(private_node.docker, "stop", "--time", "30", private_node.container)
    await asyncio.to_thread(private_node.docker, "start", private_node.container)
    states = await _state_once_back(private_runtime, 3)
    assert states == {box.sandbox_id: SandboxState.HIBERNATED for box in episodes}
    for number, box in enumerate(episodes):
        await box.detach()
        woken = await private_runtime.adopt(box.sandbox_id, replace(spec(), labels=labels))
        assert (await woken.attach_session("s").call(b"reply=$x", timeout_s=10)).message == str(number).encode()
        assert await woken.read_file("/workspace/file") == f"{number}\n".encode()
        await woken.destroy()
    await other.detach()
    assert await asyncio.to_thread(counted, private_node, before) == before
