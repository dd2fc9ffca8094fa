"""CRIU by way of crun: dumps a sandbox's processes into a directory of images, and brings them back.

CRIU saves the user namespace's map and would restore it as it was; each restored sandbox gets a uid range of its own by
having that one record rewritten. The other images are linked, not copied, into each restore.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from envserver import failpoints
from envserver.launcher import idmap
from envserver.launcher.crun import Crun, SandboxFailedError
from envserver.launcher.paths import Paths

_CRIU_MAGICS = struct.Struct("<II")
_USERNS_MAGIC = 0x55474906
_IMG_COMMON_MAGIC = 0x54564319
_FLAGS = ("--file-locks", "--tcp-established")


class NotDumpableError(Exception):
    """CRIU cannot save what the sandbox's processes hold; the message says which process and what."""


def dump(crun: Crun, sandbox_id: str, images: Path) -> None:
    """Save all processes, which live on. Raises: NotDumpableError, OSError."""
    try:
        crun("checkpoint", "--leave-running", *_FLAGS, "--image-path", str(images), sandbox_id)
    except SandboxFailedError as error:
        raise NotDumpableError(f"{error}; {_criu_errors(images / 'dump.log')}") from error


def starter(crun: Crun, paths: Paths, images: Path) -> Callable[[str, int], None]:
    """What brings processes back in a sandbox that is put together: a `start(sandbox_id, range_index)`."""

    def start(sandbox_id: str, index: int) -> None:
        with _linked(images, paths.checkpoints / f"restoring-{sandbox_id}", index) as directory:
            failpoints.hit("launcher.restore.images_linked")
            _restore(crun, paths.bundle(sandbox_id), sandbox_id, directory)
            failpoints.hit("launcher.restore.restored")

    return start


@contextlib.contextmanager
def _linked(images: Path, directory: Path, index: int) -> Iterator[Path]:
    directory.mkdir(mode=0o750)
    try:
        # CRIU opens images as container root too, and as host root that has lost its capabilities.
        os.chown(directory, idmap.range_start(index), 0)
        for file in images.iterdir():
            if file.name.startswith("userns-"):
                (directory / file.name).write_bytes(userns_image(idmap.range_start(index)))
            else:
                os.link(file, directory / file.name)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _restore(crun: Crun, bundle: Path, sandbox_id: str, images: Path) -> None:
    work = bundle / "criu"
    work.mkdir()
    try:
        crun(
            "restore", "--detach", *_FLAGS, "--bundle", str(bundle), "--image-path", str(images),
            "--work-path", str(work), "--pid-file", str(bundle / "pid"), sandbox_id,
        )  # fmt: skip
    except SandboxFailedError as error:
        raise SandboxFailedError(f"{error}; {_criu_errors(work / 'restore.log')}") from error


def _criu_errors(log: Path) -> str:
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if re.search("Error", line)]
    except FileNotFoundError:
        return "CRIU wrote no log"
    return "CRIU: " + "; ".join(lines[:5])


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def userns_image(host_start: int) -> bytes:
    """CRIU's `userns` image for one range: userns.proto, two lists of {first, lower_first, count}."""
    extent = b"\x08\x00" + b"\x10" + _varint(host_start) + b"\x18" + _varint(idmap.RANGE_SIZE)
    entry = b"".join(bytes([tag, len(extent)]) + extent for tag in (0x0A, 0x12))
    return _CRIU_MAGICS.pack(_IMG_COMMON_MAGIC, _USERNS_MAGIC) + struct.pack("<I", len(entry)) + entry
