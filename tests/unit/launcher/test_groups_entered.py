"""A sandbox that is in no control group of its own is limited by nothing: it must not be handed out."""

from __future__ import annotations

from pathlib import Path

import pytest

from envserver.launcher import cgroups, syscalls

OURS = "/envserver/node/0011"


def _process(proc: Path, lines: str) -> None:
    (proc / "7").mkdir(parents=True, exist_ok=True)
    (proc / "7" / "cgroup").write_text(lines)


def _version_1(**groups: str) -> str:
    found = {"memory": OURS, "pids": OURS, "cpu,cpuacct": OURS, "freezer": OURS} | groups
    return "".join(f"{number}:{names}:{group}\n" for number, (names, group) in enumerate(found.items(), 1)) + "0::/\n"


def test_one_that_is_in_its_groups_is_let_in(tmp_path: Path) -> None:
    _process(tmp_path, _version_1(memory=f"{OURS}/below"))
    cgroups.require_inside(7, OURS, root=tmp_path, proc=tmp_path)


@pytest.mark.parametrize("controller", ["memory", "pids", "cpu,cpuacct", "freezer"])
@pytest.mark.parametrize("group", ["/", "/envserver/node", f"{OURS}0", "/docker/1234"])
def test_one_that_is_outside_of_any_is_not(tmp_path: Path, controller: str, group: str) -> None:
    _process(tmp_path, _version_1(**{controller: group}))
    with pytest.raises(cgroups.OutsideError, match=OURS):
        cgroups.require_inside(7, OURS, root=tmp_path, proc=tmp_path)


def test_one_without_a_controller_at_all_is_not(tmp_path: Path) -> None:
    _process(tmp_path, "1:pids:/\n")
    with pytest.raises(cgroups.OutsideError, match="of nobody"):
        cgroups.require_inside(7, OURS, root=tmp_path, proc=tmp_path)


def test_version_2_has_one_group(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    _process(tmp_path, f"0::{OURS}\n")
    cgroups.require_inside(7, OURS, root=tmp_path, proc=tmp_path)
    _process(tmp_path, "0::/\n")
    with pytest.raises(cgroups.OutsideError):
        cgroups.require_inside(7, OURS, root=tmp_path, proc=tmp_path)


def test_an_option_is_added_to_a_mount_and_nothing_else_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    line = "31 23 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    monkeypatch.setattr(Path, "read_text", lambda _: line)
    monkeypatch.setattr(syscalls, "mount", lambda *arguments: asked.append(arguments))
    syscalls.remount_with(Path("/sys/fs/cgroup"), "favordynmods")
    flags = syscalls.MS_REMOUNT | syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC | syscalls.MS_RELATIME
    assert asked == [("none", Path("/sys/fs/cgroup"), None, flags, "nsdelegate,favordynmods")]


def test_where_there_is_no_version_2_no_hierarchy_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"mounts {arguments}")

    monkeypatch.setattr(syscalls, "mount", refuse)
    monkeypatch.setattr(cgroups, "HYBRID", tmp_path / "none")
    cgroups.favor_changes(tmp_path)
