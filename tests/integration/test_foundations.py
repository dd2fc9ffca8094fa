"""What everything rests on, at once and with the real pieces.

A launcher in its container starts a sandbox: id-mapped overlay, writable layer with a quota, user namespace,
control groups, seccomp, no new privileges, the guest agent as PID 1, a live bash on a terminal and a live Python
under another uid. It is dumped while both run, restored twice under other uid ranges, and all three go on.
"""

from __future__ import annotations

import asyncio

import pytest

from envserver.runtimes.base import MIB, CheckpointKind, Command, SandboxSpec, Session
from envserver.runtimes.conformance import ECHO, shell, spec
from envserver.runtimes.crun import CrunRuntime
from envserver.runtimes.guest_sandbox import GuestSandbox

pytestmark = pytest.mark.node

PYTHON = r"""
import os
inbound, outbound = os.fdopen(3, "rb"), os.fdopen(4, "wb")
names = {}
while header := inbound.readline():
    exec(inbound.read(int(header)).decode(), names)
    reply = repr(names["reply"]).encode()
    outbound.write(b"%d\n%s" % (len(reply), reply))
    outbound.flush()
"""
OTHER_UID = 1001


async def _say(session: Session, message: str) -> str:
    result = await session.call(message.encode(), timeout_s=10)
    assert result.message is not None, result
    return result.message.decode()


async def _open(runtime: CrunRuntime, made_from: SandboxSpec) -> GuestSandbox:
    box = await runtime.create(made_from)
    assert isinstance(box, GuestSandbox)
    return box


async def test_a_live_sandbox_is_dumped_and_restored_twice_and_all_three_go_on(runtime: CrunRuntime) -> None:
    original = await _open(runtime, spec("code", disk_bytes=64 * MIB))
    boxes = [original]
    try:
        bash = await original.open_session("bash", Command(["/bin/bash", "-c", ECHO]), pty=True)
        python = await original.open_session("python", Command(["python3", "-c", PYTHON], user=OTHER_UID))
        assert await _say(bash, 'test -t 0 && cd /tmp && X=41 && f() { reply="f $X $PWD"; }; f') == "f 41 /tmp"
        assert await _say(python, "import os; x = [1, 2, 3]; reply = (x, os.getuid())") == f"([1, 2, 3], {OTHER_UID})"
        await _say(bash, "(while sleep 0.01; do echo tick >> /tmp/ticks; done) & reply=started")
        await original.write_file("/workspace/kept", b"before")

        checkpoint = await runtime.checkpoint(original, CheckpointKind.PROCESS, {})
        boxes += await asyncio.gather(*(runtime.restore(checkpoint.checkpoint_id, original.spec) for _ in range(2)))

        uids = set()
        for number, box in enumerate(boxes):
            live_bash, live_python = box.attach_session("bash"), box.attach_session("python")
            assert await _say(live_bash, f"f; X={number}") == "f 41 /tmp"
            assert await _say(live_python, f"x.append({number}); reply = x") == f"[1, 2, 3, {number}]"
            assert await box.read_file("/workspace/kept") == b"before"
            await box.write_file("/workspace/kept", str(number).encode())
            uids.add((await shell(box, "cat /proc/self/uid_map")).stdout.text.split()[1])
        assert len(uids) == 3, "each has a range of host uids of its own"

        for number, box in enumerate(boxes):
            assert await _say(box.attach_session("bash"), "f") == f"f {number} /tmp"
            assert await box.read_file("/workspace/kept") == str(number).encode()
            await _assert_contained(box)
            await _assert_ticking(box)
    finally:
        await asyncio.gather(*(box.destroy() for box in boxes))


async def _assert_contained(box: GuestSandbox) -> None:
    """A restored sandbox is held as tightly as a new one."""
    status = (await shell(box, "cat /proc/self/status; cat /proc/1/status")).stdout.text
    assert status.count("Seccomp:\t2") == 2
    assert status.count("NoNewPrivs:\t1") == 2
    assert status.count("CapEff:\t0000000000000000") == 1
    assert (await shell(box, "dd if=/dev/zero of=/workspace/big bs=1M count=128")).exit_code != 0
    await shell(box, "rm -f /workspace/big")
    assert (await shell(box, "cat /proc/1/environ")).exit_code != 0
    assert box.usage().memory_bytes > 0


async def _assert_ticking(box: GuestSandbox) -> None:
    count = "wc -l < /tmp/ticks"
    before = int((await shell(box, count)).stdout.text)
    async with asyncio.timeout(10):
        while int((await shell(box, count)).stdout.text) <= before:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("image", ["busybox", "code"])
async def test_a_checkpoint_outlives_the_sandbox_that_it_was_taken_of(runtime: CrunRuntime, image: str) -> None:
    original = await _open(runtime, spec(image))
    session = await original.open_session("s", Command(["/bin/sh", "-c", ECHO]))
    await _say(session, "x=7; reply=ok")
    checkpoint = await runtime.checkpoint(original, CheckpointKind.PROCESS, {})
    await original.destroy()
    restored = await runtime.restore(checkpoint.checkpoint_id, original.spec)
    try:
        assert await _say(restored.attach_session("s"), "reply=$x") == "7"
    finally:
        await restored.destroy()


async def test_a_pause_longer_than_any_time_limit_is_not_taken_for_death(
    runtime: CrunRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envserver.runtimes.guest_sandbox._MARGIN_S", 1.0)
    box = await _open(runtime, spec())
    try:
        await runtime.pause(box)
        running = asyncio.ensure_future(box.run(Command(["true"]), timeout_s=1.0, grace_s=0.0))
        done, _ = await asyncio.wait([running], timeout=3.0)
        assert not done
        await runtime.resume(box)
        assert (await running).exit_code == 0
    finally:
        await box.destroy()
