"""`auto` takes the better runtime of those that can work, and says why; each thing that may be missing is named."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from envserver.launcher.abilities import crun_problem
from envserver.launcher.docker.engine import Engine
from envserver.runtimes.base import RuntimeUnavailableError
from envserver.runtimes.choose import choose


def works() -> None:
    """What a kernel with mounts with an id map does."""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A PATH with these programs alone: `programs(crun=0, criu=1)` by their exit status."""

    def make(**statuses: int) -> None:
        for name, status in statuses.items():
            (tmp_path / name).write_text(f"#!/bin/sh\necho the kernel lacks it >&2\nexit {status}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return make


def test_crun_can_work_where_nothing_is_missing(programs: Callable[..., None]) -> None:
    programs(crun=0, criu=0)
    assert crun_problem(works) is None


@pytest.mark.parametrize("missing", ["crun", "criu"])
def test_a_missing_program_is_named(programs: Callable[..., None], missing: str) -> None:
    programs(**{name: 0 for name in ("crun", "criu") if name != missing})
    assert crun_problem(works) == f"{missing} is not installed"


def test_what_criu_lacks_is_told(programs: Callable[..., None]) -> None:
    programs(crun=0, criu=1)
    assert crun_problem(works) == "criu check: the kernel lacks it"


def test_a_kernel_without_id_maps_is_told(programs: Callable[..., None]) -> None:
    def fails() -> None:
        raise OSError(22, "mount_setattr")

    programs(crun=0, criu=0)
    assert "mount_setattr" in str(crun_problem(fails))


def test_an_engine_that_is_not_there_is_told(tmp_path: Path) -> None:
    problem = Engine(tmp_path / "none").problem()
    assert problem == f"there is no Engine at {tmp_path / 'none'}: No such file or directory"


def test_an_engine_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
        assert str(Engine(tmp_path / "dead").problem()).endswith("Connection refused")


@pytest.mark.node
def test_an_oci_runtime_that_the_engine_has_not_is_told() -> None:
    socket = Path("/var/run/docker.sock")
    with closing(Engine(socket, "kata")) as engine:
        assert "has no OCI runtime 'kata'; it has" in str(engine.problem())
    with closing(Engine(socket, "runc")) as engine:
        assert engine.problem() is None


@pytest.mark.parametrize(
    ("crun", "docker", "name", "reason"),
    [
        (None, None, "crun", "work here"),
        (None, "no Engine", "crun", "work here"),
        ("criu is not installed", None, "docker", "criu is not installed"),
    ],
)
def test_auto_takes_crun_then_docker_and_says_why(crun: str | None, docker: str | None, name: str, reason: str) -> None:
    choice = choose("auto", {"crun": crun, "docker": docker})
    assert choice.name == name
    assert reason in choice.reason


def test_without_either_both_reasons_are_told() -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"crun: criu is not installed. docker: there is no Engine"):
        choose("auto", {"crun": "criu is not installed", "docker": "there is no Engine"})


@pytest.mark.parametrize("wanted", ["crun", "docker"])
def test_a_configured_runtime_is_taken_or_refused_and_never_replaced(wanted: str) -> None:
    other = "docker" if wanted == "crun" else "crun"
    assert choose(wanted, {wanted: None, other: None}).name == wanted
    with pytest.raises(RuntimeUnavailableError, match=f"the runtime {wanted} is configured and cannot work: broken"):
        choose(wanted, {wanted: "broken", other: None})
