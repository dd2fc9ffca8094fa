"""The node of docker-compose.docker.yml: the launcher reaches the Engine, the server does not, episodes play."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envserver.images.node import compose_container
from envserver_sdk import Client
from tests.conftest import ROOT
from tests.e2e.conftest import free_port

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


def make(target: str, project: str, **settings: str) -> None:
    files = "COMPOSE_FILES=docker-compose.yml docker-compose.docker.yml"
    command = ["make", "--no-print-directory", target, f"PROJECT={project}", files]
    environment = {**os.environ, "ENVSERVER_RUNTIME": "docker", "ENVSERVER_LAYERS_GIB": "2", **settings}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def state() -> Iterator[Path]:
    # Short, since a unix socket's path has at most 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="envserver-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def test_episodes_play_on_the_engine_and_make_down_ends_them(state: Path) -> None:
    project, port = f"envserverondocker{secrets.token_hex(4)}", free_port()
    settings = {"ENVSERVER_PORT": str(port), "ENVSERVER_STATE": str(state)}
    try:
        make("up", project, **settings)
        with Client(f"http://127.0.0.1:{port}") as client:
            health = client.health()
            assert (health.status, health.runtime, health.runtime_reason) == ("ok", "docker", "it is configured")
            episode = client.create("code", task="HumanEval/0")
            step = episode.step({"type": "python", "code": "6 * 7"})
            assert step.observation["result"] == "42"
            assert step.info.cpu_ms is not None, "the unprivileged server may read the counters"
        server: dict[str, Any] = json.loads(docker("inspect", compose_container(project, "server")))[0]
        assert server["Config"]["User"] == "990:990"
        assert not any("docker" in mount["Source"] for mount in server["Mounts"] if mount["Type"] == "bind")
        (node,) = _labels("envserver.node", {str(state)})
        assert len(_containers(node)) >= 1
    finally:
        make("down", project, **settings)
        volumes = (f"{project}_{name}" for name in ("data", "run", "tasks", "journal"))
        subprocess.run(["docker", "volume", "rm", *volumes], check=False, capture_output=True)
    assert _containers(node) == []


def _containers(node: str) -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", f"label=envserver.node={node}").split()


def _labels(label: str, sources: set[str]) -> set[str]:
    """The values of a label on containers that have a bind mount from below one of these directories."""
    found = docker("ps", "--all", "--quiet", "--filter", f"label={label}").split()
    described: list[dict[str, Any]] = json.loads(docker("inspect", *found)) if found else []
    return {
        each["Config"]["Labels"][label]
        for each in described
        if any(mount["Source"].startswith(tuple(sources)) for mount in each["Mounts"])
    }
