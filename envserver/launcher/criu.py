"""CRIU by way of crun: dumps a sandbox's processes into a directory of images, and brings them back.

CRIU saves the user namespace's map and would restore it as it was; each restored sandbox gets a uid range of its own by
having that one record rewritten. The other images are linked, not copied, into each restore.

Flags, the same on both sides: file locks are saved (nobody outside holds one on a sandbox's files), and TCP connections
stay established, which are between a sandbox's own processes, for it has loopback alone. What else CRIU is told is in
`criu_setup.py`. Not told to it: `ext-unix-sk` and `shell-job`, so that what leads out of the sandbox makes a dump fail.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from envserver import failpoints
from envserver.launcher import criu_images, criu_log, criu_setup, idmap
from envserver.launcher.crun import Crun, SandboxFailedError, SandboxStuckError
from envserver.launcher.paths import Paths

log = logging.getLogger("envserver.launcher")

_FLAGS = ("--file-locks", "--tcp-established")


class NotDumpableError(Exception):
    """CRIU cannot save what the sandbox's processes hold; the message says which process and what."""


def dump(crun: Crun, sandbox_id: str, images: Path, layer: Path, copy: Path) -> None:
    """Save all processes of a sandbox that stands still, and snapshot its layer where that cannot be done afterwards.

    Raises: NotDumpableError, SandboxFailedError, OSError.
    """
    _dump(crun, sandbox_id, images)
    if (reason := criu_images.unrestorable(images)) is not None:
        raise NotDumpableError(reason)
    if criu_images.links_in_layer(images):
        # CRIU takes these names away as it ends, and does not find them in a later snapshot.
        _empty(images)
        with criu_setup.snapshotting(images.with_name("snapshotting"), layer, copy) as environment:
            _dump(crun, sandbox_id, images, environment)


def _dump(crun: Crun, sandbox_id: str, images: Path, environment: dict[str, str] | None = None) -> None:
    arguments = ("checkpoint", "--leave-running", *_FLAGS, "--image-path", str(images), sandbox_id)
    try:
        crun(*arguments, environment=environment)
    except SandboxStuckError as error:
        raise NotDumpableError(f"CRIU came to no end: {criu_log.explain(images / 'dump.log')}") from error
    except SandboxFailedError as error:
        log.warning("%s; %s", error, criu_log.explain(images / "dump.log"))
        _empty(images)
        try:  # once more, for a log that tells which descriptor it was
            crun(*arguments, environment=environment, debug=True)
        except SandboxFailedError as error:
            if reason := criu_log.explain(images / "dump.log"):
                raise NotDumpableError(reason) from error
            raise


def _empty(images: Path) -> None:
    shutil.rmtree(images)
    images.mkdir()


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
                (directory / file.name).write_bytes(criu_images.userns(idmap.range_start(index)))
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
        raise SandboxFailedError(f"{error}; {criu_log.explain(work / 'restore.log')}") from error
