"""Where checkpoints are: a directory each, with a record, and the layers that belong to it. Both runtimes' alike.

A checkpoint is there when its record is, which is written last and removed first; whatever has none is removed when
the launcher starts. All of it is on disk before the record is.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envserver import failpoints
from envserver.launcher import btrfs, bundle, syscalls
from envserver.launcher.paths import Paths
from envserver.launcher.records import sync_directory, write_whole

log = logging.getLogger("envserver.launcher")

LAYER_PREFIX = "checkpoint-"
_ID_DIGITS = 16


@dataclass(frozen=True)
class CheckpointRecord:
    checkpoint_id: str
    runtime: str
    kind: str
    """`process` or `filesystem`."""
    image: str
    agent: str
    limits: bundle.BundleLimits
    disk_bytes: int
    labels: dict[str, str]
    created_at: float
    bytes: int
    pause_ms: float
    owner_uid: int = 0
    """Of the docker runtime: the host's uid that the user's files have."""

    @classmethod
    def from_json(cls, text: str) -> CheckpointRecord:
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "limits": bundle.BundleLimits(**fields["limits"])})


class UnknownCheckpointError(Exception):
    """No checkpoint of that id is stored here."""


class CheckpointStore:
    """Safe to call from many threads."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._known: dict[str, CheckpointRecord] = {}
        self._lock = threading.Lock()

    def directory(self, checkpoint_id: str) -> Path:
        return self._paths.checkpoints / checkpoint_id

    def images(self, checkpoint_id: str) -> Path:
        return self.directory(checkpoint_id) / "images"

    def layer(self, checkpoint_id: str, part: str = "") -> str:
        """The name of a layer; of the only one, where there are no parts."""
        return f"{LAYER_PREFIX}{checkpoint_id}{part}"

    @contextlib.contextmanager
    def begun(self, runtime: str) -> Iterator[str]:
        """The id of a checkpoint in the making: a failure removes what there is of it."""
        checkpoint_id = os.urandom(_ID_DIGITS // 2).hex()
        self.directory(checkpoint_id).mkdir(mode=0o700)
        try:
            self.images(checkpoint_id).mkdir()
            yield checkpoint_id
        except BaseException:
            self._remove(checkpoint_id)
            raise

    def add(self, record: CheckpointRecord) -> None:
        """With all of it on disk already; then the record is, too."""
        write_whole(self._file(record.checkpoint_id), json.dumps(asdict(record)), durable=True)
        sync_directory(self._paths.checkpoints)
        with self._lock:
            self._known[record.checkpoint_id] = record

    def get(self, checkpoint_id: str) -> CheckpointRecord:
        """Raises: UnknownCheckpointError."""
        with self._lock:
            record = self._known.get(checkpoint_id)
        if record is None:
            raise UnknownCheckpointError(f"no checkpoint {checkpoint_id!r} is stored on this node")
        return record

    def records(self, runtime: str) -> list[CheckpointRecord]:
        with self._lock:
            return [record for record in self._known.values() if record.runtime == runtime]

    def delete(self, checkpoint_id: str) -> None:
        """Sandboxes restored from it do not need it. Unknown ids are no error."""
        with self._lock:
            if self._known.pop(checkpoint_id, None) is None:
                return
        self._file(checkpoint_id).unlink(missing_ok=True)
        failpoints.hit("launcher.delete_checkpoint.record_removed")
        self._remove(checkpoint_id)

    def load(self) -> None:
        """After a restart: find what there is, and remove what a launcher that was killed had begun."""
        for leftover in self._paths.checkpoints.glob("restoring-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        found = {entry.name for entry in self._paths.checkpoints.iterdir()}
        layers = self._paths.layers.glob(f"{LAYER_PREFIX}*")
        found |= {entry.name.removeprefix(LAYER_PREFIX)[:_ID_DIGITS] for entry in layers}
        for checkpoint_id in found:
            try:
                self._known[checkpoint_id] = CheckpointRecord.from_json(self._file(checkpoint_id).read_text())
            except FileNotFoundError:
                self._remove(checkpoint_id)
            except (OSError, ValueError, TypeError, KeyError):  # of another version of this program, perhaps
                log.exception("the record of checkpoint %s cannot be read; it is left as it is", checkpoint_id)

    def _file(self, checkpoint_id: str) -> Path:
        return self.directory(checkpoint_id) / "checkpoint.json"

    def _remove(self, checkpoint_id: str) -> None:
        for layer in self._paths.layers.glob(f"{LAYER_PREFIX}{checkpoint_id}*"):
            btrfs.destroy_subvolume(self._paths.layers, layer.name)
        shutil.rmtree(self.directory(checkpoint_id), ignore_errors=True)


def sync_files(directory: Path) -> None:
    """The files of a directory to disk: all are begun before the first is waited for."""
    fds: list[int] = []
    try:
        for file in directory.iterdir():
            fds.append(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
            syscalls.start_writing(fds[-1])
        for fd in fds:
            os.fsync(fd)
    finally:
        for fd in fds:
            os.close(fd)
    sync_directory(directory)
