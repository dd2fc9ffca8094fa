"""Sandboxes on disk: dumped like a checkpoint, ended, and brought back later under their own ids.

The record is written once all else is saved, and decides: from then on the sandbox is hibernated, and its processes,
which have stood still since, are killed without another step. A launcher that is killed in between leaves that to the
next one, which tells these processes from woken ones by their pid and start. Waking copies the layer and leaves the
saved one as it is until the sandbox runs and its record is written, so that a failure, or a kill, leaves it hibernated.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from envserver import failpoints
from envserver.launcher import btrfs, cgroups, criu, store
from envserver.launcher.checkpoints import hold_still, save
from envserver.launcher.crun import SandboxFailedError
from envserver.launcher.deadlines import Deadline
from envserver.launcher.records import (
    SandboxRecord,
    SandboxRequest,
    UnknownSandboxError,
    is_running,
    sync_directory,
    write_whole,
)
from envserver.launcher.sandboxes import SandboxMaker, layer_copy

log = logging.getLogger("envserver.launcher")

_LAYER_PREFIX = "hibernated-"
_RECORD = "sandbox.json"
CheckRoom = Callable[[SandboxRecord, str], None]


class Hibernation:
    """Safe to call from many threads."""

    def __init__(self, maker: SandboxMaker, check_room: CheckRoom) -> None:
        self._maker, self._check_room = maker, check_room
        self._paths = maker.paths
        self._known: dict[str, SandboxRecord] = {}
        self._lock = threading.Lock()

    def records(self) -> list[SandboxRecord]:
        with self._lock:
            return list(self._known.values())

    def known(self) -> dict[str, SandboxRecord]:
        with self._lock:
            return dict(self._known)

    # --- to disk --------------------------------------------------------------------------------

    def hibernate(self, sandbox_id: str, *, sync: bool = True) -> None:
        """Save a running sandbox, to whose agent nobody may be connected, and end its processes.

        Without `sync` the caller has to see to it that all of it reaches the disk. What raises leaves it running.
        Raises: UnknownSandboxError, SandboxPausedError, NotDumpableError, DiskReserveError, OSError.
        """
        with self._maker.busy.held(sandbox_id):
            sandbox = self._maker.running(sandbox_id)
            self._check_room(sandbox, "process")
            with contextlib.ExitStack() as undo:
                undo.callback(cgroups.thaw, sandbox.cgroup)
                hold_still(sandbox)
                self._save(sandbox, undo, sync=sync)
                undo.pop_all()  # it stands still until it is killed
            failpoints.hit("launcher.hibernate.recorded")
            self._end_remains(sandbox_id)
            failpoints.hit("launcher.hibernate.killed")

    def _end_remains(self, sandbox_id: str) -> None:
        """Of a hibernated sandbox: the processes that it was dumped from. What fails is tried again later."""
        try:
            self._maker.end(sandbox_id)
        except (SandboxFailedError, OSError):
            log.exception("what sandbox %s was hibernated from is still there", sandbox_id)

    def end_remains(self) -> None:
        """Try again where it failed."""
        live = {record.sandbox_id for record in self._maker.records()}
        for sandbox_id in live & set(self.known()):
            with self._maker.busy.held(sandbox_id):
                if sandbox_id in self.known():
                    self._end_remains(sandbox_id)

    def _save(self, sandbox: SandboxRecord, undo: contextlib.ExitStack, *, sync: bool) -> None:
        directory, layers = self._directory(sandbox.sandbox_id), self._paths.layers
        self._remove(sandbox.sandbox_id)  # what is left of another time, if that failed
        directory.mkdir(mode=0o700)
        undo.callback(shutil.rmtree, directory, ignore_errors=True)
        (directory / "images").mkdir()
        layer = f"{_LAYER_PREFIX}{sandbox.sandbox_id}"
        save(self._maker, sandbox, layer, directory / "images")
        undo.callback(btrfs.destroy_subvolume, layers, layer)
        failpoints.hit("launcher.hibernate.dumped")
        if sync:
            btrfs.sync(layers)
            store.sync_files(directory / "images")
        # From now on the wall clock may have to tell when it ends, so it is asked anew.
        record = replace(sandbox, deadline=Deadline.after(sandbox.deadline.left_s()))
        write_whole(directory / _RECORD, record.as_json(), durable=sync)
        if sync:
            sync_directory(self._paths.hibernated)
        with self._lock:
            self._known[sandbox.sandbox_id] = record

    # --- back -----------------------------------------------------------------------------------

    def wake(self, sandbox_id: str, labels: dict[str, str], ttl_s: float) -> SandboxRecord:
        """Bring it back under its id; a failure leaves it hibernated.

        Raises: UnknownSandboxError, DiskReserveError, RangesExhaustedError, SandboxFailedError, OSError.
        """
        maker, layers = self._maker, self._paths.layers
        with maker.busy.held(sandbox_id):
            saved = self.known().get(sandbox_id)
            if saved is None:
                raise UnknownSandboxError(f"no sandbox {sandbox_id!r}")
            maker.end(sandbox_id)  # should something be left of it
            request = SandboxRequest(saved.image, saved.limits, saved.disk_bytes, labels, ttl_s)
            copy = layer_copy(layers / f"{_LAYER_PREFIX}{sandbox_id}", layers)
            start = criu.starter(maker.crun, self._paths, self._directory(sandbox_id) / "images")
            record = maker.make(request, saved.agent, copy, start, again=saved)
            failpoints.hit("launcher.wake.recorded")
            try:
                self._forget(sandbox_id)
            except OSError:
                if (self._directory(sandbox_id) / _RECORD).exists():  # it would be there twice
                    maker.end(sandbox_id)
                    raise
                log.exception("what is left of the hibernated sandbox %s cannot be removed", sandbox_id)
        return record

    def destroy(self, sandbox_id: str) -> bool:
        """Remove a hibernated sandbox; False when there is none of that id."""
        with self._maker.busy.held(sandbox_id):
            if sandbox_id not in self.known():
                return False
            self._forget(sandbox_id)
        return True

    def _forget(self, sandbox_id: str) -> None:
        """That it is hibernated, for good; then what was saved."""
        (self._directory(sandbox_id) / _RECORD).unlink(missing_ok=True)
        with self._lock:
            self._known.pop(sandbox_id, None)
        sync_directory(self._directory(sandbox_id))
        failpoints.hit("launcher.wake.forgotten")
        self._remove(sandbox_id)

    def _remove(self, sandbox_id: str) -> None:
        if (self._paths.layers / f"{_LAYER_PREFIX}{sandbox_id}").exists():
            btrfs.destroy_subvolume(self._paths.layers, f"{_LAYER_PREFIX}{sandbox_id}")
        shutil.rmtree(self._directory(sandbox_id), ignore_errors=True)

    # --- after a restart ------------------------------------------------------------------------

    def load(self) -> None:
        """Find what there is, and remove what a launcher that was killed had begun."""
        found = {entry.name for entry in self._paths.hibernated.iterdir()}
        layers = self._paths.layers.glob(f"{_LAYER_PREFIX}*")
        found |= {entry.name.removeprefix(_LAYER_PREFIX) for entry in layers}
        for sandbox_id in found:
            try:
                record = SandboxRecord.from_json((self._directory(sandbox_id) / _RECORD).read_text())
            except FileNotFoundError:
                self._remove(sandbox_id)
                continue
            self._known[sandbox_id] = record

    def forget_woken(self) -> None:
        """Once the maker has adopted what runs: the record that a killed launcher did not come to remove."""
        for record in self._maker.records():
            if record.sandbox_id in self._known and is_running(record):
                self._forget(record.sandbox_id)

    def _directory(self, sandbox_id: str) -> Path:
        return self._paths.hibernated / sandbox_id
