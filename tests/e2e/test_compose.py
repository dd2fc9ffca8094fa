"""The node as a user has it: `make up`, `make demo` and `make down`, under a project and a port of the test's own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from envserver.images.node import compose_container
from envserver.launcher import cgroups
from envserver_sdk import Client
from envserver_sdk.errors import EpisodeLost
from tests.conftest import ROOT
from tests.e2e.conftest import free_port

pytestmark = [pytest.mark.node, pytest.mark.timeout(1200)]

NODE_NAME = "from envserver.launcher.node import NodeConfig; print(NodeConfig().name)"


@dataclass(frozen=True)
class Project:
    """A Compose project that the Makefile runs."""

    name: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make(self, target: str) -> str:
        """What `make` printed. Raises: AssertionError with it when it failed."""
        settings = {"PROJECT": self.name, "ENVSERVER_PORT": str(self.port), "ENVSERVER_LAYERS_GIB": "2"}
        command = ["make", "--no-print-directory", target]
        result = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def inspect(self, service: str) -> dict[str, Any]:
        described: list[dict[str, Any]] = json.loads(_docker("inspect", compose_container(self.name, service)))
        return described[0]

    def execute(self, service: str, *command: str) -> str:
        return _docker("exec", compose_container(self.name, service), *command)


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    made = Project(f"envservercompose{secrets.token_hex(4)}", free_port())
    try:
        made.make("up")
        yield made
    finally:
        made.make("down")
        volumes = [f"{made.name}_{name}" for name in ("data", "run", "tasks", "journal")]
        subprocess.run(["docker", "volume", "rm", *volumes], check=False)


def test_make_up_ends_when_the_node_plays_episodes(project: Project) -> None:
    with Client(project.url) as client:
        health = client.health()
        assert (health.status, health.runtime, health.live_episodes) == ("ok", "crun", 0)
        with client.create("code", task="HumanEval/0") as episode:
            assert episode.step({"type": "python", "code": "6 * 7"}).observation["result"] == "42"
            usage = episode.step({"type": "bash", "command": "true"}).info
            assert usage.cpu_ms is not None, "the unprivileged server may read the counters"
            assert usage.peak_memory_bytes


def test_make_demo_plays_every_environment_and_shows_rewards_and_times(project: Project) -> None:
    said = project.make("demo")
    rewards = [line.split()[1] for line in said.splitlines() if line.startswith("  reward ")]
    assert rewards[:5] == ["1", "1", "1", "1", "0"], "HumanEval, the last one with a wrong draft"
    assert rewards[5:7] == ["1", "0.5"], "a question that was looked up, and one that was guessed"
    assert float(rewards[7]) >= 475, "CartPole"
    assert rewards[8:] == ["1", "0", "1"], "a page that was clicked, one that was told to pay, and an errand in a shop"
    assert "milliseconds by phase" in said
    assert said.count("HumanEval/") >= 10, "each episode and its row in the table"
    with Client(project.url) as client:
        assert client.list().episodes == []


def test_the_server_holds_no_privilege(project: Project) -> None:
    described = project.inspect("server")
    host = described["HostConfig"]
    assert described["Config"]["User"] == "990:990"
    assert (host["Privileged"], host["ReadonlyRootfs"], host["CapAdd"]) == (False, True, None)
    assert [name.upper() for name in host["CapDrop"]] == ["ALL"]
    assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"])
    assert host["Devices"] in (None, [])
    destinations = {mount["Destination"] for mount in described["Mounts"]}
    assert destinations == {"/run/envserver", "/sys/fs/cgroup", "/tasks", "/var/lib/envserver-journal"}
    assert [mount["Destination"] for mount in described["Mounts"] if not mount["RW"]] == ["/tasks"]
    status = _status(project.execute("server", "cat", "/proc/1/status"))
    assert status["Uid"].split() == ["990"] * 4
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0


def test_the_launcher_has_the_named_capabilities_and_no_network(project: Project) -> None:
    described = project.inspect("launcher")
    host = described["HostConfig"]
    named = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["launcher"]["cap_add"]
    assert host["Privileged"] is False
    assert {name.removeprefix("CAP_") for name in host["CapAdd"]} == set(named)
    assert [name.upper() for name in host["CapDrop"]] == ["ALL"]
    assert host["NetworkMode"] == "none"
    held = _status(project.execute("launcher", "cat", "/proc/1/status"))["CapEff"]
    assert int(held, 16).bit_count() == len(named)
    interfaces = project.execute("launcher", "ls", "/sys/class/net").split()
    assert interfaces == ["lo"]


def _status(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def test_the_server_container_reports_its_health(project: Project) -> None:
    assert json.loads(project.execute("server", "envserver", "health", "--json"))["status"] == "ok"
    assert json.loads(project.execute("launcher", "envserver", "health", "--launcher", "--json"))


def test_make_up_refuses_a_port_that_another_node_has(project: Project) -> None:
    second = Project(f"{project.name}second", project.port)
    with pytest.raises(AssertionError, match="choose another port with ENVSERVER_PORT"):
        second.make("up")
    assert _docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={second.name}") == ""


def test_make_up_again_changes_nothing(project: Project) -> None:
    before = [project.inspect(service)["Id"] for service in ("launcher", "server")]
    project.make("up")
    assert [project.inspect(service)["Id"] for service in ("launcher", "server")] == before


def test_episodes_outlive_make_down_and_make_up(project: Project) -> None:
    with Client(project.url) as client, client.create("code", task="HumanEval/0") as episode:
        episode.step({"type": "python", "code": "kept = [1]; log = open('/workspace/log', 'w')"})
        episode.step({"type": "bash", "command": "X=41; (while sleep 0.1; do echo >> /tmp/ticks; done) & true"})
        project.make("down")
        project.make("up")
        assert client.get(episode.episode_id).state == "hibernated"
        assert (
            episode.step({"type": "python", "code": "kept.append(2); log.write('x'); kept"}).observation["result"]
            == "[1, 2]"
        )
        ticking = "echo $X; a=$(wc -l < /tmp/ticks); sleep 0.5; test $(wc -l < /tmp/ticks) -gt $a && echo ticking"
        assert episode.step({"type": "bash", "command": ticking}).observation["stdout"] == "41\nticking\n"
        assert client.get(episode.episode_id).step_index == 4


def test_episodes_of_a_node_that_lost_its_power_are_lost_and_say_so(project: Project) -> None:
    with Client(project.url) as client:
        episode = client.create("code", task="HumanEval/0")
        episode.step({"type": "python", "code": "kept = 1"})
        for service in ("server", "launcher"):
            _docker("kill", compose_container(project.name, service))
        project.make("down")
        project.make("up")
        assert (client.get(episode.episode_id).state, client.get(episode.episode_id).reason) == ("lost", "sandbox_gone")
        with pytest.raises(EpisodeLost):
            episode.step({"type": "python", "code": "kept"})
        assert episode.grade().reward is None
        episode.close()


def test_make_down_leaves_nothing_though_episodes_live_and_the_server_was_killed(project: Project) -> None:
    with Client(project.url) as client:
        for _ in range(3):
            client.create("code", task="HumanEval/0").step({"type": "bash", "command": "sleep 1000 & true"})
    name = project.execute("launcher", "python3", "-c", NODE_NAME).strip()
    mounts = project.execute("launcher", "cat", "/proc/1/mountinfo")
    loops = [line.split(" - ")[1].split()[1] for line in mounts.splitlines() if " /dev/loop" in line]
    groups = cgroups.leftovers(name)
    processes = [pid for group in groups for pid in cgroups.processes(cgroups.path_for(name, group))]
    assert len(groups) >= 3, "and those of warm sandboxes"
    assert len(processes) >= 9, "an agent, a shell and a job each"
    _docker("kill", compose_container(project.name, "server"))
    assert cgroups.leftovers(name) >= groups, "a warm one may have been made meanwhile"

    project.make("down")
    assert _docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project.name}") == ""
    assert [pid for pid in processes if Path(f"/proc/{pid}").exists()] == []
    assert cgroups.leftovers(name) == set()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/envserver/{name}"))
    assert project.name not in Path("/proc/self/mountinfo").read_text()
    for loop in loops:
        backing = Path("/sys/block") / Path(loop).name / "loop/backing_file"
        assert not backing.exists(), f"{loop} is still there"
