"""Fixtures that real containers need: a node of the suite's own, and a runtime on it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_asyncio
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from envserver.images import compose
from envserver.images.node import compose_container, import_built_images
from envserver.launcher.client import LauncherClient
from envserver.runtimes.crun import CrunRuntime
from envserver.runtimes.docker import DockerRuntime

ROOT = Path(__file__).resolve().parent.parent

# The same examples each time: a change is judged by what it changed. `--hypothesis-profile default` looks for new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")


@dataclass(frozen=True)
class Node:
    """A launcher in a container, its sockets in `run`."""

    project: str
    run: Path
    container: str

    def docker(self, *arguments: str) -> str:
        return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


def _compose(project: str, run: Path, *arguments: str, failpoints: str = "") -> None:
    command = compose.command()
    assert command is not None, "Compose is missing"
    environment = {
        **os.environ,
        "ENVSERVER_TEST_UID": str(os.getuid()),
        "ENVSERVER_TEST_GID": str(os.getgid()),
        "ENVSERVER_TEST_RUN": str(run),
        "ENVSERVER_TEST_FAILPOINTS": failpoints,
    }
    files = ("-f", "docker-compose.yml", "-f", "tests/node.yml")
    subprocess.run(
        [*command, "-p", project, *files, *arguments], cwd=ROOT, env=environment, check=True, capture_output=True
    )


@contextmanager
def started_node(*, failpoints: str = "") -> Iterator[Node]:
    """A launcher of its own in its own container. Images are imported once and kept in a volume that all share.

    `failpoints` is the container's path of the file that arms the launcher's (envserver/failpoints.py).
    """
    # Short, since a unix socket's path has at most 107 bytes.
    run = Path(tempfile.mkdtemp(prefix="envserver-", dir="/tmp"))
    run.chmod(0o755)
    project = f"envservertest{secrets.token_hex(4)}"
    try:
        _compose(project, run, "up", "-d", "launcher", failpoints=failpoints)
        container = compose_container(project)
        _wait_for_launcher(run)
        import_built_images(container, lambda _: None)
        yield Node(project, run, container)
        logs = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=False)
        (ROOT / ".build").mkdir(exist_ok=True)
        (ROOT / ".build" / "test-launcher.log").write_text(logs.stdout + logs.stderr)
    finally:
        _compose(project, run, "down")
        volumes = (f"{project}_{name}" for name in ("data", "run", "tasks", "journal"))
        subprocess.run(["docker", "volume", "rm", *volumes], check=False, capture_output=True)
        shutil.rmtree(run, ignore_errors=True)


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """One launcher for the whole run.

    ENVSERVER_TEST_NODE=CONTAINER:RUN_DIRECTORY names one that runs already, to try a change without a build.
    """
    if running := os.environ.get("ENVSERVER_TEST_NODE"):
        container, _, directory = running.partition(":")
        yield Node("", Path(directory), container)
        return
    with started_node() as started:
        yield started


def _wait_for_launcher(run: Path, timeout_s: float = 60.0) -> None:
    import time

    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with LauncherClient(run) as client:
                client.call("health")
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest_asyncio.fixture
async def runtime(node: Node) -> AsyncIterator[CrunRuntime]:
    made = CrunRuntime(node.run)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def docker_runtime(node: Node) -> AsyncIterator[DockerRuntime]:
    made = DockerRuntime(node.run)
    yield made
    await made.close()


WITHOUT_A_NODE = ("tests/unit/", "tests/fuzz/", "tests/integration/test_guest_agent.py")


class OneForTheMachine(LoadScopeScheduling):  # type: ignore[misc]
    """Of several processes one has all tests that need the machine, one after the other.

    The others have those that need little but the processor, a file at a time.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith(WITHOUT_A_NODE) else "machine"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneForTheMachine:
    return OneForTheMachine(config, log)
