"""Process checkpoints: a CRIU image of all processes beside a snapshot of the writable layer.

The sandbox is frozen for the whole of it, so that files and memory are of one instant. CRIU saves the user
namespace's map and would restore it as it was; a fork gets a uid range of its own by having that one record
rewritten. The rest of a checkpoint is linked, not copied, into each restore.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from envserver.launcher import btrfs, bundle, cgroups, idmap
from envserver.launcher.crun import SandboxFailedError
from envserver.launcher.sandboxes import (
    SandboxMaker,
    SandboxRecord,
    SandboxRequest,
    write_whole,
)

_CRIU_MAGICS = struct.Struct("<II")
_USERNS_MAGIC = 0x55474906
_IMG_COMMON_MAGIC = 0x54564319


@dataclass(frozen=True)
class CheckpointRecord:
    checkpoint_id: str
    image: str
    agent: str
    limits: bundle.BundleLimits
    disk_bytes: int
    bytes: int
    pause_ms: float


class Checkpoints:
    """Dumps and restores; safe to call from many threads."""

    def __init__(self, maker: SandboxMaker) -> None:
        self._maker = maker
        self._paths = maker.paths

    def _directory(self, checkpoint_id: str) -> Path:
        return self._paths.checkpoints / checkpoint_id

    def create(self, sandbox: SandboxRecord) -> CheckpointRecord:
        """Dump a running sandbox, whose agent nobody may be connected to. Raises: SandboxFailedError, OSError."""
        checkpoint_id = os.urandom(8).hex()
        directory = self._directory(checkpoint_id)
        with contextlib.ExitStack() as undo:
            directory.mkdir(mode=0o700)
            undo.callback(shutil.rmtree, directory, ignore_errors=True)
            images = directory / "images"
            images.mkdir()
            began = time.monotonic()
            with cgroups.frozen(sandbox.cgroup):
                self._dump(sandbox, images)
                layer = f"checkpoint-{checkpoint_id}"
                btrfs.snapshot_subvolume(
                    self._paths.layers / sandbox.sandbox_id, self._paths.layers, layer, sandbox.disk_bytes
                )
                undo.callback(btrfs.destroy_subvolume, self._paths.layers, layer)
            record = CheckpointRecord(
                checkpoint_id=checkpoint_id,
                image=sandbox.image,
                agent=sandbox.agent,
                limits=sandbox.limits,
                disk_bytes=sandbox.disk_bytes,
                bytes=sum(file.stat().st_size for file in images.iterdir()),
                pause_ms=(time.monotonic() - began) * 1000,
            )
            write_whole(directory / "checkpoint.json", json.dumps(asdict(record)))
            undo.pop_all()
        return record

    def _dump(self, sandbox: SandboxRecord, images: Path) -> None:
        try:
            self._maker.crun(
                "checkpoint", "--leave-running", "--file-locks", "--image-path", str(images), sandbox.sandbox_id
            )
        except SandboxFailedError as error:
            raise SandboxFailedError(f"{error}; {_criu_errors(images / 'dump.log')}") from error

    def get(self, checkpoint_id: str) -> CheckpointRecord | None:
        try:
            fields = json.loads((self._directory(checkpoint_id) / "checkpoint.json").read_text())
        except FileNotFoundError:
            return None
        return CheckpointRecord(**{**fields, "limits": bundle.BundleLimits(**fields["limits"])})

    def restore(self, checkpoint: CheckpointRecord, labels: dict[str, str], ttl_s: float) -> SandboxRecord:
        """A new sandbox that goes on where the checkpoint stopped, under a uid range of its own."""

        def start(sandbox_id: str, index: int) -> None:
            with self._images_for(checkpoint, sandbox_id, index) as images:
                self._restore(sandbox_id, images)

        request = SandboxRequest(checkpoint.image, checkpoint.limits, checkpoint.disk_bytes, labels, ttl_s)
        layer = self._paths.layers / f"checkpoint-{checkpoint.checkpoint_id}"
        return self._maker.restore(request, checkpoint.agent, layer, start)

    @contextlib.contextmanager
    def _images_for(self, checkpoint: CheckpointRecord, sandbox_id: str, index: int) -> Iterator[Path]:
        directory = self._paths.checkpoints / f"restoring-{sandbox_id}"
        directory.mkdir(mode=0o750)
        try:
            # CRIU opens images as container root too, and as host root that has lost its capabilities.
            os.chown(directory, idmap.range_start(index), 0)
            for file in (self._directory(checkpoint.checkpoint_id) / "images").iterdir():
                if file.name.startswith("userns-"):
                    (directory / file.name).write_bytes(_userns_image(idmap.range_start(index)))
                else:
                    os.link(file, directory / file.name)
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _restore(self, sandbox_id: str, images: Path) -> None:
        directory = self._paths.bundle(sandbox_id)
        work = directory / "criu"
        work.mkdir()
        try:
            self._maker.crun(
                "restore", "--detach", "--file-locks", "--bundle", str(directory), "--image-path", str(images),
                "--work-path", str(work), "--pid-file", str(directory / "pid"), sandbox_id,
            )  # fmt: skip
        except SandboxFailedError as error:
            raise SandboxFailedError(f"{error}; {_criu_errors(work / 'restore.log')}") from error

    def remove_orphans(self) -> None:
        """After a restart: remove what a launcher that was killed had begun."""
        for leftover in self._paths.checkpoints.glob("restoring-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        found = {entry.name for entry in self._paths.checkpoints.iterdir()}
        found |= {entry.name.removeprefix("checkpoint-") for entry in self._paths.layers.glob("checkpoint-*")}
        for checkpoint_id in found:
            if self.get(checkpoint_id) is None:
                self.destroy(checkpoint_id)

    def destroy(self, checkpoint_id: str) -> None:
        """Forget a checkpoint; sandboxes restored from it do not need it. Unknown ids are no error."""
        layer = f"checkpoint-{checkpoint_id}"
        if (self._paths.layers / layer).exists():
            btrfs.destroy_subvolume(self._paths.layers, layer)
        shutil.rmtree(self._directory(checkpoint_id), ignore_errors=True)


def _criu_errors(log: Path) -> str:
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if "Error" in line]
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


def _userns_image(host_start: int) -> bytes:
    """CRIU's `userns` image for one range: userns.proto, two lists of {first, lower_first, count}."""
    extent = b"\x08\x00" + b"\x10" + _varint(host_start) + b"\x18" + _varint(idmap.RANGE_SIZE)
    entry = b"".join(bytes([tag, len(extent)]) + extent for tag in (0x0A, 0x12))
    return _CRIU_MAGICS.pack(_IMG_COMMON_MAGIC, _USERNS_MAGIC) + struct.pack("<I", len(entry)) + entry
