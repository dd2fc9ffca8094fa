"""Image archives: both formats are read, whatever is wrong with one is an ImageError, and nothing is left of it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from envserver.launcher.archives import ImageError
from envserver.launcher.images import ImageStore
from tests.unit.launcher.archives import docker_save, file, layer, oci, wrap

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking enters the image with chroot(2), which needs root")

AGENT = b"the guest agent"


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    (tmp_path / "agent").write_bytes(AGENT)
    return ImageStore(tmp_path / "images", tmp_path / "agent")


def load(store: ImageStore, archive: bytes, name: str | None = None) -> Path:
    """Import and return the image's root directory."""
    return store.rootfs(store.load(io.BytesIO(archive), name).digest)


def leftovers(store: ImageStore) -> list[str]:
    directory = store.rootfs("sha256:x").parent.parent
    return sorted(entry.name for entry in directory.iterdir() if entry.name != "names")


@pytest.mark.parametrize("make", [docker_save, oci], ids=["docker save", "OCI"])
def test_an_image_is_unpacked_under_its_digest_and_found_by_name(store: ImageStore, make: Callable[..., bytes]) -> None:
    rootfs = load(store, make([file("etc/motd", b"hello")], [file("etc/motd", b"again")]), "mine")
    assert (rootfs / "etc/motd").read_bytes() == b"again"
    found = store.resolve("mine")
    assert found.digest == store.resolve(found.digest).digest
    assert found.env == ("PATH=/bin",)
    assert [image.names for image in store.images()] == [("mine",)]
    assert leftovers(store) == [found.digest.replace(":", "-")]


def test_without_a_name_the_archive_s_own_names_serve(store: ImageStore) -> None:
    load(store, docker_save([file("a")], tags=["one:latest", "registry/two:1.0"]))
    assert {name for image in store.images() for name in image.names} == {"one:latest", "registry/two:1.0"}


def test_an_oci_archive_without_a_name_is_found_by_its_digest(store: ImageStore) -> None:
    image = store.load(io.BytesIO(oci([file("a")], tag=None)), None)
    assert store.resolve(image.digest).digest == image.digest


def test_the_agent_is_installed_and_can_be_executed(store: ImageStore) -> None:
    rootfs = load(store, docker_save([file("a")]))
    agent = rootfs / store.agent_path.lstrip("/")
    assert (agent.read_bytes(), agent.stat().st_mode & 0o777) == (AGENT, 0o555)
    assert (rootfs / "tmp").stat().st_mode & 0o7777 == 0o1777


def _spoil_layer(files: dict[str, bytes]) -> None:
    files["0/layer.tar"] = layer([file("a", b"other than was promised")])


def _without(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.__delitem__(name)


def _manifest(value: object) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.update({"manifest.json": json.dumps(value).encode()})


DAMAGED: dict[str, tuple[bytes, str]] = {
    "nothing at all": (b"", "no image archive"),
    "text": (b"hello" * 1000, "no image archive"),
    "another archive": (wrap({"README": b"hello"}), "neither manifest.json nor index.json"),
    "cut short": (docker_save([file("a", bytes(100_000))])[:60_000], "no image archive, or damaged|unexpected end"),
    "a layer of another digest": (docker_save([file("a")], change=_spoil_layer), "has another digest"),
    "a layer that is missing": (docker_save([file("a")], change=_without("0/layer.tar")), "is missing"),
    "a layer that is no archive": (
        docker_save([file("a")], change=lambda files: files.update({"0/layer.tar": b"x" * 1024})),
        "cannot be unpacked",
    ),
    "a configuration that is missing": (
        docker_save([file("a")], change=_without("config.json")),
        "is missing",
    ),
    "a configuration that is no JSON": (docker_save([file("a")], config=b"{"), "no JSON"),
    "a configuration of fewer layers": (
        docker_save([file("a")], config=b'{"rootfs": {"diff_ids": []}}'),
        "1 layers, its configuration 0",
    ),
    "a manifest that is no list": (docker_save([file("a")], change=_manifest({})), "malformed"),
    "a manifest of numbers": (docker_save([file("a")], change=_manifest([1])), "malformed"),
    "layers that are numbers": (
        docker_save([file("a")], change=_manifest([{"Config": "config.json", "Layers": [1]}])),
        "no list of strings",
    ),
    "an environment that is a number": (
        docker_save([file("a")], config=b'{"config": {"Env": 7}, "rootfs": {"diff_ids": ["sha256:0"]}}'),
        "no list of strings",
    ),
    "compression that is damaged": (oci([file("a")], compress=lambda data: b"\x1f\x8b" + data), "damaged"),
    "compression of another kind": (oci([file("a")], compress=lambda data: b"\x28\xb5\x2f\xfd" + data), "zstd"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_archive_is_refused_and_leaves_nothing(store: ImageStore, damage: str) -> None:
    archive, message = DAMAGED[damage]
    with pytest.raises(ImageError, match=message):
        store.load(io.BytesIO(archive), "mine")
    assert leftovers(store) == []
    with pytest.raises(ImageError, match="no image 'mine'"):
        store.resolve("mine")


@pytest.mark.parametrize("name", ["..", ".", "x" * 300, "é" * 100])
def test_a_name_that_no_file_can_have_is_refused(store: ImageStore, name: str) -> None:
    with pytest.raises(ImageError, match="cannot name an image"):
        store.load(io.BytesIO(docker_save([file("a")])), name)


@pytest.mark.parametrize("name", ["", "..", "../names", "/etc", "sha256:../../etc", "sha256:", "x" * 400, "a\0b"])
def test_a_name_leads_nowhere_but_to_an_image(store: ImageStore, name: str, tmp_path: Path) -> None:
    (tmp_path / "image.json").write_text('{"digest": "sha256:0", "env": [], "size_bytes": 0}')
    with pytest.raises((ImageError, ValueError)):
        store.resolve(name)


def test_a_digest_with_more_behind_it_leads_nowhere(store: ImageStore, tmp_path: Path) -> None:
    digest = store.load(io.BytesIO(docker_save([file("a")])), None).digest
    (tmp_path / "image.json").write_text('{"digest": "sha256:0", "env": [], "size_bytes": 0}')
    with pytest.raises(ImageError, match="no image"):
        store.resolve(f"{digest}/../..")


def test_two_imports_of_one_image_at_once_both_succeed(store: ImageStore) -> None:
    archive = docker_save([file(f"{number}", bytes(10_000)) for number in range(200)])
    with ThreadPoolExecutor(4) as pool:
        digests = {image.digest for image in pool.map(lambda _: store.load(io.BytesIO(archive), "mine"), range(4))}
    assert len(digests) == 1
    assert leftovers(store) == [digests.pop().replace(":", "-")]


_KILLED = """
import io, os, sys
from pathlib import Path
from envserver.launcher.images import ImageStore
class Archive(io.RawIOBase):
    def readable(self):
        return True
    def readinto(self, buffer):
        print("reading", flush=True)
        sys.stdin.read()
store = ImageStore(Path(sys.argv[1]), Path(sys.argv[2]))
store.load(io.BufferedReader(Archive()), "mine")
"""


def test_a_store_that_opens_clears_what_a_killed_import_left_and_spares_one_under_way(tmp_path: Path) -> None:
    (tmp_path / "agent").write_bytes(AGENT)
    store = ImageStore(tmp_path / "images", tmp_path / "agent")
    arguments = [sys.executable, "-c", _KILLED, str(tmp_path / "images"), str(tmp_path / "agent")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as importer:
        assert importer.stdout is not None
        assert importer.stdout.readline() == b"reading\n"
        ImageStore(tmp_path / "images", tmp_path / "agent")
        assert len(leftovers(store)) == 1, "another launcher's import goes on"
        importer.kill()
    assert len(leftovers(store)) == 1
    ImageStore(tmp_path / "images", tmp_path / "agent")
    assert leftovers(store) == []
