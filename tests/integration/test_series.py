"""A step whose server is gone goes on under the next one, in a real container: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from environments.code import CodeEnvironment
from environments.environment import StepContext, Transition
from environments.tasks import GraderSpec, Task
from envserver.guest.series import LOOSE
from envserver.runtimes.base import MIB, Command, Limits, Sandbox, SandboxGoneError, SandboxSpec
from envserver.runtimes.crun import CrunRuntime
from envserver.runtimes.guest_sandbox import GuestSandbox
from tests.conftest import Node

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

SPEC = SandboxSpec("code", Limits(memory_bytes=512 * MIB), {"purpose": "series"}, ttl_s=600)
TASK = Task("t", "Do it.", GraderSpec("worker"), files={"/workspace/text": b"one two"})
C = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) {
    FILE *marks = fopen("marks", "a");
    fputs("ran\n", marks); fclose(marks);
    puts("begun"); fflush(stdout);
    while (access("gate", F_OK)) usleep(1000);
    puts("ended");
}
"""
PROGRAM = {"type": "run", "language": "c", "code": C}
EDIT = {"type": "edit", "path": "text", "old": "one", "new": "one one"}
CELL = {"type": "python", "code": "n = globals().get('n', 0) + 1; print('ran', file=open('marks', 'a')); n"}


class Server:
    """What one server process has of an episode."""

    def __init__(self, runtime: CrunRuntime, sandbox: GuestSandbox) -> None:
        self.runtime, self.sandbox = runtime, sandbox
        self.environment = CodeEnvironment()

    @classmethod
    async def successor(cls, node: Node, sandbox_id: str, state: dict[str, Any]) -> Server:
        runtime = CrunRuntime(node.run)
        server = cls(runtime, await runtime.adopt(sandbox_id, SPEC))
        server.environment.restore(server.sandbox, TASK, state)
        return server

    async def step(
        self, number: int, action: dict[str, Any], hear: Callable[[str, bytes], None] | None = None
    ) -> Transition:
        with self.sandbox.series(number):
            return await self.environment.step(action, StepContext(60, hear))

    def die_at(self, frame: int) -> None:
        """Once so many requests have been sent, and none of the last one's answer has come."""
        guest, send = self.sandbox._guest, self.sandbox._guest._send

        def counted(*arguments: Any) -> None:
            nonlocal frame
            send(*arguments)
            frame -= 1
            if frame == 0:
                asyncio.get_running_loop().call_soon(guest.close)  # before anything is read again

        guest._send = counted  # type: ignore[method-assign,assignment]

    async def die(self) -> None:
        self.sandbox._guest.close()
        await self.runtime.close()


@asynccontextmanager
async def first_server(node: Node) -> AsyncIterator[Server]:
    """The episode's first; its sandbox is destroyed at the end by whoever is left."""
    runtime = CrunRuntime(node.run)
    server = Server(runtime, await runtime.create(SPEC))
    try:
        await server.environment.reset(server.sandbox, TASK, 0, {})
        yield server
    finally:
        await server.die()
        last = CrunRuntime(node.run)
        await last.destroy(server.sandbox.sandbox_id)
        await last.close()


async def wait_for_file(sandbox: Sandbox, path: str) -> None:
    script = f"until test -e {path}; do sleep 0.01; done"
    assert (await sandbox.run(Command(["sh", "-c", script]), timeout_s=30)).exit_code == 0


async def test_a_program_that_runs_when_its_server_dies_is_waited_for_by_the_next(node: Node) -> None:
    async with first_server(node) as first:
        state, number = first.environment.snapshot(), first.sandbox.reserve_series()
        lost = asyncio.create_task(first.step(number, PROGRAM, lambda *_: None))
        await wait_for_file(first.sandbox, "/workspace/marks")
        await first.die()
        with pytest.raises(SandboxGoneError):
            await lost
        second = await Server.successor(node, first.sandbox.sandbox_id, state)
        heard = bytearray()
        again = asyncio.create_task(second.step(number, PROGRAM, lambda _, data: heard.extend(data)))
        while number << 20 | 3 not in second.sandbox._guest._pending:
            await asyncio.sleep(0)
        await second.sandbox.write_file("/workspace/gate", b"")  # which the agent reads behind it
        transition = await again
        assert transition.observation["stdout"] == "begun\nended\n"
        assert transition.observation["phase"] == "run"
        assert heard.endswith(b"ended\n")
        assert await second.sandbox.read_file("/workspace/marks") == b"ran\n"
        await second.die()


@pytest.mark.parametrize(
    ("action", "calls", "expected"),
    [
        (PROGRAM, 3, {"stdout": "begun\nended\n", "exit_code": 0}),
        (EDIT, 2, {"size_bytes": 11}),
        (CELL, 2, {"result": "1", "session": "live"}),
    ],
    ids=["program", "edit", "cell"],
)
async def test_wherever_the_server_dies_the_step_comes_to_the_same(
    action: dict[str, Any], calls: int, expected: dict[str, Any], node: Node
) -> None:
    for call in range(1, calls + 1):
        async with first_server(node) as first:
            await first.sandbox.write_file("/workspace/gate", b"")
            state, number = first.environment.snapshot(), first.sandbox.reserve_series()
            first.die_at(call)
            with pytest.raises(SandboxGoneError):
                await first.step(number, action)
            second = await Server.successor(node, first.sandbox.sandbox_id, state)
            observation = (await second.step(number, action)).observation
            assert observation | expected == observation
            assert await second.sandbox.read_file("/workspace/text") == (
                b"one one two" if action is EDIT else b"one two"
            )
            if action is not EDIT:
                assert await second.sandbox.read_file("/workspace/marks") == b"ran\n"
            second.sandbox.settle_series(number)
            assert (await second.step(second.sandbox.reserve_series(), CELL)).observation["result"] == "12"[
                action is CELL
            ]
            await second.die()


async def test_files_that_are_looked_at_while_a_step_runs_leave_nothing_in_the_agent(node: Node) -> None:
    async with first_server(node) as first:
        await first.sandbox.write_file("/workspace/large", bytes(2 * MIB))
        number = first.sandbox.reserve_series()
        lost = asyncio.create_task(first.step(number, PROGRAM))
        await wait_for_file(first.sandbox, "/workspace/marks")
        before = first.sandbox.usage().memory_bytes
        for _ in range(30):
            assert len(await first.sandbox.read_file("/workspace/large")) == 2 * MIB
        assert first.sandbox.usage().memory_bytes - before < 8 * MIB
        await first.die()
        with contextlib.suppress(SandboxGoneError):
            await lost
        second = await Server.successor(node, first.sandbox.sandbox_id, first.environment.snapshot())
        hello = second.sandbox._guest._hello.result()
        assert hello.running == (number << 20 | 3,)
        assert hello.kept == (number << 20 | 1, number << 20 | 2)
        assert not [kept for kept in hello.kept if kept >= LOOSE]
        await second.die()
