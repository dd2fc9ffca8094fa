"""The Engine's image for one of the node's: the same by its digest where the Engine has it, else made from its files.

Names and digests mean what they mean to the crun runtime: the node's image store says what there is. The Engine's own
image of that digest is used as it is, unless it declares volumes: those would be writable without a quota.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from envserver.launcher.crun import SandboxFailedError
from envserver.launcher.docker.engine import Engine
from envserver.launcher.images import ImageStore

REPOSITORY = "envserver/stored"
_BLOCK_BYTES = 1 << 20


class EngineImages:
    """Safe to call from many threads; an image is made once."""

    def __init__(self, engine: Engine, store: ImageStore) -> None:
        self._engine, self._store = engine, store
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}

    def name_of(self, digest: str) -> str:
        """What the Engine calls the image. Raises: SandboxFailedError."""
        with self._lock:
            name = self._known.get(digest)
            if name is None or not self._engine.has_image(name):
                name = self._known[digest] = self._find(digest)
            return name

    def _find(self, digest: str) -> str:
        if self._engine.has_image(digest, volumes=False):
            return digest
        tag = digest.removeprefix("sha256:")
        if not self._engine.has_image(f"{REPOSITORY}:{tag}"):
            self._engine.import_image(_archive(self._store.rootfs(digest)), REPOSITORY, tag)
        return f"{REPOSITORY}:{tag}"


def _archive(rootfs: Path) -> Iterator[bytes]:
    command = ["tar", "--create", "--numeric-owner", "--xattrs", "--directory", str(rootfs), "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:
        assert tar.stdout is not None
        while block := tar.stdout.read(_BLOCK_BYTES):
            yield block
    if tar.returncode != 0:
        raise SandboxFailedError(f"{rootfs} cannot be archived: tar ended with status {tar.returncode}")
