"""Which image the Engine makes a container from, on a real Engine and a store of the test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from envserver.launcher.docker.engine import Engine
from envserver.launcher.docker.images import REPOSITORY, EngineImages
from envserver.launcher.images import ImageStore

pytestmark = pytest.mark.node

TAG = "envserver/test-images:latest"
SOCKET = Path("/var/run/docker.sock")


def docker(*arguments: str, archive: bytes | None = None) -> str:
    done = subprocess.run(["docker", *arguments], input=archive, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """A root directory with one file."""
    (tmp_path / "archived").mkdir()
    (tmp_path / "archived" / "file").write_text("of the image")
    tar = ["tar", "--create", "--directory", str(tmp_path / "archived"), "."]
    return subprocess.run(tar, check=True, capture_output=True).stdout


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    (tmp_path / "agent").write_bytes(b"agent")
    return ImageStore(tmp_path / "images", tmp_path / "agent")


@pytest.fixture
def no_images_left() -> Iterator[None]:
    yield
    made = docker("images", "--quiet", "--filter", f"reference={TAG}").split()
    stored = [f"{REPOSITORY}:{digest.removeprefix('sha256:')}" for digest in _digests()]
    subprocess.run(["docker", "image", "rm", "--force", *made, *stored], check=False, capture_output=True)


def _digests() -> list[str]:
    return docker("images", "--no-trunc", "--quiet", "--filter", f"reference={TAG}").split()


def imported(archive: bytes, *changes: str) -> str:
    options = [word for change in changes for word in ("--change", change)]
    return docker("import", *options, "-", TAG, archive=archive)


@pytest.fixture
def images(store: ImageStore) -> Iterator[EngineImages]:
    with closing(Engine(SOCKET)) as engine:
        yield EngineImages(engine, store)


def test_the_engines_own_image_of_the_digest_is_used(
    images: EngineImages, archive: bytes, no_images_left: None
) -> None:
    digest = imported(archive)
    assert images.name_of(digest) == digest


def test_an_image_that_declares_a_volume_is_made_anew_from_its_files(
    images: EngineImages, store: ImageStore, archive: bytes, no_images_left: None
) -> None:
    """Else the Engine would make that volume, writable and without a quota."""
    digest = imported(archive, "VOLUME /data", "ENV LD_PRELOAD=/evil.so")
    rootfs = store.rootfs(digest)
    rootfs.mkdir(parents=True)
    (rootfs / "file").write_text("of the store")
    name = images.name_of(digest)
    assert name == f"{REPOSITORY}:{digest.removeprefix('sha256:')}"
    assert docker("image", "inspect", "--format", "{{json .Config.Volumes}} {{json .Config.Env}}", name) == "null null"
    container = docker("create", name, "true")
    try:
        exported = subprocess.run(["docker", "cp", f"{container}:/file", "-"], check=True, capture_output=True).stdout
    finally:
        docker("rm", container)
    assert b"of the store" in exported
    made = docker("image", "inspect", "--format", "{{.Id}}", name)
    assert images.name_of(digest) == name
    assert docker("image", "inspect", "--format", "{{.Id}}", name) == made, "it is made once"


def test_an_image_that_the_engine_lost_is_made_again(images: EngineImages, store: ImageStore) -> None:
    digest = "sha256:" + "0" * 63 + "1"
    store.rootfs(digest).mkdir(parents=True)
    try:
        docker("image", "rm", images.name_of(digest))
        assert docker("image", "inspect", "--format", "{{.Id}}", images.name_of(digest))
    finally:
        subprocess.run(["docker", "image", "rm", images.name_of(digest)], check=False, capture_output=True)
