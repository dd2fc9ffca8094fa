"""The account files of a docker sandbox, from images of any kind, and the uids that nodes begin at."""

from __future__ import annotations

from pathlib import Path

import pytest

from envserver.launcher import idmap
from envserver.launcher.docker import accounts

UID = 268_435_460


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "rootfs" / "etc").mkdir(parents=True)
    return tmp_path / "rootfs"


def written(rootfs: Path) -> dict[str, list[str]]:
    accounts.write(rootfs.parent, rootfs, UID)
    return {
        name: (rootfs.parent / name).read_text(errors="surrogateescape").splitlines() for name in ("passwd", "group")
    }


def test_the_images_user_becomes_the_sandboxs_and_the_others_stay(rootfs: Path) -> None:
    (rootfs / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/bash\nuserx:x:5:5::/:\n"
    )
    (rootfs / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    assert written(rootfs) == {
        "passwd": [
            "root:x:0:0::/root:/bin/sh",
            "userx:x:5:5::/:",
            f"user:x:{UID}:{UID}:user:/home/user:/bin/bash",
        ],
        "group": ["root:x:0:", f"user:x:{UID}:"],
    }


def test_an_image_without_accounts_gets_root_and_the_user(rootfs: Path) -> None:
    assert [line.partition(":")[0] for line in written(rootfs)["passwd"]] == ["root", "user"]


def test_a_link_in_the_images_place_is_not_followed(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host\n")
    (rootfs / "etc/passwd").symlink_to(tmp_path / "secret")
    assert "of the host" not in written(rootfs)["passwd"]


def test_a_directory_on_the_way_that_is_a_link_is_not_followed(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts/passwd").write_text("of the host\n")
    (rootfs / "etc").rmdir()
    (rootfs / "etc").symlink_to(tmp_path / "hosts")
    assert "of the host" not in written(rootfs)["passwd"]


def test_bytes_that_are_no_text_pass(rootfs: Path) -> None:
    (rootfs / "etc/passwd").write_bytes(b"\xff:x:7:7::/:/bin/sh\n")
    assert len(written(rootfs)["passwd"]) == 2


def test_nodes_begin_apart_and_above_the_ranges_of_the_other_runtime() -> None:
    last = idmap.range_start(idmap.RANGE_COUNT)
    firsts = [accounts.first_uid(node) for node in ("0000000000", "0000000001", "ffffffffff")]
    assert min(firsts) > last
    assert min(b - a for a, b in zip(sorted(firsts), sorted(firsts)[1:], strict=False)) >= idmap.RANGE_COUNT
    assert max(firsts) + idmap.RANGE_COUNT < 1 << 31
