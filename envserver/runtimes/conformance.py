"""What every runtime must do, as a suite that a runtime's own tests inherit.

    class TestMyRuntime(RuntimeConformance):
        @pytest_asyncio.fixture
        async def runtime(self): ...

        def another(self, runtime): ...

It needs pytest-asyncio and two images on the node: `busybox` (nothing but busybox) and `code`. What a runtime
does not declare in `capabilities` is not asked of it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from envserver.runtimes.base import (
    KIB,
    MIB,
    USER_UID,
    Capability,
    Command,
    CommandNotStartedError,
    Ending,
    ImageNotFoundError,
    OutputLimits,
    Runtime,
    Sandbox,
    SandboxError,
    SandboxFileError,
    SandboxGoneError,
)
from envserver.runtimes.conformance_saving import SavingConformance
from envserver.runtimes.conformance_tools import ECHO as ECHO
from envserver.runtimes.conformance_tools import raises
from envserver.runtimes.conformance_tools import sandbox as sandbox
from envserver.runtimes.conformance_tools import shell as shell
from envserver.runtimes.conformance_tools import spec as spec


class RuntimeConformance(SavingConformance):
    """Inherit, provide the fixture `runtime`, and say in `another` how a second one for the same node is made."""

    # --- programs -------------------------------------------------------------------------------

    async def test_a_program_reports_its_output_and_exit_code(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            result = await shell(box, "echo out; echo err >&2; exit 3")
        assert (result.ending, result.exit_code, result.signal) == (Ending.EXITED, 3, None)
        assert (result.stdout.text, result.stderr.text) == ("out\n", "err\n")

    async def test_a_program_runs_as_the_user_in_the_workspace_with_a_clean_environment(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            result = await shell(
                box, "id -u; id -g; id -G; pwd; touch made && echo writable; env | cut -d= -f1 | sort | tr '\\n' ' '"
            )
        lines = result.stdout.text.splitlines()
        assert lines[:3] == [lines[0]] * 3
        assert lines[0] == str(USER_UID) if Capability.USER_NAMESPACE in runtime.capabilities else int(lines[0]) > 0
        assert lines[3:5] == ["/workspace", "writable"]
        assert set(lines[5].split()) <= {"HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHLVL", "TERM", "USER", "OLDPWD"}

    async def test_standard_input_arrives_and_ends(self, runtime: Runtime) -> None:
        data = b"x" * 800_000
        async with sandbox(runtime) as box:
            result = await box.run(Command(["/bin/sh", "-c", "wc -c"]), stdin=data, timeout_s=20)
            unread = await box.run(Command(["/bin/sh", "-c", "exit 7"]), stdin=data, timeout_s=20)
        assert result.stdout.text.strip() == "800000"
        assert unread.exit_code == 7

    async def test_death_by_signal_is_told_from_exiting(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            result = await shell(box, "kill -SEGV $$")
        assert (result.exit_code, result.signal) == (None, 11)

    async def test_a_program_that_cannot_start_is_an_error(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            await raises(CommandNotStartedError, lambda: box.run(Command(["/no/such"]), timeout_s=5))
            assert (await shell(box, "true")).exit_code == 0

    async def test_ten_megabytes_of_output_are_counted_and_cut_in_the_middle(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            result = await shell(box, "echo first; head -c 10000000 /dev/zero; echo last")
        assert result.stdout.total_bytes == 10_000_011
        assert result.stdout.truncated
        assert result.stdout.head.startswith(b"first\n")
        assert result.stdout.tail.endswith(b"last\n")
        assert len(result.stdout.head) + len(result.stdout.tail) <= 256 * KIB

    async def test_bytes_that_are_no_text_survive(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            result = await shell(box, "printf 'a\\377\\000\\376b'")
        assert result.stdout.data == b"a\xff\x00\xfeb"
        assert result.stdout.text == "a\\xff\x00\\xfeb"

    async def test_endless_output_is_stopped(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            result = await shell(box, "yes", output=OutputLimits(stop_bytes=4 * MIB))
            assert (await shell(box, "echo next")).stdout.text == "next\n"
        assert result.ending is Ending.OVERFLOW
        assert result.stdout.total_bytes > 4 * MIB

    async def test_output_is_streamed_as_it_comes(self, runtime: Runtime) -> None:
        seen: list[tuple[str, bytes]] = []
        async with sandbox(runtime) as box:
            command = Command(["/bin/sh", "-c", "echo one; echo two >&2"])
            await box.run(command, timeout_s=10, on_output=lambda stream, data: seen.append((stream, data)))
        assert b"".join(data for stream, data in seen if stream == "stdout") == b"one\n"
        assert b"".join(data for stream, data in seen if stream == "stderr") == b"two\n"

    # --- time limits ----------------------------------------------------------------------------

    async def test_a_program_past_its_time_is_killed_with_all_its_descendants(self, runtime: Runtime) -> None:
        script = "trap '' INT; (setsid env -i sh -c 'trap \"\" INT; sleep 1000' &) ; (sleep 1001 &) ; sleep 1002"
        async with sandbox(runtime) as box:
            began = time.monotonic()
            result = await box.run(Command(["/bin/sh", "-c", script]), timeout_s=0.3, grace_s=0.2)
            elapsed = time.monotonic() - began
            left = await shell(box, "ps -o args | grep -c '[s]leep 100'")
        assert result.ending is Ending.TIMEOUT
        assert result.killed_processes >= 3
        assert left.stdout.text.strip() == "0"
        assert elapsed < 5

    async def test_stopped_processes_are_killed_too(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            result = await box.run(Command(["/bin/sh", "-c", "kill -STOP -1; sleep 1000"]), timeout_s=0.3, grace_s=0.2)
            assert result.ending is Ending.TIMEOUT
            assert (await shell(box, "echo next")).stdout.text == "next\n"

    # --- sessions -------------------------------------------------------------------------------

    async def test_a_session_keeps_its_state_between_calls(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            session = await box.open_session("s", Command(["/bin/sh", "-c", ECHO]))
            await session.call(b"x=41; reply=ok", timeout_s=5)
            result = await session.call(b"echo seen; reply=$((x + 1))", timeout_s=5)
        assert (result.ending, result.message, result.alive) == (Ending.MESSAGE, b"42", True)
        assert result.stdout.text == "seen\n"

    async def test_a_session_that_does_not_answer_is_killed_and_can_be_opened_again(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            session = await box.open_session("s", Command(["/bin/sh", "-c", ECHO]))
            result = await session.call(b"trap '' INT; while :; do :; done", timeout_s=0.3, grace_s=0.2)
            assert (result.ending, result.alive) == (Ending.TIMEOUT, False)
            await raises(SandboxError, lambda: session.call(b"reply=1", timeout_s=5))
            again = await box.open_session("s", Command(["/bin/sh", "-c", ECHO]))
            assert (await again.call(b"reply=back", timeout_s=5)).message == b"back"

    async def test_a_session_that_ends_says_how(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            session = await box.open_session("s", Command(["/bin/sh", "-c", ECHO]))
            result = await session.call(b"exit 5", timeout_s=5)
        assert (result.ending, result.exit_code, result.alive, result.message) == (Ending.EXITED, 5, False, None)

    async def test_a_terminal_session_has_a_terminal(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            session = await box.open_session("t", Command(["/bin/sh", "-c", ECHO]), pty=True)
            result = await session.call(b"test -t 0 && test -t 1 && reply=tty", timeout_s=5)
        assert result.message == b"tty"

    async def test_closing_a_session_kills_its_tree_and_is_idempotent(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            session = await box.open_session("s", Command(["/bin/sh", "-c", ECHO]))
            await session.call(b"(setsid sleep 1000 &); reply=1", timeout_s=5)
            await session.close()
            await session.close()
            left = await shell(box, "ps -o args | grep -c '[s]leep 1000'")
        assert left.stdout.text.strip() == "0"

    # --- files ----------------------------------------------------------------------------------

    async def test_files_come_back_as_they_were_written(self, runtime: Runtime) -> None:
        data = bytes(range(256)) * 12_000
        async with sandbox(runtime) as box:
            await box.write_file("/workspace/a/b/c.bin", data)
            await box.write_file("/workspace/empty", b"")
            assert await box.read_file("/workspace/a/b/c.bin") == data
            assert await box.read_file("/workspace/empty") == b""
            entries, truncated = await box.list_files("/workspace")
        assert [(entry.path, entry.type, entry.size_bytes) for entry in entries if entry.type == "file"] == [
            ("a/b/c.bin", "file", len(data)),
            ("empty", "file", 0),
        ]
        assert not truncated

    async def test_file_errors_are_named(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            await shell(box, "ln -s /etc/passwd link; mkfifo fifo; mkdir dir; ln -s / root")
            cases = {
                "/workspace/missing": "not_found",
                "/workspace/link": "is_link",
                "/workspace/root/etc/passwd": "is_link",
                "/workspace/fifo": "not_a_file",
                "/workspace/dir": "not_a_file",
                "/dev/zero": None,
                "/proc/1/environ": None,
                "/proc/self/mem": None,
            }
            for path, code in cases.items():
                error = await raises(SandboxFileError, lambda path=path: box.read_file(path))  # type: ignore[misc]
                assert code is None or (isinstance(error, SandboxFileError) and error.code == code), (path, error)
            await raises(SandboxFileError, lambda: box.write_file("/etc/passwd", b"root::0:0::/:/bin/sh\n"))
            await raises(SandboxFileError, lambda: box.write_file("/workspace/link", b"x"))

    async def test_root_writes_to_the_image_where_it_is_writable_and_nowhere_else(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            if Capability.WRITABLE_ROOT in runtime.capabilities:
                await box.write_file("/etc/made", b"by root", user=0)
                assert await box.read_file("/etc/made") == b"by root"
            else:
                await raises(SandboxFileError, lambda: box.write_file("/etc/made", b"by root", user=0))
            for directory in ("/workspace", "/home/user", "/tmp"):
                await box.write_file(f"{directory}/made", b"by user")
                assert await box.read_file(f"{directory}/made") == b"by user"

    async def test_the_user_has_a_name(self, runtime: Runtime) -> None:
        async with sandbox(runtime, "code") as box:
            assert (await shell(box, "whoami; echo ~user")).stdout.text == "user\n/home/user\n"

    async def test_a_file_larger_than_asked_for_is_refused(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            await shell(box, "truncate -s 50G sparse")
            error = await raises(SandboxFileError, lambda: box.read_file("/workspace/sparse", max_bytes=MIB))
        assert isinstance(error, SandboxFileError)
        assert error.code == "too_large"

    # --- limits ---------------------------------------------------------------------------------

    async def test_memory_is_limited_and_the_kill_is_counted(self, runtime: Runtime) -> None:
        async with sandbox(runtime, "code", memory_bytes=128 * MIB, shm_bytes=MIB) as box:
            command = Command(["python3", "-c", "x = bytearray(512 << 20)"])
            result = await box.run(command, timeout_s=20)
            usage = box.usage()
            assert (await shell(box, "echo next")).stdout.text == "next\n"
        assert result.signal == 9
        assert usage.oom_kills >= 1

    async def test_a_fork_bomb_stays_within_its_sandbox(self, runtime: Runtime) -> None:
        async with sandbox(runtime, pids=32) as box:
            result = await box.run(
                Command(["/bin/sh", "-c", "b() { b | b & }; b; sleep 1000"]), timeout_s=1, grace_s=0.2
            )
            usage = box.usage()
            assert (await shell(box, "echo next")).stdout.text == "next\n"
        assert result.ending in (Ending.TIMEOUT, Ending.EXITED)
        assert usage.pids_denied > 0

    async def test_the_disk_quota_holds(self, runtime: Runtime) -> None:
        if Capability.DISK_QUOTA not in runtime.capabilities:
            return
        async with sandbox(runtime, disk_bytes=16 * MIB) as box:
            assert await box.has_room(["/workspace", "/tmp", "/dev/shm"])
            result = await shell(box, "dd if=/dev/zero of=big bs=1M count=64")
            assert result.exit_code != 0
            assert not await box.has_room(["/workspace"])
            for directory in ("/tmp", "/home/user"):  # one quota holds for all of them together
                assert (await shell(box, f"dd if=/dev/zero of={directory}/more bs=1M count=8")).exit_code != 0
            await shell(box, "rm -f big /tmp/more /home/user/more")
            entries, _ = await box.list_files("/workspace")
        assert entries == []

    async def test_shared_memory_is_limited(self, runtime: Runtime) -> None:
        async with sandbox(runtime, shm_bytes=MIB) as box:
            assert (await shell(box, "dd if=/dev/zero of=/dev/shm/big bs=64k count=64")).exit_code != 0
            assert not await box.has_room(["/dev/shm"])

    async def test_usage_counts_processor_time_and_peak_memory(self, runtime: Runtime) -> None:
        async with sandbox(runtime, "code") as box:
            before = box.usage()
            box.mark_usage()
            await box.run(Command(["python3", "-c", "x = bytearray(100 << 20); sum(range(3_000_000))"]), timeout_s=20)
            after = box.usage()
        assert after.cpu_s > before.cpu_s
        assert after.memory_peak_bytes > 100 * MIB

    # --- containment ----------------------------------------------------------------------------

    async def test_user_processes_hold_no_privilege(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            status = (await shell(box, "cat /proc/self/status")).stdout.text
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(fields[name], 16) == 0, name
        assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
        assert len(set(fields["Uid"].split())) == 1
        assert "0" not in fields["Uid"].split()

    async def test_the_guest_agent_cannot_be_touched(self, runtime: Runtime) -> None:
        attempts = (
            "kill -9 1",
            "kill -STOP 1",
            "cat /proc/1/environ",
            "cat /proc/1/mem",
            "ls /.envserver/run",
            "echo x > /proc/1/oom_score_adj",
        )
        async with sandbox(runtime) as box:
            for attempt in attempts:
                assert (await shell(box, attempt)).exit_code != 0, attempt
            assert (await shell(box, "echo alive")).stdout.text == "alive\n"

    async def test_killing_everything_leaves_the_sandbox_usable(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            await shell(box, "kill -9 -1")
            await shell(box, "rm -rf / 2>/dev/null")
            assert (await shell(box, "echo alive")).stdout.text == "alive\n"

    async def test_there_is_no_network_but_loopback(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            interfaces = (await shell(box, "cut -d: -f1 /proc/net/dev | tail -n +3")).stdout.text.split()
        assert interfaces == ["lo"]

    async def test_sandboxes_share_no_host_uid(self, runtime: Runtime) -> None:
        if Capability.USER_NAMESPACE not in runtime.capabilities:
            async with sandbox(runtime) as one, sandbox(runtime) as other:
                uids = [(await shell(box, "id -u")).stdout.text for box in (one, other)]
            assert uids[0] != uids[1]
            return
        async with sandbox(runtime) as one, sandbox(runtime) as other:
            maps = [(await shell(box, "cat /proc/self/uid_map")).stdout.text.split() for box in (one, other)]
        assert maps[0][1] != maps[1][1]
        assert all(entry[0] == "0" and entry[1] != "0" and entry[2] == "65536" for entry in maps)

    # --- life -----------------------------------------------------------------------------------

    async def test_an_unknown_image_is_named(self, runtime: Runtime) -> None:
        await raises(ImageNotFoundError, lambda: runtime.create(spec("no-such-image")))

    async def test_a_claimed_sandbox_is_its_new_owners(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            wanted = replace(spec(), labels={"episode": "e2", "purpose": "conformance"}, ttl_s=900.0)
            await runtime.claim(box, wanted)
            assert box.spec == wanted
            listed = {info.sandbox_id: info for info in await runtime.list()}[box.sandbox_id]
            assert listed.labels == wanted.labels
            assert 600 < listed.deadline - time.time() < 901
            assert (await shell(box, "echo still here")).stdout.data == b"still here\n"

    async def test_a_sandbox_of_another_image_or_none_cannot_be_claimed(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            await raises(SandboxGoneError, lambda: runtime.claim(box, spec("code")))
            assert box.spec.image == "busybox"
        await raises(SandboxGoneError, lambda: runtime.claim(box, spec()))

    async def test_a_sandbox_is_listed_with_its_labels_until_it_is_destroyed(self, runtime: Runtime) -> None:
        labels = {"episode": "e1", "purpose": "conformance"}
        made = await runtime.create(replace(spec(), labels=labels))
        listed = {info.sandbox_id: info for info in await runtime.list()}
        assert listed[made.sandbox_id].labels == labels
        assert listed[made.sandbox_id].running
        await made.destroy()
        await made.destroy()
        await runtime.destroy(made.sandbox_id)
        assert made.sandbox_id not in {info.sandbox_id for info in await runtime.list()}
        assert made.gone
        await raises(SandboxGoneError, lambda: shell(made, "true"))
        await raises(SandboxGoneError, made.usage)

    async def test_stopping_kills_processes_and_leaves_files(self, runtime: Runtime) -> None:
        async with sandbox(runtime) as box:
            session = await box.open_session("s", Command(["/bin/sh", "-c", ECHO]))
            await session.call(b"echo kept > kept; (setsid sleep 1000 &); reply=1", timeout_s=5)
            assert await box.stop_processes() >= 2
            assert await box.read_file("/workspace/kept") == b"kept\n"
            await raises(SandboxError, lambda: session.call(b"reply=1", timeout_s=5))

    async def test_a_create_that_is_cancelled_leaves_nothing(self, runtime: Runtime) -> None:
        before = {info.sandbox_id for info in await runtime.list()}
        for delay in (0.0, 0.005, 0.02, 0.04):
            making = asyncio.ensure_future(runtime.create(spec()))
            await asyncio.wait([making], timeout=delay)
            making.cancel()
            made = (await asyncio.gather(making, return_exceptions=True))[0]
            if isinstance(made, Sandbox):
                await made.destroy()
        async with asyncio.timeout(20):
            while {info.sandbox_id for info in await runtime.list()} - before:
                await asyncio.sleep(0.02)

    async def test_many_at_once_do_not_disturb_one_another(self, runtime: Runtime) -> None:
        async def play(number: int) -> str:
            async with sandbox(runtime) as box:
                await box.write_file("/workspace/me", str(number).encode())
                return (await shell(box, "cat me; ls /workspace")).stdout.text

        results = await asyncio.gather(*(play(number) for number in range(24)))
        assert results == [f"{number}me\n" for number in range(24)]
