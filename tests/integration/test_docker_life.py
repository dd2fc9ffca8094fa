"""Docker sandboxes through failures: a step that fails, a launcher or its container killed, a deadline, the end."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from envserver.runtimes.base import Command, Sandbox
from envserver.runtimes.conformance import spec
from envserver.runtimes.docker import DockerRuntime
from tests.conftest import Node
from tests.integration.test_launcher_killed import call, eventually, kill_launcher

pytestmark = pytest.mark.node

PROGRAM = Path(__file__).with_name("fail_docker_steps.py")


@pytest_asyncio.fixture
async def runtime(private_node: Node) -> AsyncIterator[DockerRuntime]:
    made = DockerRuntime(private_node.run)
    yield made
    await made.close()


def listed(node: Node) -> list[dict[str, Any]]:
    """What a launcher says that it has, once it answers."""
    found: list[dict[str, Any]] = eventually(lambda: call(node, "list", runtime="docker"))["sandboxes"]
    return found


def containers(node: Node, label: str) -> list[str]:
    return node.docker("ps", "--all", "--quiet", "--filter", f"label={label}").split()


def left_over(node: Node) -> list[str]:
    """What a node has of docker sandboxes: containers, subvolumes, directories."""
    found = node.docker("exec", node.container, "ls", "/var/lib/envserver/layers", "/run/envserver/docker").split()
    own = containers(node, f"envserver.node={call(node, 'health')['node']}")
    return [*own, *(name for name in found if re.search(r"\b[0-9a-f]{16}\b", name))]


@pytest.fixture
def nothing_left(private_node: Node) -> Iterator[None]:
    yield
    assert eventually(lambda: left_over(private_node)) == []


async def said(box: Sandbox, *command: str) -> str:
    return (await box.run(Command(command), timeout_s=10)).stdout.text


def test_a_failure_of_any_step_leaves_nothing(private_node: Node) -> None:
    command = ["docker", "exec", "-i", private_node.container, "python", "-"]
    with PROGRAM.open() as program:
        done = subprocess.run(command, stdin=program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["left"] == {}
    assert len(found["steps"]) == 18, "each step was made to fail"


async def test_the_next_launcher_takes_over_what_runs_and_removes_what_does_not(
    private_node: Node, runtime: DockerRuntime, nothing_left: None
) -> None:
    box = await runtime.create(replace(spec(), labels={"episode": "e7"}))
    lost = await runtime.create(spec())
    await box.write_file("/workspace/mine", b"kept")
    (before,) = (entry for entry in listed(private_node) if entry["sandbox_id"] == box.sandbox_id)
    kill_launcher(private_node)
    private_node.docker("kill", *containers(private_node, f"envserver.sandbox={lost.sandbox_id}"))
    assert await asyncio.to_thread(listed, private_node) == [before]
    assert await said(box, "cat", "/workspace/mine") == "kept"
    new = await runtime.create(spec())
    assert await said(box, "id", "-u") != await said(new, "id", "-u"), "an adopted sandbox keeps its uid to itself"
    await asyncio.gather(box.destroy(), new.destroy())


async def test_sandboxes_outlive_the_launchers_container(
    private_node: Node, runtime: DockerRuntime, nothing_left: None
) -> None:
    """The next container finds the file system mounted for them, and may not open a second device over its file."""
    box = await runtime.create(spec())
    await box.write_file("/workspace/mine", b"kept")
    before = await said(box, "grep", " /workspace ", "/proc/self/mounts")
    private_node.docker("kill", private_node.container)
    private_node.docker("start", private_node.container)
    assert [entry["sandbox_id"] for entry in await asyncio.to_thread(listed, private_node)] == [box.sandbox_id]
    assert await said(box, "cat", "/workspace/mine") == "kept"
    new = await runtime.create(spec())
    after = await said(new, "grep", " /workspace ", "/proc/self/mounts")
    assert after.split()[0] == before.split()[0]
    await asyncio.gather(box.destroy(), new.destroy())


async def test_a_sandbox_ends_at_its_deadline(private_node: Node, runtime: DockerRuntime, nothing_left: None) -> None:
    box = await runtime.create(replace(spec(), ttl_s=1.0))
    async with asyncio.timeout(20):
        while not box.gone:
            await asyncio.sleep(0.05)
    assert await runtime.list() == []


async def test_the_end_of_the_node_ends_its_sandboxes(private_node: Node, runtime: DockerRuntime) -> None:
    await runtime.create(spec())
    own = f"envserver.node={call(private_node, 'health')['node']}"
    assert len(containers(private_node, own)) == 1
    private_node.docker("stop", private_node.container)
    assert containers(private_node, own) == []
    private_node.docker("start", private_node.container)
    assert await asyncio.to_thread(listed, private_node) == []
    assert eventually(lambda: left_over(private_node)) == []
