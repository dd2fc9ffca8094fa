"""The node's image store: archives in, one unpacked root directory an image out.

An image is named by its id, the SHA-256 of a configuration that lists the digests of its layers; so the
name covers all of it. `docker save` and OCI archives are read. The layers are applied in order into a single directory:
one id-mapped mount a sandbox instead of one a layer, and one copy in the page cache for all sandboxes.

Unpacking runs in a child that has entered the target with chroot(2) first: no link of a hostile layer leads
anywhere. Owners and modes are kept as they are on disk; device nodes are left out.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tarfile
import tempfile
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from envserver.launcher import archives
from envserver.launcher.archives import ImageError
from envserver.launcher.bundle import AGENT_DIRECTORY, CONTROL_DIRECTORY

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SCRATCH = "unpacking-"
_NAME_MAX = 255


@dataclass(frozen=True)
class StoredImage:
    digest: str
    """`sha256:` and 64 hexadecimal digits."""
    names: tuple[str, ...]
    env: tuple[str, ...]
    size_bytes: int


class ImageStore:
    """`directory` holds `sha256-<hex>/{rootfs,image.json}` and `names/<quoted name>`, links to those."""

    def __init__(self, directory: Path, agent: Path) -> None:
        self._directory = directory
        self._agent = agent
        content = agent.read_bytes()
        self.agent_path = f"{AGENT_DIRECTORY}/agent-{hashlib.sha256(content).hexdigest()[:12]}"
        (directory / "names").mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()
        for image in directory.glob("sha256-*"):
            self._install_agent(image / "rootfs")

    def resolve(self, name: str) -> StoredImage:
        """By name or digest. Raises: ImageError."""
        if _DIGEST.fullmatch(name):
            directory = self._directory / name.replace(":", "-", 1)
        else:
            directory = self._directory / "names" / urllib.parse.quote(name, safe="")
        try:
            record = json.loads((directory / "image.json").read_text())
        except OSError as error:  # also a name too long for a file
            raise ImageError(f"no image {name!r} on this node; `envserver images ls` lists what there is") from error
        return StoredImage(record["digest"], (name,), tuple(record["env"]), record["size_bytes"])

    def rootfs(self, digest: str) -> Path:
        return self._directory / digest.replace(":", "-", 1) / "rootfs"

    def images(self) -> list[StoredImage]:
        names: dict[str, list[str]] = {}
        for link in sorted((self._directory / "names").iterdir()):
            names.setdefault(link.readlink().name, []).append(urllib.parse.unquote(link.name))
        found = []
        for image in sorted(self._directory.glob("sha256-*/image.json")):
            record = json.loads(image.read_text())
            tags = tuple(names.get(image.parent.name, ()))
            found.append(StoredImage(record["digest"], tags, tuple(record["env"]), record["size_bytes"]))
        return found

    def load(self, archive: IO[bytes], name: str | None) -> StoredImage:
        """Store the image of an archive under `name`, or the name that the archive gives. Raises: ImageError."""
        with self._scratch() as scratch:
            spool = scratch / "archive.tar"
            with spool.open("wb") as file:
                shutil.copyfileobj(archive, file, 1 << 20)
            with archives.opened(spool) as tar:
                contents = archives.read(tar)
                target = self._directory / contents.digest.replace(":", "-", 1)
                if not target.exists():
                    self._unpack(tar, contents, scratch / "image", target)
        for tag in [name] if name else contents.names:
            self._tag(tag, contents.digest)
        return self.resolve(contents.digest)

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A directory of one import, locked for as long as that lasts: other launchers may share the store."""
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self._directory, ignore_cleanup_errors=True) as name:
            lock = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield Path(name)
            finally:
                os.close(lock)

    def _remove_leftovers(self) -> None:
        """Of imports whose launcher was killed: nobody holds their lock."""
        for leftover in self._directory.glob(f"{_SCRATCH}*"):
            with contextlib.suppress(OSError):  # another launcher is at it
                lock = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(leftover, ignore_errors=True)
                finally:
                    os.close(lock)

    def _unpack(self, tar: tarfile.TarFile, contents: archives.Contents, partial: Path, target: Path) -> None:
        rootfs = partial / "rootfs"
        rootfs.mkdir(parents=True, mode=0o755)
        for layer, diff_id in zip(contents.layers, contents.diff_ids, strict=True):
            archives.apply_layer(archives.member(tar, layer), diff_id, rootfs)
        _remove_own_directory(rootfs)
        self._install_agent(rootfs)
        size = sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in _walk(rootfs))
        record = {"digest": contents.digest, "env": contents.env, "size_bytes": size}
        (partial / "image.json").write_text(json.dumps(record))
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():  # else another import of the same image was faster
                raise

    def _install_agent(self, rootfs: Path) -> None:
        """Put this version's guest agent into an image; older ones stay for the checkpoints that need them."""
        agent = rootfs / self.agent_path.lstrip("/")
        if agent.exists():
            return
        (rootfs / CONTROL_DIRECTORY.lstrip("/")).mkdir(parents=True, exist_ok=True)
        partial = agent.with_suffix(".partial")
        shutil.copyfile(self._agent, partial)
        partial.chmod(0o555)
        partial.rename(agent)
        for name in ("proc", "dev", "tmp"):
            if not (rootfs / name).exists():
                (rootfs / name).mkdir()
                (rootfs / name).chmod(0o1777 if name == "tmp" else 0o755)

    def _tag(self, name: str, digest: str) -> None:
        quoted = urllib.parse.quote(name, safe="")
        if not 0 < len(quoted) <= _NAME_MAX or quoted in (".", ".."):
            raise ImageError(f"{name!r:.100} cannot name an image")
        link = self._directory / "names" / quoted
        partial = link.with_name(f".{secrets.token_hex(8)}")
        partial.symlink_to(Path("..") / digest.replace(":", "-", 1))
        partial.rename(link)


def _remove_own_directory(rootfs: Path) -> None:
    """What an image brings under our name would pose as the agent, or lead its installation astray by a link."""
    own = rootfs / AGENT_DIRECTORY.lstrip("/")
    if own.is_symlink() or own.is_file():
        own.unlink()
    elif own.exists():
        shutil.rmtree(own)


def _walk(directory: Path) -> Iterator[os.DirEntry[str]]:
    for entry in os.scandir(directory):
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
