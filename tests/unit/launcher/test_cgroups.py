"""Control groups on trees made of plain files: version 1 and version 2 behave alike to their callers."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from envserver.launcher import cgroups

PATH = cgroups.path_for("node", "0123456789abcdef")
V1 = ("cpu", "cpuacct", "memory", "pids", "freezer")


@pytest.fixture(autouse=True)
def _no_hybrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "HYBRID", tmp_path / "no-such-mount")


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


def version_1(root: Path, path: str = PATH) -> Path:
    group = path.lstrip("/")
    write(
        root,
        {
            f"cpuacct/{group}/cpuacct.usage": "1500000000\n",
            f"memory/{group}/memory.usage_in_bytes": "4096\n",
            f"memory/{group}/memory.max_usage_in_bytes": "8192\n",
            f"memory/{group}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            f"pids/{group}/pids.events": "max 7\n",
            f"pids/{group}/cgroup.procs": "101\n0\n102\n",
            f"freezer/{group}/freezer.state": "THAWED\n",
        },
    )
    return root


def version_2(root: Path, path: str = PATH) -> Path:
    group = path.lstrip("/")
    write(
        root,
        {
            "cgroup.controllers": "cpu memory pids\n",
            f"{group}/cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
            f"{group}/memory.current": "4096\n",
            f"{group}/memory.peak": "8192\n",
            f"{group}/memory.events": "low 0\noom 4\noom_kill 3\n",
            f"{group}/pids.events": "max 7\n",
            f"{group}/cgroup.procs": "101\n0\n102\n",
            f"{group}/cgroup.freeze": "0\n",
            f"{group}/cgroup.events": "populated 1\nfrozen 0\n",
        },
    )
    return root


TREES = pytest.mark.parametrize("make", [version_1, version_2])


@TREES
def test_usage_is_read_alike(make: type, tmp_path: Path) -> None:
    reader = cgroups.UsageReader(PATH, make(tmp_path))
    assert reader.read() == cgroups.GroupUsage(1.5, 4096, 8192, oom_kills=3, pids_denied=7)
    reader.reset_peak()
    assert reader.read().memory_peak_bytes == int("0192"), "written at the start of the file, as the kernel wants"
    reader.close()
    reader.close()


@TREES
def test_a_group_that_is_gone_cannot_be_read_and_leaks_nothing(make: type, tmp_path: Path) -> None:
    make(tmp_path)
    for file in tmp_path.rglob("pids.events"):
        file.unlink()
    with pytest.raises(FileNotFoundError):
        cgroups.UsageReader(PATH, tmp_path)  # keeps the hierarchies' own descriptors
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        cgroups.UsageReader(PATH, tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@TREES
def test_processes_outside_our_namespace_are_not_named(make: type, tmp_path: Path) -> None:
    assert cgroups.processes(PATH, make(tmp_path)) == [101, 102]
    assert cgroups.processes("/envserver/node/other", tmp_path) == []


@TREES
def test_leftovers_are_found_in_any_hierarchy(make: type, tmp_path: Path) -> None:
    make(tmp_path)
    make(tmp_path, cgroups.path_for("another", "ffffffffffffffff"))
    assert cgroups.leftovers("node", tmp_path) == {"0123456789abcdef"}
    assert cgroups.leftovers("none", tmp_path) == set()


def _empty_groups(root: Path, hierarchies: tuple[str, ...]) -> None:
    for hierarchy in hierarchies:
        (root / hierarchy / PATH.lstrip("/") / "criu-left-this").mkdir(parents=True)


@pytest.mark.parametrize("v2", [False, True], ids=["version 1", "version 2"])
def test_a_group_and_those_below_it_are_removed_and_others_stay(v2: bool, tmp_path: Path) -> None:
    hierarchies = ("",) if v2 else V1
    if v2:
        (tmp_path / "cgroup.controllers").touch()
    _empty_groups(tmp_path, hierarchies)
    for hierarchy in hierarchies:
        (tmp_path / hierarchy / "envserver/node/other").mkdir()
    cgroups.remove(PATH, tmp_path)
    assert cgroups.leftovers("node", tmp_path) == {"other"}
    cgroups.remove(PATH, tmp_path)


def test_a_group_that_stays_busy_is_an_error(tmp_path: Path) -> None:
    (version_2(tmp_path) / PATH.lstrip("/") / "cgroup.procs").write_text("")  # files make rmdir fail, as members would
    with pytest.raises(OSError, match="not empty"):
        cgroups.remove(PATH, tmp_path, patience_s=0.01)


@pytest.mark.parametrize("v2", [False, True], ids=["version 1", "version 2"])
def test_a_node_s_groups_are_released_unless_they_are_used(v2: bool, tmp_path: Path) -> None:
    hierarchy = tmp_path if v2 else tmp_path / "memory"
    if v2:
        (tmp_path / "cgroup.controllers").touch()
    (hierarchy / "envserver/node").mkdir(parents=True)
    (hierarchy / "envserver/busy/0").mkdir(parents=True)
    cgroups.release("node", tmp_path)
    cgroups.release("busy", tmp_path)
    assert {str(path.relative_to(hierarchy)) for path in hierarchy.rglob("*") if path.is_dir()} == {
        "envserver",
        "envserver/busy",
        "envserver/busy/0",
    }


def test_version_2_switches_its_controllers_on_for_children(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    cgroups.prepare("node", tmp_path)
    for group in (tmp_path, tmp_path / "envserver", tmp_path / "envserver/node"):
        assert (group / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def _freeze_soon(root: Path) -> None:
    """What the kernel does once it has been told to."""
    control = root / "freezer" / PATH.lstrip("/") / "freezer.state"
    if control.exists():
        return  # version 1: the file that was written says so at once
    events = root / PATH.lstrip("/") / "cgroup.events"
    threading.Timer(0.01, lambda: events.write_text("populated 1\nfrozen 1\n")).start()


def _state(root: Path) -> str:
    return next(root.rglob("freezer.state"), root / PATH.lstrip("/") / "cgroup.freeze").read_text()


@TREES
def test_a_group_is_held_still_until_it_is_let_go(make: type, tmp_path: Path) -> None:
    make(tmp_path)
    _freeze_soon(tmp_path)
    cgroups.freeze(PATH, tmp_path)
    assert _state(tmp_path) in ("FROZEN", "1")
    cgroups.thaw(PATH, tmp_path)
    assert _state(tmp_path) in ("THAWED", "0")


def test_a_group_that_does_not_freeze_is_let_go(tmp_path: Path) -> None:
    version_2(tmp_path)
    with pytest.raises(TimeoutError, match="do not freeze"):
        cgroups.freeze(PATH, tmp_path, patience_s=0.01)
    assert _state(tmp_path) == "0"


@TREES
def test_the_server_may_reset_the_peak_and_nothing_else(make: type, tmp_path: Path) -> None:
    make(tmp_path)
    if os.geteuid() != 0:
        pytest.skip("changing owners needs root")
    cgroups.hand_over_peak(PATH, 4242, tmp_path)
    owned = {file.name for file in tmp_path.rglob("*") if file.stat().st_uid == 4242}
    assert owned in ({"memory.max_usage_in_bytes"}, {"memory.peak"})
