"""Making and ending sandboxes through a Docker Engine: the order of the steps, and their undoing.

A sandbox is a host uid, directories beneath one quota, a control directory, account files and a container. Each
step registers its undoing before the next begins. The container's labels hold the record that a restarted launcher
finds its sandboxes by; the Engine holds the containers, so they outlive the launcher and its own container.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from envserver.launcher import bundle, cgroups, idmap
from envserver.launcher.crun import SandboxFailedError
from envserver.launcher.deadlines import Deadline
from envserver.launcher.docker import accounts, disks, template
from envserver.launcher.docker.engine import Engine
from envserver.launcher.docker.images import EngineImages
from envserver.launcher.docker.records import DIRECTORY, LABEL, DockerRecord, describe
from envserver.launcher.images import ImageStore
from envserver.launcher.locks import KeyedLocks
from envserver.launcher.records import SandboxRequest, UnknownSandboxError, write_whole

log = logging.getLogger("envserver.launcher")

_CLAIM = "claim.json"
_ALIVE = ("running", "paused")
"""What the Engine says of containers that have not ended, and we of sandboxes."""


@dataclass(frozen=True)
class DockerPaths:
    layers: Path
    run: Path
    """Shared with the server."""
    engine_run: Path
    """The same directory as the Engine sees it, whose mount namespace is the host's."""
    agent: Path

    def own(self, sandbox_id: str) -> Path:
        return self.run / DIRECTORY / sandbox_id


class DockerMaker:
    """Creates, finds and destroys sandboxes; safe to call from many threads. The Engine may come up later than it."""

    def __init__(
        self,
        node: str,
        paths: DockerPaths,
        engine: Engine,
        store: ImageStore,
        check_reserve: Callable[[int], None],
        *,
        server_uid: int,
        server_gid: int,
    ) -> None:
        self.node, self.engine, self._paths, self._store = node, engine, paths, store
        self.layers = paths.layers
        self.busy = KeyedLocks()
        """Held by whoever changes what a sandbox is doing."""
        self._images = EngineImages(engine, store)
        self.check_reserve, self._server_uid, self._server_gid = check_reserve, server_uid, server_gid
        self._first_uid = accounts.first_uid(node)
        self._uids = idmap.RangePool()
        self._live: dict[str, DockerRecord] = {}
        self._lock = threading.Lock()
        self._adopting = threading.Lock()
        self._adopted = False

    # --- making ---------------------------------------------------------------------------------

    def create(self, request: SandboxRequest) -> DockerRecord:
        """A running sandbox.

        Raises: ImageError, DiskReserveError, RangesExhaustedError, SandboxFailedError, OSError.
        """
        image = self._store.resolve(request.image)

        def fill(sandbox_id: str, uid: int) -> None:
            disks.create(self.layers, sandbox_id, uid, self._store.rootfs(image.digest), request.disk_bytes)

        return self.make(replace(request, image=image.digest), fill)

    def make(self, request: SandboxRequest, fill: Callable[[str, int], None]) -> DockerRecord:
        """`fill(sandbox_id, uid)` makes what the sandbox may write to."""
        self.adopt()
        self.check_reserve(request.disk_bytes)
        engine_image = self._images.name_of(request.image)
        sandbox_id = os.urandom(8).hex()
        with contextlib.ExitStack() as undo:
            index = self._uids.take()
            undo.callback(self._uids.give_back, index)
            record = self._new_record(sandbox_id, self._first_uid + index, request)
            fill(sandbox_id, record.uid)
            undo.callback(disks.destroy, self.layers, sandbox_id)
            undo.callback(self._remove_directory, sandbox_id)
            self._make_directory(record, self._store.rootfs(request.image))
            undo.callback(self.engine.remove_container, self._name(sandbox_id))
            cgroup = self.engine.start_container(self._name(sandbox_id), self._body(record, engine_image, request))
            if (socket_bytes := bundle.socket_bytes(request.limits)) is not None:
                cgroups.limit_sockets(cgroup, socket_bytes)  # an Engine takes the number, and runc drops it
            cgroups.hand_over_peak(cgroup, self._server_uid)
            undo.pop_all()
        with self._lock:
            self._live[sandbox_id] = record = replace(record, cgroup=cgroup)
        return record

    @staticmethod
    def _new_record(sandbox_id: str, uid: int, request: SandboxRequest) -> DockerRecord:
        return DockerRecord(
            sandbox_id=sandbox_id,
            image=request.image,
            uid=uid,
            cgroup="",
            created_at=time.time(),
            deadline=Deadline.after(request.ttl_s),
            limits=request.limits,
            disk_bytes=request.disk_bytes,
            labels=request.labels,
        )

    def _name(self, sandbox_id: str) -> str:
        return f"envserver-{self.node}-{sandbox_id}"

    def _body(self, record: DockerRecord, image: str, request: SandboxRequest) -> dict[str, Any]:
        shared = self._paths.engine_run / DIRECTORY
        own = shared / record.sandbox_id
        return template.body(
            image=image,
            sandbox_id=record.sandbox_id,
            device=disks.find_device(self.layers),
            files=template.Files(agent=shared / self._agent_name(), control=own / "run", accounts=own),
            server_uid=self._server_uid,
            ttl_s=request.ttl_s,
            limits=request.limits,
            labels=record.as_labels(self.node),
        )

    def _make_directory(self, record: DockerRecord, rootfs: Path) -> None:
        own = self._paths.own(record.sandbox_id)
        own.mkdir(mode=0o711)
        accounts.write(own, rootfs, record.uid)
        # Container root is the host's and owns it; the server's group may pass through, users may not.
        (own / "run").mkdir()
        os.chown(own / "run", 0, self._server_gid)
        (own / "run").chmod(0o710)

    def _remove_directory(self, sandbox_id: str) -> None:
        shutil.rmtree(self._paths.own(sandbox_id), ignore_errors=True)

    def _agent_name(self) -> str:
        return Path(self._store.agent_path).name

    # --- finding --------------------------------------------------------------------------------

    def problem(self) -> str | None:
        """Why no sandbox can be made, fit for an operator; None when one can."""
        return self.engine.problem()

    def describe(self) -> list[dict[str, Any]]:
        """Every sandbox, as the service answers. Raises: SandboxFailedError."""
        self.adopt()
        states = {each["Labels"][f"{LABEL}sandbox"]: each["State"] for each in self._containers()}
        shown = {state: state for state in _ALIVE}
        return [describe(each, shown.get(states.get(each.sandbox_id, ""), "ended")) for each in self.records()]

    def records(self) -> list[DockerRecord]:
        with self._lock:
            return list(self._live.values())

    def _containers(self) -> list[dict[str, Any]]:
        return self.engine.containers(f"{LABEL}node={self.node}")

    def adopt_when_there(self) -> None:
        """`adopt`, unless the Engine does not answer yet; whoever asks for a sandbox is told why."""
        if not self._adopted and self.problem() is None:
            self.adopt()

    def adopt(self) -> None:
        """Once, when the Engine first answers: take over what runs, remove what is left of the rest.

        Raises: SandboxFailedError.
        """
        with self._adopting:
            if self._adopted:
                return
            for entry in self._containers():
                record = self._claimed(DockerRecord.from_labels(entry["Labels"], ""))
                if entry["State"] in _ALIVE and self._paths.own(record.sandbox_id).exists():
                    self._live[record.sandbox_id] = record = replace(record, cgroup=self.engine.cgroup(entry["Id"]))
                    if entry["State"] == "running":
                        cgroups.thaw(record.cgroup)  # a checkpoint may have been under way
                    self._uids.take_exactly(record.uid - self._first_uid)
                else:
                    self.engine.remove_container(self._name(record.sandbox_id))
            self._prepare_directory()
            self._remove_orphans()
            self._adopted = True

    def _prepare_directory(self) -> None:
        """With the agent's program, under a name of its content: a newer one does not replace what runs."""
        directory = self._paths.run / DIRECTORY
        directory.mkdir(exist_ok=True)
        directory.chmod(0o711)
        agent = directory / self._agent_name()
        partial = agent.with_suffix(".partial")
        shutil.copyfile(self._paths.agent, partial)
        partial.chmod(0o555)
        partial.rename(agent)

    def _remove_orphans(self) -> None:
        found = disks.found(self.layers)
        found |= {entry.name for entry in (self._paths.run / DIRECTORY).iterdir() if entry.is_dir()}
        for sandbox_id in sorted(found - set(self._live)):
            try:
                self._remove(sandbox_id)
            except (SandboxFailedError, OSError):
                log.exception("what is left of sandbox %s cannot be removed", sandbox_id)

    def claim(self, sandbox_id: str, image: str, labels: dict[str, str], ttl_s: float) -> bool:
        """Hand a sandbox over, under other labels and a new deadline; False when there is none of that image.

        A container's labels are fixed, so the new ones are kept beside it.
        """
        with self._lock:
            record = self._live.get(sandbox_id)
            if record is None or record.image != image:
                return False
            self._live[sandbox_id] = record = replace(record, labels=labels, deadline=Deadline.after(ttl_s))
            claim = {"labels": record.labels, "deadline": str(record.deadline)}
            write_whole(self._paths.own(sandbox_id) / _CLAIM, json.dumps(claim))
        return True

    # --- changing -------------------------------------------------------------------------------

    def get(self, sandbox_id: str) -> DockerRecord:
        """Raises: UnknownSandboxError."""
        with self._lock:
            record = self._live.get(sandbox_id)
        if record is None:
            raise UnknownSandboxError(f"no sandbox {sandbox_id!r}")
        return record

    def state(self, sandbox_id: str) -> str:
        """`running` or `paused`. Raises: UnknownSandboxError, SandboxFailedError."""
        state = self.engine.state(self._name(self.get(sandbox_id).sandbox_id))
        if state not in _ALIVE:
            raise UnknownSandboxError(f"{sandbox_id} has ended")
        return state

    def take_over(self, sandbox_id: str, labels: dict[str, str], ttl_s: float) -> DockerRecord:
        """For a server that did not make it: it runs, under these labels.

        Raises: UnknownSandboxError, SandboxFailedError.
        """
        with self.busy.held(sandbox_id):
            if self.state(sandbox_id) == "paused":
                self.engine.unpause(self._name(sandbox_id))
            self.claim(sandbox_id, self.get(sandbox_id).image, labels, ttl_s)
            return self.get(sandbox_id)

    def pause(self, sandbox_id: str) -> None:
        """Idempotent; the Engine keeps it so. Raises: UnknownSandboxError, SandboxFailedError."""
        with self.busy.held(sandbox_id):
            if self.state(sandbox_id) == "running":
                self.engine.pause(self._name(sandbox_id))

    def resume(self, sandbox_id: str) -> None:
        """Idempotent. Raises: UnknownSandboxError, SandboxFailedError."""
        with self.busy.held(sandbox_id):
            if self.state(sandbox_id) == "paused":
                self.engine.unpause(self._name(sandbox_id))

    def _claimed(self, record: DockerRecord) -> DockerRecord:
        try:
            claim = json.loads((self._paths.own(record.sandbox_id) / _CLAIM).read_text())
        except FileNotFoundError:
            return record
        return replace(record, labels=claim["labels"], deadline=Deadline.parse(str(claim["deadline"])))

    # --- ending ---------------------------------------------------------------------------------

    def destroy(self, sandbox_id: str) -> bool:
        """End a sandbox and remove all of it; False when there is none of that id.

        Raises: SandboxFailedError, OSError.
        """
        with self.busy.held(sandbox_id):
            with self._lock:
                record = self._live.pop(sandbox_id, None)
            if record is None:
                return False
            try:
                self._remove(sandbox_id)
            except BaseException:
                with self._lock:
                    self._live[sandbox_id] = record  # to be tried again, by its owner or at its deadline
                raise
            self._uids.give_back(record.uid - self._first_uid)
        return True

    def _remove(self, sandbox_id: str) -> None:
        self.engine.remove_container(self._name(sandbox_id))
        self._remove_directory(sandbox_id)
        disks.destroy(self.layers, sandbox_id)
