"""Layers as they meet each other and as hostile ones are: nothing leaves the image's own directory."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path

import pytest

from envserver.launcher.archives import ImageError
from envserver.launcher.images import ImageStore
from tests.unit.launcher.archives import directory, docker_save, entry, file, hard_link, symlink
from tests.unit.launcher.test_image_archives import AGENT, load, store

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking enters the image with chroot(2), which needs root")

__all__ = ["store"]


def names(rootfs: Path) -> set[str]:
    """Every path of the image but what the store itself adds."""
    found = {str(path.relative_to(rootfs)) for path in rootfs.rglob("*")}
    return {name for name in found if name.split("/")[0] not in (".envserver", "proc", "dev", "tmp")}


# --- layers over layers ---------------------------------------------------------------------------


def test_a_whiteout_removes_a_file_and_a_whole_directory(store: ImageStore) -> None:
    below = [directory("a"), file("a/gone"), file("a/kept"), directory("b"), file("b/x")]
    assert names(load(store, docker_save(below, [file("a/.wh.gone"), file(".wh.b")]))) == {"a", "a/kept"}


def test_an_opaque_directory_hides_what_lay_below_it(store: ImageStore) -> None:
    below = [directory("a"), file("a/old"), directory("a/deep"), file("a/deep/old")]
    above = [directory("a"), file("a/.wh..wh..opq"), file("a/new")]
    assert names(load(store, docker_save(below, above))) == {"a", "a/new"}


def test_an_opaque_mark_hides_nothing_of_its_own_layer_wherever_it_stands(store: ImageStore) -> None:
    below = [directory("a"), file("a/old"), directory("a/deep"), file("a/deep/old")]
    above = [directory("a"), file("a/-first"), file("a/deep/new"), file("a/.wh..wh..opq"), file("a/last")]
    assert names(load(store, docker_save(below, above))) == {"a", "a/-first", "a/deep", "a/deep/new", "a/last"}


def test_a_whiteout_after_its_name_was_given_again_hides_the_old_one_alone(store: ImageStore) -> None:
    below = [directory("a"), file("a/old")]
    above = [directory("a"), file("a/new"), file(".wh.a")]
    assert names(load(store, docker_save(below, above))) == {"a", "a/new"}


@pytest.mark.parametrize("name", ["a/.wh..", "a/.wh...", "a/.wh."])
def test_a_whiteout_of_no_name_is_refused(store: ImageStore, name: str) -> None:
    with pytest.raises(ImageError, match="no name to white out"):
        load(store, docker_save([directory("a"), file("kept")], [file(name)]))


def test_a_file_replaces_a_directory_and_a_directory_a_link(store: ImageStore) -> None:
    below = [directory("a"), file("a/x"), symlink("b", "a"), file("c")]
    rootfs = load(store, docker_save(below, [file("a", b"file"), directory("b"), file("b/y"), symlink("c", "b")]))
    assert (rootfs / "a").read_bytes() == b"file"
    assert not (rootfs / "b").is_symlink()
    assert names(rootfs) == {"a", "b", "b/y", "c"}


def test_a_directory_given_again_keeps_its_entries_and_takes_the_new_mode(store: ImageStore) -> None:
    rootfs = load(store, docker_save([directory("a"), file("a/x")], [directory("a", 0o700, uid=42)]))
    assert names(rootfs) == {"a", "a/x"}
    status = (rootfs / "a").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o700, 42)


def test_hard_links_reach_into_lower_layers_and_keep_one_inode(store: ImageStore) -> None:
    rootfs = load(store, docker_save([file("a", b"content")], [hard_link("b", "a"), hard_link("c", "/b")]))
    assert len({(rootfs / name).stat().st_ino for name in "abc"}) == 1


def test_a_hard_link_to_a_link_that_leads_nowhere_is_made(store: ImageStore) -> None:
    rootfs = load(store, docker_save([symlink("a", "/nowhere"), hard_link("b", "a")]))
    assert (rootfs / "b").readlink() == Path("/nowhere")


def test_owners_modes_and_set_uid_bits_are_kept(store: ImageStore) -> None:
    rootfs = load(store, docker_save([file("su", b"x", 0o4755), file("mine", b"x", 0o640, uid=1000)]))
    assert stat.S_IMODE((rootfs / "su").stat().st_mode) == 0o4755
    assert ((rootfs / "mine").stat().st_uid, stat.S_IMODE((rootfs / "mine").stat().st_mode)) == (1000, 0o640)


def test_a_directory_that_is_only_implied_is_nobody_else_s_to_write(store: ImageStore) -> None:
    rootfs = load(store, docker_save([file("opt/tool/bin/run", b"x", 0o755)]))
    assert {stat.S_IMODE((rootfs / name).stat().st_mode) for name in ("opt", "opt/tool", "opt/tool/bin")} == {0o755}


# --- hostile layers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["/escaped", "../../escaped", "a/../../../escaped", "//escaped", "./../escaped", "/../../escaped"]
)
def test_a_member_s_name_leads_nowhere_else(store: ImageStore, name: str, tmp_path: Path) -> None:
    rootfs = load(store, docker_save([file(name, b"x")]))
    assert names(rootfs) - {"a"} == {"escaped"}
    assert set(tmp_path.rglob("escaped")) == {rootfs / "escaped"}


@pytest.mark.parametrize("above", [False, True], ids=["same layer", "next layer"])
def test_a_link_to_the_outside_is_kept_and_writing_through_it_stays_inside(
    store: ImageStore, above: bool, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    below = [directory(str(outside).lstrip("/")), symlink("out", str(outside))]
    through = [file("out/escaped", b"x"), file("out/.wh.victim")]
    (outside / "victim").write_text("kept")
    rootfs = load(store, docker_save(below, through) if above else docker_save([*below, *through]))
    assert list(outside.iterdir()) == [outside / "victim"]
    assert (rootfs / "out").readlink() == outside
    assert (rootfs / str(outside).lstrip("/") / "escaped").read_bytes() == b"x"


def test_writing_through_a_link_that_leads_nowhere_inside_is_refused(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be unpacked"):
        load(store, docker_save([symlink("out", str(tmp_path)), file("out/escaped", b"x")]))
    assert not (tmp_path / "escaped").exists()


def test_an_opaque_mark_below_a_link_empties_nothing(store: ImageStore, tmp_path: Path) -> None:
    rootfs = load(store, docker_save([directory("d"), file("d/kept"), symlink("l", "d")], [file("l/.wh..wh..opq")]))
    assert (rootfs / "d/kept").exists()


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE], ids=["character", "block"])
def test_device_nodes_are_left_out(store: ImageStore, kind: bytes) -> None:
    node = entry("disk", kind, mode=0o666)
    node[0].devmajor, node[0].devminor = 1, 1
    rootfs = load(store, docker_save([node, file("kept")]))
    assert names(rootfs) == {"kept"}


def test_a_hard_link_to_the_outside_is_refused(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ImageError, match="cannot be unpacked"):
        load(store, docker_save([hard_link("stolen", str(tmp_path / "secret"))]))


@pytest.mark.parametrize("target", ["/etc", "../../../outside", "/"])
def test_an_image_cannot_lead_the_agent_s_installation_astray(store: ImageStore, target: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    before = set(Path("/etc").iterdir()) | set(Path("/").iterdir())
    rootfs = load(store, docker_save([symlink(".envserver", target)]))
    assert not (rootfs / ".envserver").is_symlink()
    assert (rootfs / store.agent_path.lstrip("/")).read_bytes() == AGENT
    assert set(Path("/etc").iterdir()) | set(Path("/").iterdir()) == before
    assert list((tmp_path / "outside").iterdir()) == []


def test_an_image_cannot_bring_an_agent_of_its_own(store: ImageStore) -> None:
    rootfs = load(store, docker_save([file(store.agent_path.lstrip("/"), b"mine", 0o755)]))
    assert (rootfs / store.agent_path.lstrip("/")).read_bytes() == AGENT
