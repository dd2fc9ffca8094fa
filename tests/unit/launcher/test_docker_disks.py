"""Where a docker sandbox's directories are mounted from, and what of an image is copied into them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from envserver.launcher.docker import disks

UID = 268_435_460

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


def test_the_mount_that_a_directory_lies_in_names_the_device() -> None:
    device = disks.find_device(Path("/proc"))
    assert (device.source, device.path) == ("proc", "")
    assert device.options("0", "/home") == "subvol=docker-0-home,nosuid,nodev,noatime"
    assert disks.find_device(Path("/proc/sys/kernel")).path.endswith("sys/kernel")


def test_what_is_there_is_found_by_its_names(tmp_path: Path) -> None:
    for name in ("docker-00ff-workspace", "docker-00ff-tmp", "docker-0a0b-home", "checkpoint-1", "0123456789abcdef"):
        (tmp_path / name).mkdir()
    assert disks.found(tmp_path) == {"00ff", "0a0b"}


@needs_root
def test_the_image_users_files_become_the_sandboxs_and_the_others_keep_their_owners(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for directory in (source / "user/.cache", target):
        directory.mkdir(parents=True)
    (source / "user/.cache/fonts").write_bytes(b"fonts")
    (source / "others").write_bytes(b"other")
    os.chown(source / "user/.cache/fonts", 1000, 1000)
    os.chown(source / "others", 7, 8)
    (source / "others").chmod(0o4755)
    disks._copy(source, target, UID)
    fonts, other = (target / "user/.cache/fonts").stat(), (target / "others").stat()
    assert (target / "user/.cache/fonts").read_bytes() == b"fonts"
    assert (fonts.st_uid, fonts.st_gid, other.st_uid, other.st_gid) == (UID, UID, 7, 8)
    assert stat.S_IMODE(other.st_mode) == 0o755, "no set-uid bit comes along"


@needs_root
def test_links_are_copied_as_links_and_pipes_not_at_all(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "link").symlink_to("/etc/shadow")
    os.mkfifo(source / "pipe")
    disks._copy(source, target, UID)
    assert (target / "link").readlink() == Path("/etc/shadow")
    assert not (target / "pipe").exists()


def test_an_image_whose_directory_is_a_link_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts/secret").write_text("of the host")
    (tmp_path / "home").symlink_to(tmp_path / "hosts")
    (tmp_path / "target").mkdir()
    disks._copy(tmp_path / "home", tmp_path / "target", UID)
    assert list((tmp_path / "target").iterdir()) == []
