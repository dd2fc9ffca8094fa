"""The launcher killed at the very moments between two writes, and what its caller makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from envserver.runtimes.base import Command, RuntimeUnavailableError, SandboxState
from envserver.runtimes.conformance import ECHO, spec
from envserver.runtimes.crun import CrunRuntime
from tests.conftest import Node, started_node

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def failing_node() -> Iterator[Node]:
    with started_node(failpoints="/run/envserver/failpoints") as node:
        yield node


@pytest_asyncio.fixture
async def failing_runtime(failing_node: Node) -> AsyncIterator[CrunRuntime]:
    made = CrunRuntime(failing_node.run)
    yield made
    await made.close()


def kill_at(node: Node, point: str) -> None:
    (node.run / "failpoints.fired").unlink(missing_ok=True)
    (node.run / "failpoints").write_text(f"{point}=kill")


def fired(node: Node) -> str:
    (node.run / "failpoints").unlink()
    return (node.run / "failpoints.fired").read_text()


@pytest.mark.parametrize("point", ["dumped", "recorded", "killed"])
async def test_hibernating_is_done_or_was_not_begun(
    failing_node: Node, failing_runtime: CrunRuntime, point: str
) -> None:
    box = await failing_runtime.create(spec())
    session = await box.open_session("s", Command(["/bin/sh", "-c", ECHO]))
    await session.call(b"x=41; reply=ok", timeout_s=5)
    kill_at(failing_node, f"launcher.hibernate.{point}")
    try:
        await failing_runtime.hibernate(box)
        expected = SandboxState.HIBERNATED
    except RuntimeUnavailableError:
        expected = SandboxState.RUNNING
        assert (await session.call(b"reply=$x", timeout_s=10)).message == b"41"
        await box.detach()
    assert fired(failing_node) == f"launcher.hibernate.{point}"
    assert (expected is SandboxState.RUNNING) == (point == "dumped")
    assert [info.state for info in await failing_runtime.list()] == [expected]
    woken = await failing_runtime.adopt(box.sandbox_id, spec())
    assert (await woken.attach_session("s").call(b"reply=$x", timeout_s=10)).message == b"41"
    await woken.destroy()


@pytest.mark.parametrize("point", ["pause.recorded", "pause.frozen", "resume.recorded"])
async def test_pausing_and_resuming_come_to_their_end(
    failing_node: Node, failing_runtime: CrunRuntime, point: str
) -> None:
    box = await failing_runtime.create(spec())
    kill_at(failing_node, f"launcher.{point}")
    await failing_runtime.pause(box)
    assert [info.state for info in await failing_runtime.list()] == [SandboxState.PAUSED]
    await failing_runtime.resume(box)
    assert (await box.run(Command(["echo", "on"]), timeout_s=5)).stdout.text == "on\n"
    assert fired(failing_node) == f"launcher.{point}"
    await box.destroy()
