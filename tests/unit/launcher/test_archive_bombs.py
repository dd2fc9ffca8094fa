"""Archives that are small and would become large: refused at a bound, with nothing left of them."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence

import pytest

from envserver.launcher import archives, unpack
from envserver.launcher.archives import ImageError
from envserver.launcher.images import ImageStore
from tests.unit.launcher.archives import Member, docker_save, file, oci, wrap
from tests.unit.launcher.test_image_archives import leftovers, load, store

__all__ = ["store"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking enters the image with chroot(2), which needs root")

MIB = 1 << 20


def claiming(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The archive of a layer whose only header claims so many bytes, and has none."""
    member = tarfile.TarInfo("huge")
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def refuse(store: ImageStore, archive: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load(store, archive)
    assert leftovers(store) == []


def save_raw(layer: bytes) -> bytes:
    """As `docker save`, with a layer that no tar library would write."""
    return docker_save([file("a")], change=lambda files: files.update({"0/layer.tar": layer}))


def test_a_file_that_claims_more_than_a_layer_may_have_is_refused_by_its_header(store: ImageStore) -> None:
    refuse(store, save_raw(claiming(unpack.MAX_BYTES + 1)), "more than")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_claims_more_than_memory_is_refused(store: ImageStore, kind: bytes) -> None:
    refuse(store, save_raw(claiming(1 << 40, kind)), "cannot be unpacked")


def test_directories_nested_without_end_are_refused(store: ImageStore) -> None:
    refuse(store, docker_save([file("d/" * (unpack.MAX_DEPTH + 1) + "f")]), "one in another")
    load(store, docker_save([file("d/" * 20 + "f")]))


def test_a_compressed_layer_is_refused_where_it_outgrows_its_bound(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_LAYER_BYTES", 8 * MIB)
    small: Sequence[Member] = [file("small", bytes(4 * MIB))]
    bomb: Sequence[Member] = [file("large", bytes(32 * MIB))]
    archive = oci(bomb)
    assert len(archive) < MIB
    refuse(store, archive, "a layer has more than")
    load(store, oci(small))


def test_an_archive_of_countless_members_is_refused(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 100)
    refuse(store, wrap({f"{number}": b"" for number in range(101)}), "more than 100 members")


def test_a_layer_of_countless_entries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "MAX_ENTRIES", 3)
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for number in range(4):
            tar.addfile(tarfile.TarInfo(f"entry-{number}"))
    layer.seek(0)
    seen = []
    with tarfile.open(fileobj=layer, mode="r|") as tar, pytest.raises(ValueError, match="more than 3 entries"):
        for entry in unpack._count(tar):
            seen.append(entry.name)  # noqa: PERF401  # what was seen before the refusal counts
    assert seen == ["entry-0", "entry-1", "entry-2"]
