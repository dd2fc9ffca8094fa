"""The launcher as a program of the host, in a mount namespace of its own: docker sandboxes, and no mount is seen."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envserver.images.build import docker
from envserver.launcher.client import LauncherClient
from envserver.runtimes.base import Command
from envserver.runtimes.conformance import sandbox
from envserver.runtimes.docker import DockerRuntime
from tests.integration.test_launcher_killed import eventually

CAN = os.geteuid() == 0 and shutil.which("mkfs.btrfs") is not None and shutil.which("unshare") is not None
pytestmark = [pytest.mark.node, pytest.mark.skipif(not CAN, reason="needs root and btrfs-progs on this host")]


@pytest.fixture
def directory() -> Iterator[Path]:
    # Short, since a unix socket's path has at most 107 bytes.
    made = Path(tempfile.mkdtemp(prefix="envserver-", dir="/tmp"))
    made.chmod(0o755)
    for name in ("data", "run"):
        (made / name).mkdir()
    container = docker("create", "envserver/agent:latest", "agent")
    docker("cp", f"{container}:/agent", str(made / "agent"))
    docker("rm", container)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def run(directory: Path) -> Iterator[Path]:
    """The run directory of a launcher that has the busybox image."""
    paths = {"--data": directory / "data", "--run": directory / "run", "--agent": directory / "agent"}
    options = [word for name, path in paths.items() for word in (name, str(path))]
    ids = ["--server-uid", str(os.getuid()), "--server-gid", str(os.getgid()), "--layers-gib", "3"]
    program = [sys.executable, "-m", "envserver.cli", "launcher", *options, *ids]
    with (directory / "log").open("wb") as log:
        launcher = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", *program], stdout=log, stderr=log
        )
    try:
        with eventually(lambda: LauncherClient(directory / "run")) as client:
            archive = subprocess.run(["docker", "save", "envserver/busybox:latest"], check=True, capture_output=True)
            (directory / "archive").write_bytes(archive.stdout)
            with (directory / "archive").open("rb") as file:
                client.import_image(file, "busybox")
        yield directory / "run"
    finally:
        launcher.send_signal(signal.SIGINT)
        launcher.wait(30)


async def test_sandboxes_work_and_the_host_sees_no_mount_of_the_launcher(run: Path) -> None:
    runtime = DockerRuntime(run)
    async with sandbox(runtime) as box:
        await box.write_file("/workspace/made", b"on the host")
        assert (await box.run(Command(["cat", "/workspace/made"]), timeout_s=10)).stdout.data == b"on the host"
        points = Path("/proc/self/mountinfo").read_text()  # noqa: ASYNC240  # no disk is asked
        assert str(run.parent) not in points
        assert "envserver-work" not in points
    await runtime.close()
