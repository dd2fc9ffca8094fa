"""What the launcher can be asked to do: a request's fields in, checked, and a result's out.

Each operation names the runtime where it makes something, and finds by id what is there.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from envserver import failpoints
from envserver.launcher import bundle, idmap, protocol, requests
from envserver.launcher.archives import ImageError
from envserver.launcher.checkpoints import Checkpoints
from envserver.launcher.criu import NotDumpableError
from envserver.launcher.crun import SandboxFailedError
from envserver.launcher.docker.checkpoints import DockerCheckpoints
from envserver.launcher.docker.records import describe as describe_docker
from envserver.launcher.docker.sandboxes import DockerMaker
from envserver.launcher.hibernation import Hibernation
from envserver.launcher.images import ImageStore
from envserver.launcher.records import SandboxPausedError, SandboxRecord, UnknownSandboxError, is_running
from envserver.launcher.requests import RequestError
from envserver.launcher.sandboxes import DiskReserveError, SandboxMaker
from envserver.launcher.store import CheckpointRecord, CheckpointStore, UnknownCheckpointError

log = logging.getLogger("envserver.launcher")

Fields = dict[str, Any]
MAKING = frozenset(("create", "restore"))
"""What comes back from these belongs to nobody else, should the caller have gone."""
LIGHT = frozenset(("claim", "resume"))
"""Wait for nobody, since an episode waits for them."""
_CODES: tuple[tuple[type[Exception], str], ...] = (
    (DiskReserveError, protocol.ERROR_CAPACITY),
    (idmap.RangesExhaustedError, protocol.ERROR_CAPACITY),
    (ImageError, protocol.ERROR_IMAGE),
    (UnknownSandboxError, protocol.ERROR_UNKNOWN_SANDBOX),
    (UnknownCheckpointError, protocol.ERROR_UNKNOWN_CHECKPOINT),
    (SandboxPausedError, protocol.ERROR_CHECKPOINT),
    (NotDumpableError, protocol.ERROR_CHECKPOINT),
    (SandboxFailedError, protocol.ERROR_FAILED),
)


def refusal(operation: str, error: Exception) -> Fields:
    """An exception as the answer to a request."""
    if isinstance(error, RequestError):
        return {"error": error.code, "message": str(error)}
    for kind, code in _CODES:
        if isinstance(error, kind):
            if code in (protocol.ERROR_FAILED, protocol.ERROR_CHECKPOINT):
                log.error("%s: %s", operation, error)
            return {"error": code, "message": str(error)}
    log.error("%s failed", operation, exc_info=error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return {"error": protocol.ERROR_CAPACITY, "message": f"the disk is full: {error}"}
    return {"error": protocol.ERROR_FAILED, "message": f"{type(error).__name__}: {error}"}


def describe(record: SandboxRecord, state: str | None = None) -> Fields:
    """A sandbox as the service answers."""
    running = "paused" if record.paused else "running"
    return {
        "sandbox_id": record.sandbox_id,
        "image": record.image,
        "socket": f"{protocol.SANDBOX_DIRECTORY}/{record.sandbox_id}/{bundle.SOCKET_NAME}",
        "cgroup": record.cgroup,
        "pid": record.pid,
        "host_uid": idmap.range_start(record.range_index),
        "created_at": record.created_at,
        "deadline": record.deadline.shown(),
        "labels": record.labels,
        "limits": {**asdict(record.limits), "disk_bytes": record.disk_bytes},
        "state": state or (running if is_running(record) else "ended"),
    }


def _describe_checkpoint(record: CheckpointRecord) -> Fields:
    hidden = ("runtime", "agent", "owner_uid", "disk_bytes", "limits")
    shown = {name: value for name, value in asdict(record).items() if name not in hidden}
    return {**shown, "limits": {**asdict(record.limits), "disk_bytes": record.disk_bytes}}


class Operations:
    """Safe to call from many threads."""

    def __init__(
        self, images: ImageStore, maker: SandboxMaker, docker: DockerMaker, store: CheckpointStore, keep_free: int
    ) -> None:
        self._images, self._maker, self._docker, self._store = images, maker, docker, store
        self._checkpoints = Checkpoints(maker, store, keep_free)
        self._docker_checkpoints = DockerCheckpoints(docker, store)
        self.hibernation = Hibernation(maker, self._checkpoints.check_room)
        self._table: dict[str, Callable[[Fields], Fields]] = {
            "create": self._create,
            "claim": self._claim,
            "adopt": self._adopt,
            "pause": self._pause,
            "resume": self._resume,
            "hibernate": self._hibernate,
            "destroy": self._destroy,
            "list": self._list,
            "images": self._list_images,
            "restore": self._restore,
            "checkpoints": self._list_checkpoints,
            "destroy_checkpoint": self._destroy_checkpoint,
        }

    def __call__(self, request: Fields) -> Fields:
        """Carry a request out. Raises: what `refusal` takes."""
        operation = self._table.get(str(request.get("op")))
        if operation is None:
            raise RequestError(protocol.ERROR_REQUEST, f"unknown operation {request.get('op')!r}")
        return operation(request)

    # --- sandboxes ------------------------------------------------------------------------------

    def _of_docker(self, sandbox_id: str) -> bool:
        return any(record.sandbox_id == sandbox_id for record in self._docker.records())

    def _create(self, request: Fields) -> Fields:
        wanted = requests.sandbox_request(request)
        if requests.runtime(request) == "docker":
            return describe_docker(self._docker.create(wanted))
        made = describe(self._maker.create(wanted))
        failpoints.hit("launcher.create.answering")
        return made

    def _claim(self, request: Fields) -> Fields:
        sandbox_id = _sandbox_id(request)
        image = self._images.resolve(requests.text(request.get("image"), "image")).digest
        labels, ttl_s = requests.labels(request.get("labels", {})), requests.ttl_s(request)
        if not any(maker.claim(sandbox_id, image, labels, ttl_s) for maker in (self._maker, self._docker)):
            raise RequestError(protocol.ERROR_UNKNOWN_SANDBOX, f"no sandbox {sandbox_id!r} of image {image}")
        return {}

    def _adopt(self, request: Fields) -> Fields:
        sandbox_id = _sandbox_id(request)
        labels, ttl_s = requests.labels(request.get("labels", {})), requests.ttl_s(request)
        if sandbox_id in self.hibernation.known():
            return describe(self.hibernation.wake(sandbox_id, labels, ttl_s))
        if self._of_docker(sandbox_id):
            return describe_docker(self._docker.take_over(sandbox_id, labels, ttl_s))
        return describe(self._maker.take_over(sandbox_id, labels, ttl_s))

    def _pause(self, request: Fields) -> Fields:
        sandbox_id = _sandbox_id(request)
        (self._docker if self._of_docker(sandbox_id) else self._maker).pause(sandbox_id)
        return {}

    def _resume(self, request: Fields) -> Fields:
        sandbox_id = _sandbox_id(request)
        (self._docker if self._of_docker(sandbox_id) else self._maker).resume(sandbox_id)
        return {}

    def _hibernate(self, request: Fields) -> Fields:
        self.hibernation.hibernate(_sandbox_id(request))
        return {}

    def _destroy(self, request: Fields) -> Fields:
        return {"destroyed": self.destroy(requests.text(request.get("sandbox_id"), "sandbox_id"))}

    def destroy(self, sandbox_id: str) -> bool:
        """End a sandbox, whatever made it and wherever it is; False when there is none of that id."""
        destroyed = [part.destroy(sandbox_id) for part in (self._maker, self.hibernation, self._docker)]
        return any(destroyed)

    def _list(self, request: Fields) -> Fields:
        if requests.runtime(request) == "docker":
            return {"sandboxes": self._docker.describe()}
        hibernated = self.hibernation.known()
        live = [describe(record) for record in self._maker.records() if record.sandbox_id not in hibernated]
        return {"sandboxes": live + [describe(record, "hibernated") for record in hibernated.values()]}

    def _list_images(self, _request: Fields) -> Fields:
        return {"images": [asdict(image) for image in self._images.images()]}

    # --- checkpoints ----------------------------------------------------------------------------

    def checkpoint(self, request: Fields, moved_on: Callable[[], None]) -> Fields:
        """Save a sandbox; `moved_on` is called when it runs again. Raises: what `refusal` takes."""
        sandbox_id, labels = _sandbox_id(request), requests.labels(request.get("labels", {}))
        of_docker = self._of_docker(sandbox_id)
        checkpoints = self._docker_checkpoints if of_docker else self._checkpoints
        return _describe_checkpoint(checkpoints.create(sandbox_id, requests.kind(request), labels, moved_on))

    def _restore(self, request: Fields) -> Fields:
        checkpoint = self._store.get(_checkpoint_id(request))
        if checkpoint.runtime != requests.runtime(request):
            raise UnknownCheckpointError(f"checkpoint {checkpoint.checkpoint_id} is the {checkpoint.runtime} runtime's")
        labels, ttl_s = requests.labels(request.get("labels", {})), requests.ttl_s(request)
        try:
            if checkpoint.runtime == "docker":
                return describe_docker(self._docker_checkpoints.restore(checkpoint, labels, ttl_s))
            return describe(self._checkpoints.restore(checkpoint, labels, ttl_s))
        except (SandboxFailedError, OSError):
            self._store.get(checkpoint.checkpoint_id)  # that it was deleted meanwhile is the better reason
            raise

    def _list_checkpoints(self, request: Fields) -> Fields:
        return {"checkpoints": [_describe_checkpoint(each) for each in self._store.records(requests.runtime(request))]}

    def _destroy_checkpoint(self, request: Fields) -> Fields:
        self._store.delete(_checkpoint_id(request))
        return {}


def _sandbox_id(request: Fields) -> str:
    return requests.identifier(request.get("sandbox_id"), "sandbox_id")


def _checkpoint_id(request: Fields) -> str:
    return requests.identifier(request.get("checkpoint_id"), "checkpoint_id")
