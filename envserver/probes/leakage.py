"""Two sandboxes: one plants or takes something, the other must neither find nor miss it. And one after another."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

from envserver.probes.stage import Stage
from envserver.runtimes.base import USER_UID, Command, CommandResult, Sandbox, SandboxError, SandboxFileError

_PAIRS = """
files processes abstract_sockets loopback system_v_memory system_v_queues system_v_semaphores
pipe_pages watchers pending_signals terminals
""".split()
_HOLD_S, _SHORT_S = 30.0, 15.0


def _command(role: str, name: str, token: str, user: int) -> Command:
    return Command(["python3", "-m", "inside.pair", role, name, token], user=user)


async def _planted(box: Sandbox, name: str, token: str, user: int) -> asyncio.Task[CommandResult]:
    """The planting half, which holds on until its sandbox's processes are stopped."""
    said = asyncio.Event()
    planting = box.run(
        _command("plant", name, token, user), timeout_s=_HOLD_S, on_output=lambda _stream, _data: said.set()
    )
    holding = asyncio.create_task(planting)
    holding.add_done_callback(lambda _: said.set())
    await said.wait()
    return holding


def _pair(name: str) -> Callable[[Stage], Awaitable[str]]:
    async def probe(stage: Stage) -> str:
        token = f"probe-{secrets.token_hex(8)}"
        one, other = await stage.pair()
        holding = await _planted(one, name, token, stage.user)
        try:
            result = await other.run(_command("find", name, token, stage.user), timeout_s=_SHORT_S)
            return result.stdout.text.strip() or result.stderr.text[-200:]
        finally:
            await one.stop_processes()
            await holding

    return probe


async def _leave_files_to_the_next(stage: Stage) -> str:
    token = f"probe-{secrets.token_hex(8)}"
    async with stage.sandbox() as first:
        await first.run(Command(["sh", "-c", f"touch /tmp/{token} /dev/shm/{token} {token} ~/{token}"]), timeout_s=10)
    async with stage.sandbox() as second:
        search = f"find / -xdev -name {token} 2>/dev/null; ls /dev/shm /tmp /workspace /home/user | grep {token}"
        result = await second.run(Command(["sh", "-c", search]), timeout_s=30)
    return result.stdout.text.strip() or "none"


async def _name_of_the_neighbour(stage: Stage) -> str:
    one, other = await stage.pair()
    seen = await one.run(Command(["sh", "-c", "cat /proc/self/mountinfo /proc/mounts /proc/self/cgroup"]), timeout_s=10)
    return other.sandbox_id if other.sandbox_id in seen.stdout.text else "none"


async def _read_a_file_of_the_neighbour(stage: Stage) -> str:
    one, other = await stage.pair()
    name = f"/workspace/{secrets.token_hex(8)}"
    await one.write_file(name, b"of another episode")
    with suppress(SandboxFileError):
        return (await other.read_file(name)).decode("utf-8", "replace")
    return "none"


async def _own_host_uids(stage: Stage) -> str:
    one, other = await stage.pair()
    uids = [await stage.host_uid(box) for box in (one, other)]
    return "different" if len(set(uids)) == 2 and min(uids) > USER_UID else "shared"


async def _act_as_the_neighbours_uid(stage: Stage) -> str:
    """By a request of the server's own, should an environment ever be told another uid."""
    one, other = await stage.pair()
    uid = await stage.host_uid(other)
    try:
        result = await one.run(Command(["id", "-u"], user=uid), timeout_s=10)
    except (ValueError, SandboxError):
        return "refused"
    return result.stdout.text.strip() or "refused"


PROBES: dict[str, Callable[[Stage], Awaitable[str]]] = {
    **{f"leak_{name}": _pair(name) for name in _PAIRS[:7]},
    **{f"starve_{name}": _pair(name) for name in _PAIRS[7:]},
    "leave_files_to_the_next": _leave_files_to_the_next,
    "name_of_the_neighbour": _name_of_the_neighbour,
    "read_a_file_of_the_neighbour": _read_a_file_of_the_neighbour,
    "share_host_uids": _own_host_uids,
    "act_as_the_neighbours_uid": _act_as_the_neighbours_uid,
}
