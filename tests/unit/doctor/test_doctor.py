"""Each thing that a node needs, taken away: its check says so and names a remedy. This machine is not touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from envserver.doctor import CHECKS, Finding, Host, Level, Purpose, Ran, Settings, diagnose
from envserver.doctor.checks import BEFORE_UP, MACHINE
from envserver.images.build import NODE_IMAGES

GIB = 1 << 30
SETTINGS = Settings()
KERNEL = "6.18.4-test"
NODE_ID = "f00"
TOOLS = "crun version 1.21\n+SYSTEMD +CRIU +YAJL\nVersion: 4.1.1"
DOCKER = "docker version --format {{.Server.Version}}"
COMPOSE = "docker compose version --short"
OLD_COMPOSE = "docker-compose version --short"
LISTED = "docker image ls --format {{.Repository}}"
IN_LAUNCHER = f"docker exec {NODE_ID}"


def _ps(service: str) -> str:
    labels = "--filter label=com.docker.compose.project=envserver --filter label=com.docker.compose.service="
    return f"docker ps --quiet {labels}{service}"


@dataclass
class Surroundings(Host):
    """A machine on which all is well, as data."""

    python = (3, 11, 2)
    release: str = KERNEL
    variables: dict[str, str] = field(default_factory=dict)
    free: int | None = 50 * GIB
    busy: bool = False
    health: dict[str, Any] | str = field(
        default_factory=lambda: {"status": "ok", "version": "0.1.0", "live_episodes": 3}
    )
    files: dict[str, str] = field(
        default_factory=lambda: {
            "/proc/filesystems": "nodev\ttmpfs\nnodev\toverlay\n\text4\n\tbtrfs\n",
            "/proc/sys/user/max_user_namespaces": "96365\n",
            "/proc/sys/kernel/seccomp/actions_avail": "kill_process errno allow\n",
            "/proc/mounts": "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n"
            "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n"
            "cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0\n",
            "/proc/meminfo": "MemTotal: 24000000 kB\nMemAvailable: 20000000 kB\n",
            "/dev/loop-control": "",
            "/dev/net/tun": "",
            "/sys/block/loop0": "",
            "/sys/block/loop1": "",
            "/sys/block/loop0/loop/backing_file": "/x",
        }
    )
    programs: dict[str, Ran] = field(
        default_factory=lambda: {
            DOCKER: Ran(0, "20.10.24+dfsg1"),
            COMPOSE: Ran(0, "2.20.1"),
            "docker info --format {{.DockerRootDir}}": Ran(0, "/var/lib/docker"),
            LISTED: Ran(0, "\n".join([*(f"envserver/{name}" for name in NODE_IMAGES), "debian"])),
            _ps("launcher"): Ran(0, NODE_ID),
            _ps("server"): Ran(0, NODE_ID),
            f"{IN_LAUNCHER} sh -c crun --version; criu --version": Ran(0, TOOLS),
            f"{IN_LAUNCHER} envserver health --launcher": Ran(0, "{}"),
            f"{IN_LAUNCHER} envserver images ls --json": Ran(
                0, json.dumps([{"names": [name]} for name in ("code", "busybox", "gym", "tools", "browser")])
            ),
        }
    )
    asked: list[str] = field(default_factory=list)

    @property
    def kernel(self) -> str:
        return self.release

    def variable(self, name: str) -> str | None:
        return self.variables.get(name)

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def exists(self, path: str) -> bool:
        return path in self.files

    def names(self, path: str) -> list[str]:
        inside = [name.removeprefix(f"{path}/") for name in self.files if name.startswith(f"{path}/")]
        return sorted({name.partition("/")[0] for name in inside})

    def free_bytes(self, path: str) -> int | None:
        return self.free

    def run(self, *argv: str) -> Ran:
        self.asked.append(" ".join(argv))
        return self.programs.get(" ".join(argv), Ran(127, stderr=f"there is no `{argv[0]}` command"))

    def refuses_to_listen(self, host: str, port: int) -> str | None:
        return "Address already in use" if self.busy else None

    def get(self, url: str) -> dict[str, Any] | str:
        return self.health

    def without(self, *paths: str) -> Surroundings:
        self.files = {path: text for path, text in self.files.items() if path not in paths}
        return self

    def writing(self, path: str, text: str) -> Surroundings:
        self.files[path] = text
        return self

    def saying(self, command: str, ran: Ran) -> Surroundings:
        self.programs[command] = ran
        return self

    def having(self, **changes: Any) -> Surroundings:
        for name, value in changes.items():
            setattr(self, name, value)
        return self


def find(host: Host, purpose: Purpose = Purpose.ALL) -> dict[str, Finding]:
    return {finding.name: finding for finding in diagnose(host, SETTINGS, purpose)}


def test_where_nothing_is_missing_everything_is_ok() -> None:
    findings = find(Surroundings())
    assert len(findings) == len(CHECKS) == 19
    assert {finding.level for finding in findings.values()} == {Level.OK}
    assert findings["loop devices"].detail.startswith("1 of 2 free")


Change = Callable[[Surroundings], Surroundings]

MISSING: list[tuple[str, Change, str, Level, str]] = [
    ("python", lambda h: h.having(python=(3, 10, 4)), "3.10.4", Level.FAIL, "Python 3.11"),
    ("docker", lambda h: h.having(programs={}), "no `docker`", Level.FAIL, "apt-get install docker.io"),
    (
        "docker",
        lambda h: h.saying(DOCKER, Ran(1, stderr="Cannot connect to the Docker daemon")),
        "Cannot connect",
        Level.FAIL,
        "start the Docker daemon",
    ),
    (
        "docker",
        lambda h: h.having(variables={"DOCKER_HOST": "tcp://gone:1"}).saying(DOCKER, Ran(1, stderr="no such host")),
        "no such host",
        Level.FAIL,
        "tcp://gone:1",
    ),
    ("docker", lambda h: h.saying(DOCKER, Ran(0, "19.03.1")), "19.03", Level.FAIL, "20.10"),
    (
        "compose",
        lambda h: h.saying(COMPOSE, Ran(1)).saying(OLD_COMPOSE, Ran(127)),
        "neither",
        Level.FAIL,
        "compose plugin",
    ),
    (
        "compose",
        lambda h: h.saying(COMPOSE, Ran(1)).saying(OLD_COMPOSE, Ran(0, "1.25.0")),
        "too old",
        Level.FAIL,
        "v1.29",
    ),
    ("kernel", lambda h: h.having(release="5.10.0-28-amd64"), "id-mapped", Level.FAIL, "5.19"),
    ("kernel", lambda h: h.having(release="5.15.0-1-generic"), "beneath overlayfs", Level.FAIL, "5.19"),
    ("overlay", lambda h: h.writing("/proc/filesystems", "\tbtrfs"), "no overlay", Level.FAIL, "modprobe overlay"),
    ("btrfs", lambda h: h.writing("/proc/filesystems", "\toverlay"), "no btrfs", Level.FAIL, "modprobe btrfs"),
    (
        "user namespaces",
        lambda h: h.writing("/proc/sys/user/max_user_namespaces", "0"),
        "switched off",
        Level.FAIL,
        "sysctl",
    ),
    (
        "user namespaces",
        lambda h: h.without("/proc/sys/user/max_user_namespaces"),
        "max_user_namespaces",
        Level.FAIL,
        "CONFIG_USER_NS",
    ),
    (
        "seccomp",
        lambda h: h.without("/proc/sys/kernel/seccomp/actions_avail"),
        "no filters",
        Level.FAIL,
        "CONFIG_SECCOMP",
    ),
    (
        "cgroups",
        lambda h: h.writing("/proc/mounts", "cgroup /x cgroup rw,cpu,pids 0 0"),
        "without memory",
        Level.FAIL,
        "cgroup_enable=memory",
    ),
    ("cgroups", lambda h: h.without("/proc/mounts"), "none mounted", Level.FAIL, "systemd"),
    (
        "cgroups",
        lambda h: h.writing("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids"),
        "version 2",
        Level.WARN,
        "unified_cgroup_hierarchy",
    ),
    (
        "cgroups",
        lambda h: h.writing("/sys/fs/cgroup/cgroup.controllers", "cpu pids"),
        "without memory",
        Level.FAIL,
        "memory",
    ),
    ("loop devices", lambda h: h.without("/dev/loop-control"), "loop-control", Level.FAIL, "modprobe loop"),
    ("tun", lambda h: h.without("/dev/net/tun"), "/dev/net/tun", Level.FAIL, "modprobe tun"),
    (
        "memory",
        lambda h: h.writing("/proc/meminfo", "MemAvailable: 100000 kB"),
        "no episode starts",
        Level.FAIL,
        "free memory",
    ),
    ("memory", lambda h: h.writing("/proc/meminfo", "MemAvailable: 1000000 kB"), "GiB", Level.WARN, "free memory"),
    ("memory", lambda h: h.without("/proc/meminfo"), "does not say", Level.WARN, "/proc"),
    ("disk", lambda h: h.having(free=3 * GIB), "3.0 GiB", Level.FAIL, "docker system df"),
    (
        "disk",
        lambda h: h.having(free=10 * GIB).saying(_ps("launcher"), Ran(0)),
        "want 20",
        Level.WARN,
        "ENVSERVER_LAYERS_GIB",
    ),
    ("disk", lambda h: h.having(free=None), "cannot be seen", Level.WARN, "/var/lib/docker"),
    (
        "port",
        lambda h: h.having(busy=True).saying(_ps("server"), Ran(0)),
        "Address already in use",
        Level.FAIL,
        "ENVSERVER_PORT",
    ),
    ("images", lambda h: h.saying(LISTED, Ran(0, "envserver/node")), "code, busybox, gym", Level.WARN, "images build"),
    (
        "crun, CRIU",
        lambda h: h.saying(f"{IN_LAUNCHER} sh -c crun --version; criu --version", Ran(127, stderr="sh: 1: crun: n")),
        "no crun",
        Level.FAIL,
        "crun and criu",
    ),
    (
        "crun, CRIU",
        lambda h: h.saying(f"{IN_LAUNCHER} sh -c crun --version; criu --version", Ran(127, "crun version 1.2\n+CRIU")),
        "no process checkpoints",
        Level.WARN,
        "criu",
    ),
    (
        "crun, CRIU",
        lambda h: h.saying(f"{IN_LAUNCHER} sh -c crun --version; criu --version", Ran(0, TOOLS.replace("+CRIU ", ""))),
        "without CRIU",
        Level.WARN,
        "build node",
    ),
    (
        "crun, CRIU",
        lambda h: h.saying(_ps("launcher"), Ran(0)),
        "not built",
        Level.WARN,
        "images build node",
    ),
    ("launcher", lambda h: h.saying(_ps("launcher"), Ran(0)), "none runs", Level.WARN, "make up"),
    (
        "launcher",
        lambda h: h.saying(f"{IN_LAUNCHER} envserver health --launcher", Ran(3, stderr="no socket")),
        "no socket",
        Level.FAIL,
        "logs launcher",
    ),
    ("server", lambda h: h.having(health="refused").saying(_ps("server"), Ran(0)), "refused", Level.WARN, "make up"),
    ("server", lambda h: h.having(health="refused"), "refused", Level.FAIL, "logs server"),
    ("server", lambda h: h.having(health={"status": "unavailable"}), "unavailable", Level.FAIL, "launcher"),
    (
        "imported images",
        lambda h: h.saying(f"{IN_LAUNCHER} envserver images ls --json", Ran(0, '[{"names": ["code"]}]')),
        "busybox",
        Level.FAIL,
        "images sync",
    ),
    (
        "imported images",
        lambda h: h.saying(f"{IN_LAUNCHER} envserver images ls --json", Ran(1)),
        "does not list",
        Level.FAIL,
        "launcher",
    ),
    ("imported images", lambda h: h.saying(_ps("launcher"), Ran(0)), "no launcher", Level.WARN, "make up"),
]


@pytest.mark.parametrize(("name", "change", "detail", "level", "remedy"), MISSING, ids=lambda value: str(value)[:20])
def test_each_missing_thing_is_found_and_has_a_remedy(
    name: str, change: Change, detail: str, level: Level, remedy: str
) -> None:
    finding = find(change(Surroundings()))[name]
    assert finding.level is level, finding
    assert detail in finding.detail
    assert remedy in finding.remedy


def test_every_check_is_tried_with_its_thing_missing() -> None:
    assert {finding.name for finding in diagnose(Surroundings(), SETTINGS)} == {case[0] for case in MISSING}


def test_a_module_that_can_be_loaded_is_enough() -> None:
    host = Surroundings().writing("/proc/filesystems", "\text4")
    host.writing(f"/lib/modules/{KERNEL}/modules.dep", "kernel/fs/btrfs/btrfs.ko.xz: kernel/lib/x.ko\n")
    host.writing(f"/lib/modules/{KERNEL}/modules.builtin", "kernel/fs/overlayfs/overlay.ko\n")
    findings = find(host)
    assert findings["btrfs"].level is findings["overlay"].level is Level.OK


def test_a_hybrid_of_both_versions_is_told() -> None:
    host = Surroundings()
    host.files["/proc/mounts"] += "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    assert find(host)["cgroups"].detail == "hybrid"


def test_a_running_node_holds_its_port_and_has_taken_its_disk() -> None:
    findings = find(Surroundings(busy=True, free=6 * GIB))
    assert findings["port"].level is findings["disk"].level is Level.OK


def test_the_tools_are_looked_for_in_the_image_while_no_node_runs() -> None:
    host = Surroundings().saying(_ps("launcher"), Ran(0))
    image = "envserver/node:latest"
    host.saying(f"docker image inspect --format {{{{.Id}}}} {image}", Ran(0, "sha256:1"))
    script = "crun --version; criu --version"
    host.saying(f"docker run --rm --network none --entrypoint sh {image} -c {script}", Ran(0, TOOLS))
    assert find(host)["crun, CRIU"].detail == "crun 1.21, CRIU 4.1.1"


def test_without_an_engine_nothing_else_is_blamed_on_it() -> None:
    findings = find(Surroundings().having(programs={}))
    assert [finding.name for finding in findings.values() if finding.level is Level.FAIL] == ["docker"]
    assert "compose" not in findings


def test_an_engine_on_another_machine_says_nothing_of_this_kernel() -> None:
    host = Surroundings(release="4.19.0", variables={"DOCKER_HOST": "ssh://far"}).without("/dev/loop-control")
    assert not {"kernel", "loop devices"} & set(find(host))


def test_inside_a_node_no_docker_is_needed() -> None:
    host = Surroundings(programs={}, health="refused").writing("/usr/lib/envserver/agent", "")
    host.saying("sh -c crun --version; criu --version", Ran(0, TOOLS))
    host.saying("envserver health --launcher", Ran(0, "{}"))
    host.saying("envserver images ls --json", Ran(0, '[{"names": ["code", "busybox", "gym", "tools", "browser"]}]'))
    findings = find(host)
    assert "docker" not in findings
    assert {finding.name for finding in findings.values() if finding.level is not Level.OK} == {"server"}


def test_before_a_node_is_started_docker_is_asked_once() -> None:
    host = Surroundings()
    assert len(find(host, Purpose.UP)) == len(BEFORE_UP) == len(MACHINE) + 2
    assert host.asked == [DOCKER]
