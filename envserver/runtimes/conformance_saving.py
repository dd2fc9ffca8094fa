"""The part of the conformance suite about sandboxes that are paused, saved, brought back, or taken over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from envserver.runtimes.base import (
    MIB,
    Capability,
    CheckpointKind,
    CheckpointNotFoundError,
    Command,
    NotSupportedError,
    Runtime,
    Sandbox,
    SandboxCheckpoint,
    SandboxGoneError,
    SandboxSpec,
    SandboxState,
)
from envserver.runtimes.conformance_tools import ECHO, LABELS, open_python, raises, sandbox, say, shell, spec

PROCESS, FILESYSTEM = CheckpointKind.PROCESS, CheckpointKind.FILESYSTEM
_NO_ID = "0123456789abcdef"
_COUNTER = "import time\nn = 0\nwhile True:\n    n += 1\n    open('count', 'w').write(str(n))\n    time.sleep(0.005)\n"


@asynccontextmanager
async def saved(runtime: Runtime, box: Sandbox, kind: CheckpointKind) -> AsyncIterator[SandboxCheckpoint]:
    checkpoint = await runtime.checkpoint(box, kind, {**LABELS, "step": "1"})
    try:
        yield checkpoint
    finally:
        await runtime.delete_checkpoint(checkpoint.checkpoint_id)


@asynccontextmanager
async def restored(runtime: Runtime, checkpoint: SandboxCheckpoint, made_from: SandboxSpec) -> AsyncIterator[Sandbox]:
    box = await runtime.restore(checkpoint.checkpoint_id, made_from)
    try:
        yield box
    finally:
        await box.destroy()


async def state_of(runtime: Runtime, box: Sandbox) -> SandboxState | None:
    return {info.sandbox_id: info.state for info in await runtime.list()}.get(box.sandbox_id)


class SavingConformance:
    """Inherited by `RuntimeConformance`."""

    def another(self, runtime: Runtime) -> Runtime:
        """A second object for the same node, as a server that is started again makes one."""
        raise NotImplementedError

    # --- what is not declared -------------------------------------------------------------------

    async def test_what_a_runtime_does_not_declare_it_refuses(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            if Capability.PROCESS_CHECKPOINT not in runtime.capabilities:
                await raises(NotSupportedError, lambda: runtime.checkpoint(box, PROCESS, {}))
            if Capability.FILESYSTEM_CHECKPOINT not in runtime.capabilities:
                await raises(NotSupportedError, lambda: runtime.checkpoint(box, FILESYSTEM, {}))
                await raises(NotSupportedError, lambda: runtime.restore(_NO_ID, spec()))
            if Capability.PAUSE not in runtime.capabilities:
                await raises(NotSupportedError, lambda: runtime.pause(box))
            if Capability.HIBERNATE not in runtime.capabilities:
                await raises(NotSupportedError, lambda: runtime.hibernate(box))
            assert (await shell(box, "echo as before")).stdout.text == "as before\n"

    # --- process checkpoints --------------------------------------------------------------------

    async def test_a_restored_sandbox_goes_on_where_it_was(self, runtime: Runtime) -> None:
        if PROCESS not in kinds(runtime):
            return
        async with sandbox(runtime, "code") as box:
            python = await open_python(box)
            bash = await box.open_session("bash", Command(["/bin/bash", "-c", ECHO]), pty=True)
            assert await say(bash, 'cd /tmp; X=41; f() { reply="$X $PWD"; }; f') == "41 /tmp"
            await say(
                python,
                "import os, subprocess; x = [1, 2]; kept = open('kept', 'w+'); kept.write('kept'); kept.flush()\n"
                "gone = open('gone', 'w+'); gone.write('deleted'); gone.flush(); os.unlink('gone')\n"
                f"counter = subprocess.Popen(['python3', '-c', {_COUNTER!r}]); reply = None",
            )
            async with saved(runtime, box, PROCESS) as checkpoint, restored(runtime, checkpoint, spec("code")) as copy:
                for number, each in enumerate((box, copy)):
                    python, bash = each.attach_session("python"), each.attach_session("bash")
                    assert await say(bash, f"f; X={number}") == "41 /tmp"
                    assert await say(python, f"x.append({number}); reply = x") == f"[1, 2, {number}]"
                    read = "reply = [file.seek(0) or file.read() for file in (kept, gone)]"
                    assert await say(python, read) == "['kept', 'deleted']"
                    await self._counts_on(each)
                assert await say(copy.attach_session("bash"), "f") == "1 /tmp"
                assert copy.spec.labels == LABELS

    async def _counts_on(self, box: Sandbox) -> None:
        waited = await shell(box, 'n=$(cat count); while [ "$(cat count)" = "$n" ]; do sleep 0.01; done')
        assert waited.exit_code == 0, "the background process stands still"

    async def test_sixteen_forks_side_by_side_are_independent(self, runtime: Runtime) -> None:
        if PROCESS not in kinds(runtime):
            return
        async with sandbox(runtime, "code") as box, AsyncExitStack() as stack:
            await say(await open_python(box), "x = 7; open('shared', 'w').write('before'); reply = None")
            checkpoint = await stack.enter_async_context(saved(runtime, box, PROCESS))
            made = [stack.enter_async_context(restored(runtime, checkpoint, spec("code"))) for _ in range(16)]
            forks = await asyncio.gather(*made)
            tell = "x += {0}; open('shared', 'w').write(str(x)); reply = x"
            sessions = [fork.attach_session("python") for fork in forks]
            answers = await asyncio.gather(*(say(each, tell.format(n)) for n, each in enumerate(sessions)))
            assert answers == [str(7 + number) for number in range(16)]
            files = await asyncio.gather(*(fork.read_file("/workspace/shared") for fork in forks))
            assert files == [str(7 + number).encode() for number in range(16)]
            assert await say(box.attach_session("python"), "reply = x, open('shared').read()") == "(7, 'before')"

    async def test_a_fork_can_be_forked(self, runtime: Runtime) -> None:
        for kind in kinds(runtime):
            async with AsyncExitStack() as stack:
                box = await stack.enter_async_context(sandbox(runtime, "code"))
                first = await stack.enter_async_context(saved(runtime, box, kind))
                fork = await stack.enter_async_context(restored(runtime, first, spec("code")))
                await fork.write_file("/workspace/generation", b"1")
                second = await stack.enter_async_context(saved(runtime, fork, kind))
                await fork.write_file("/workspace/generation", b"changed")
                fork_of_fork = await stack.enter_async_context(restored(runtime, second, spec("code")))
                assert await fork_of_fork.read_file("/workspace/generation") == b"1"
                assert (await shell(fork_of_fork, "true")).exit_code == 0
                assert await box.list_files("/workspace") == ([], False)

    # --- checkpoints of either kind -------------------------------------------------------------

    async def test_a_checkpoint_outlives_its_sandbox_and_forks_outlive_it(self, runtime: Runtime) -> None:
        for kind in kinds(runtime):
            box = await runtime.create(spec("code"))
            await shell(box, "mkdir -p a/b; echo deep > a/b/c; ln -s /etc/passwd link; echo t > /tmp/t; mkfifo fifo")
            await shell(box, "ln a/b/c hard; chmod 2751 a; touch -d @1000000000 a/b")
            far = "n=$(printf %0200d 0); for i in $(seq 30); do mkdir $n; cd $n; done; echo far > end"
            assert (await shell(box, far)).exit_code == 0, "deeper than a path is long"
            checkpoint = await runtime.checkpoint(box, kind, {})
            await box.destroy()
            async with restored(runtime, checkpoint, spec("code")) as one, restored(runtime, checkpoint, spec()) as two:
                await runtime.delete_checkpoint(checkpoint.checkpoint_id)
                await shell(one, "echo changed > a/b/c")
                assert (await shell(two, "cat a/b/c /tmp/t; readlink link; whoami")).stdout.text == (
                    "deep\nt\n/etc/passwd\nuser\n"
                )
                kept = "stat -c %a a; stat -c %Y a/b; stat -c %h hard"
                assert (await shell(two, kept)).stdout.text == "2751\n1000000000\n2\n"
                near = "n=$(printf %0200d 0); for i in $(seq 30); do cd $n; done; cat end"
                assert (await shell(two, near)).stdout.text == "far\n"
                assert (await shell(two, "echo mine > a/b/c && test -p fifo && touch a/b/more")).exit_code == 0
                assert await one.read_file("/workspace/a/b/c") == b"changed\n"

    async def test_a_restored_file_system_has_no_processes(self, runtime: Runtime) -> None:
        if FILESYSTEM not in kinds(runtime):
            return
        async with sandbox(runtime) as box:
            await shell(box, "echo kept > kept")
            session = await box.open_session("s", Command(["/bin/sh", "-c", "sleep 1000"]))
            async with saved(runtime, box, FILESYSTEM) as checkpoint, restored(runtime, checkpoint, spec()) as copy:
                assert (await shell(copy, "cat kept; ps -o args | grep -c '[s]leep 1000'")).stdout.text == "kept\n0\n"
            await session.close()

    async def test_the_quota_holds_in_what_was_restored_and_in_what_was_saved(self, runtime: Runtime) -> None:
        if Capability.DISK_QUOTA not in runtime.capabilities:
            return
        for kind in kinds(runtime):
            async with sandbox(runtime, disk_bytes=32 * MIB) as box:
                assert (await shell(box, "dd if=/dev/urandom of=big bs=1M count=20 conv=fsync")).exit_code == 0
                async with saved(runtime, box, kind) as checkpoint, restored(runtime, checkpoint, spec()) as copy:
                    for each in (box, copy):
                        more = "dd if=/dev/urandom of=more bs=1M count=20 conv=fsync"
                        assert (await shell(each, more)).exit_code != 0, "20 MiB that it has, and 20 new ones"
                        again = "rm -f more; dd if=/dev/urandom of=big bs=1M count=20 conv=fsync"
                        assert (await shell(each, again)).exit_code == 0, "in the place of those that it had"
                    assert copy.spec.limits.disk_bytes == 32 * MIB

    async def test_checkpoints_are_listed_until_they_are_deleted(self, runtime: Runtime) -> None:
        for kind in kinds(runtime):
            async with sandbox(runtime, "code") as box, saved(runtime, box, kind) as made:
                listed = {each.checkpoint_id: each for each in await runtime.checkpoints()}
                assert listed[made.checkpoint_id] == made
                assert (made.kind, made.labels) == (kind, {**LABELS, "step": "1"})
                assert abs(made.created_at - time.time()) < 60
                assert 0 < made.pause_ms < 20_000
                assert (made.bytes > 0) == (kind is PROCESS)
                await runtime.delete_checkpoint(made.checkpoint_id)
                await runtime.delete_checkpoint(made.checkpoint_id)
                assert made.checkpoint_id not in {each.checkpoint_id for each in await runtime.checkpoints()}
                await raises(CheckpointNotFoundError, lambda: runtime.restore(made.checkpoint_id, spec()))

    async def test_calls_wait_for_a_checkpoint_and_are_answered(self, runtime: Runtime) -> None:
        for kind in kinds(runtime):
            async with sandbox(runtime, "code") as box:
                saving = asyncio.ensure_future(runtime.checkpoint(box, kind, {}))
                results = await asyncio.gather(*(shell(box, f"echo {n}") for n in range(8)))
                await runtime.delete_checkpoint((await saving).checkpoint_id)
                assert [each.stdout.text for each in results] == [f"{n}\n" for n in range(8)]

    # --- pausing --------------------------------------------------------------------------------

    async def test_a_paused_sandbox_uses_no_processor_and_goes_on_when_resumed(self, runtime: Runtime) -> None:
        if Capability.PAUSE not in runtime.capabilities:
            return
        async with sandbox(runtime) as box:
            session = await box.open_session("s", Command(["/bin/sh", "-c", "while :; do :; done"]))
            await runtime.pause(box)
            await runtime.pause(box)
            assert await state_of(runtime, box) is SandboxState.PAUSED
            before = box.usage().cpu_s
            waiting = asyncio.ensure_future(shell(box, "echo at last"))
            await asyncio.wait([waiting], timeout=0.3)
            assert not waiting.done()
            assert box.usage().cpu_s - before < 0.05
            await runtime.resume(box)
            await runtime.resume(box)
            assert (await waiting).stdout.text == "at last\n"
            assert await state_of(runtime, box) is SandboxState.RUNNING
            await session.close()

    async def test_a_paused_sandbox_can_be_destroyed(self, runtime: Runtime) -> None:
        if Capability.PAUSE not in runtime.capabilities:
            return
        async with sandbox(runtime) as box:
            await runtime.pause(box)
            await box.destroy()
            assert await state_of(runtime, box) is None
        await raises(SandboxGoneError, lambda: runtime.pause(box))
        await raises(SandboxGoneError, lambda: runtime.resume(box))

    # --- hibernation ----------------------------------------------------------------------------

    async def test_a_hibernated_sandbox_comes_back_under_its_id(self, runtime: Runtime) -> None:
        if Capability.HIBERNATE not in runtime.capabilities:
            return
        async with sandbox(runtime, "code") as box:
            await say(await open_python(box), "x = 41; open('kept', 'w').write('kept'); reply = None")
            for generation in (1, 2):
                await runtime.hibernate(box)
                assert await state_of(runtime, box) is SandboxState.HIBERNATED
                await raises(SandboxGoneError, box.usage)
                woken = await runtime.adopt(box.sandbox_id, replace(box.spec, labels={**LABELS, "n": str(generation)}))
                assert woken.sandbox_id == box.sandbox_id
                assert await state_of(runtime, woken) is SandboxState.RUNNING
                told = await say(woken.attach_session("python"), "x += 1; reply = x, open('kept').read()")
                assert told == f"({41 + generation}, 'kept')"
                box = woken
            labels = {info.sandbox_id: info.labels for info in await runtime.list()}[box.sandbox_id]
            assert labels == {**LABELS, "n": "2"}
            await box.destroy()
            assert await state_of(runtime, box) is None

    async def test_a_hibernated_sandbox_can_be_destroyed(self, runtime: Runtime) -> None:
        if Capability.HIBERNATE not in runtime.capabilities:
            return
        async with sandbox(runtime) as box:
            await runtime.hibernate(box)
            await runtime.destroy(box.sandbox_id)
            assert await state_of(runtime, box) is None
            await raises(SandboxGoneError, lambda: runtime.adopt(box.sandbox_id, spec()))

    # --- adoption -------------------------------------------------------------------------------

    async def test_another_server_takes_over_what_runs(self, runtime: Runtime) -> None:
        box, second = await runtime.create(spec("code")), self.another(runtime)
        try:
            await say(await open_python(box), "x = 41; reply = None")
            if Capability.PAUSE in runtime.capabilities:
                await runtime.pause(box)
            await box.detach()
            wanted = replace(box.spec, labels={**LABELS, "owner": "second"}, ttl_s=900.0)
            adopted = await second.adopt(box.sandbox_id, wanted)
            assert await say(adopted.attach_session("python"), "reply = x") == "41"
            listed = {info.sandbox_id: info for info in await second.list()}[box.sandbox_id]
            assert (listed.state, listed.labels) == (SandboxState.RUNNING, wanted.labels)
            assert 600 < listed.deadline - time.time() < 901
            assert adopted.usage().memory_bytes > 0
        finally:
            await second.destroy(box.sandbox_id)
            await second.close()

    async def test_what_is_not_there_cannot_be_adopted(self, runtime: Runtime) -> None:
        await raises(SandboxGoneError, lambda: runtime.adopt(_NO_ID, spec()))
        if kinds(runtime):
            await raises(CheckpointNotFoundError, lambda: runtime.restore(_NO_ID, spec()))


def kinds(runtime: Runtime) -> list[CheckpointKind]:
    """Those that a runtime declares."""
    needed = {PROCESS: Capability.PROCESS_CHECKPOINT, FILESYSTEM: Capability.FILESYSTEM_CHECKPOINT}
    return [kind for kind, capability in needed.items() if capability in runtime.capabilities]
