"""The launcher's socket: typed requests in, results out, each checked before anything is done.

A thread a connection, one request at a time each, and a semaphore over the heavy ones: the work is waiting for
crun and the kernel. A sandbox whose maker has hung up before the answer is destroyed again: nobody knows it.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from envserver.launcher import abilities, bundle, idmap, logs, node, protocol, requests
from envserver.launcher.archives import ImageError
from envserver.launcher.checkpoints import Checkpoints
from envserver.launcher.crun import SandboxFailedError
from envserver.launcher.docker.engine import Engine
from envserver.launcher.docker.records import describe as describe_docker
from envserver.launcher.docker.sandboxes import DockerMaker, DockerPaths
from envserver.launcher.images import ImageStore
from envserver.launcher.requests import RequestError
from envserver.launcher.sandboxes import DiskReserveError, SandboxMaker, SandboxRecord, is_running

log = logging.getLogger("envserver.launcher")

_PEER = struct.Struct("3i")
_REAP_INTERVAL_S = 5.0
_CLIENTS_MAX = 256
_RANGES_AHEAD = 64


def _describe(record: SandboxRecord) -> dict[str, Any]:
    return {
        "sandbox_id": record.sandbox_id,
        "image": record.image,
        "socket": f"{protocol.SANDBOX_DIRECTORY}/{record.sandbox_id}/{bundle.SOCKET_NAME}",
        "cgroup": record.cgroup,
        "pid": record.pid,
        "host_uid": idmap.range_start(record.range_index),
        "created_at": record.created_at,
        "deadline": record.deadline,
        "labels": record.labels,
        "nofile": record.limits.nofile,
        "running": is_running(record),
    }


class Service:
    """One launcher. `serve` blocks until `stop` is called."""

    def __init__(self, config: node.NodeConfig) -> None:
        # First of all, while there is one thread: the maker forks its helper.
        paths = node.prepare(config)
        self._config = config
        images = ImageStore(config.images or config.data / "images", config.agent)
        self._images = images
        self._maker = SandboxMaker(
            config.name,
            paths,
            images,
            server_uid=config.server_uid,
            server_gid=config.server_gid,
            reserve_bytes=config.reserve_bytes,
        )
        self._docker = DockerMaker(
            config.name,
            DockerPaths(paths.layers, config.run, config.engine_run or config.run, config.agent),
            Engine(config.docker_socket, config.oci_runtime),
            images,
            self._maker.check_reserve,
            server_uid=config.server_uid,
            server_gid=config.server_gid,
        )
        self._makers = (self._maker, self._docker)
        self._crun_problem = abilities.crun_problem(self._maker.try_id_map)
        self._checkpoints = Checkpoints(self._maker)
        self._heavy = threading.BoundedSemaphore(config.concurrency)
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "create": self._create,
            "destroy": self._destroy,
            "list": self._list,
            "images": self._list_images,
            "checkpoint": self._checkpoint,
            "restore": self._restore,
            "destroy_checkpoint": self._destroy_checkpoint,
            "health": self._health,
        }

    # --- life -----------------------------------------------------------------------------------

    def serve(self) -> None:
        self._maker.adopt()
        self._checkpoints.remove_orphans()
        self._adopt_from_engine()
        path = self._config.run / protocol.SOCKET_NAME
        path.unlink(missing_ok=True)
        self._listener = listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o666)  # who may speak is decided by SO_PEERCRED
        listener.listen(_CLIENTS_MAX)
        threading.Thread(target=self._reap, name="reaper", daemon=True).start()
        if self._crun_problem is None:
            threading.Thread(target=self._maker.keep_ranges_ready, args=(_RANGES_AHEAD,), daemon=True).start()
        adopted = sum(len(maker.records()) for maker in self._makers)
        log.info("launcher ready: node=%s adopted=%d socket=%s", self._config.name, adopted, path)
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                if self._stopping.is_set():
                    return
                log.exception("accept failed")
                time.sleep(0.1)
                continue
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def stop(self) -> None:
        """Stop serving; sandboxes live on."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """End every sandbox and undo what `node.prepare` did outside: the container is going away."""
        for _ in range(self._config.concurrency):
            self._heavy.acquire()  # what is under way ends first, and nothing new begins
        self._adopt_from_engine()
        ids = [record.sandbox_id for maker in self._makers for record in maker.records()]
        with ThreadPoolExecutor(self._config.concurrency) as pool:
            list(pool.map(self._destroy_any, ids))
        node.release(self._config)
        log.info("node ended: sandboxes=%d", len(ids))

    def close(self) -> None:
        """Let go of what outlives a request: connections to a Docker Engine."""
        self._docker.engine.close()

    def _reap(self) -> None:
        """End what nobody ended in time."""
        while not self._stopping.wait(_REAP_INTERVAL_S):
            now = time.time()
            self._adopt_from_engine()
            for record in [record for maker in self._makers for record in maker.records()]:
                if record.deadline < now:
                    try:
                        log.warning("sandbox %s is past its deadline", record.sandbox_id)
                        self._destroy_any(record.sandbox_id)
                    except Exception:
                        log.exception("sandbox %s could not be destroyed", record.sandbox_id)

    def _adopt_from_engine(self) -> None:
        try:
            self._docker.adopt_when_there()
        except (SandboxFailedError, OSError):
            log.exception("what a Docker Engine has of this node cannot be taken over")

    def _destroy_any(self, sandbox_id: str) -> bool:
        return any(maker.destroy(sandbox_id) for maker in self._makers)

    # --- conversations --------------------------------------------------------------------------

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            _, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
            if uid not in (0, self._config.server_uid):
                log.warning("refused a peer with uid %d", uid)
                return
            try:
                while request := self._receive(connection):
                    self._answer(connection, request)
            except (OSError, ValueError) as error:
                log.info("connection ended: %s", error)

    @staticmethod
    def _receive(connection: socket.socket) -> dict[str, Any] | None:
        header = _read_exactly(connection, 4)
        if header is None:
            return None
        body = _read_exactly(connection, protocol.decode_length(header))
        return None if body is None else protocol.decode_body(body)

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        answer = self._carry_out(connection, request)
        try:
            connection.sendall(protocol.encode(answer))
        except OSError:
            if "error" not in answer and request.get("op") in ("create", "restore"):
                log.warning("the client of sandbox %s is gone; destroying it", answer["sandbox_id"])
                self._destroy_any(answer["sandbox_id"])
            raise

    def _carry_out(self, connection: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
        name = str(request.get("op"))
        try:
            if name == "import_image":
                return self._import_image(connection, request)
            if name == "claim":  # waits for nobody, since an episode waits for it
                return self._claim(request)
            with self._heavy:
                return self._operations.get(name, self._unknown)(request)
        except RequestError as error:
            return {"error": error.code, "message": str(error)}
        except (DiskReserveError, idmap.RangesExhaustedError) as error:
            return {"error": protocol.ERROR_CAPACITY, "message": str(error)}
        except ImageError as error:
            return {"error": protocol.ERROR_IMAGE, "message": str(error)}
        except SandboxFailedError as error:
            log.error("%s: %s", name, error)  # noqa: TRY400  # the message is the whole story
            return {"error": protocol.ERROR_FAILED, "message": str(error)}
        except Exception as error:
            log.exception("%s failed", name)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                return {"error": protocol.ERROR_CAPACITY, "message": f"the disk is full: {error}"}
            return {"error": protocol.ERROR_FAILED, "message": f"{type(error).__name__}: {error}"}

    # --- operations -----------------------------------------------------------------------------

    @staticmethod
    def _unknown(request: dict[str, Any]) -> dict[str, Any]:
        raise RequestError(protocol.ERROR_REQUEST, f"unknown operation {request.get('op')!r}")

    def _create(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = requests.sandbox_request(request)
        if requests.runtime(request) == "docker":
            return describe_docker(self._docker.create(wanted))
        return _describe(self._maker.create(wanted))

    def _claim(self, request: dict[str, Any]) -> dict[str, Any]:
        sandbox_id = requests.text(request.get("sandbox_id"), "sandbox_id")
        image = self._images.resolve(requests.text(request.get("image"), "image")).digest
        labels, ttl_s = requests.labels(request.get("labels", {})), requests.ttl_s(request)
        if not any(maker.claim(sandbox_id, image, labels, ttl_s) for maker in self._makers):
            raise RequestError(protocol.ERROR_UNKNOWN_SANDBOX, f"no sandbox {sandbox_id!r} of image {image}")
        return {}

    def _destroy(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"destroyed": self._destroy_any(requests.text(request.get("sandbox_id"), "sandbox_id"))}

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        if requests.runtime(request) == "docker":
            return {"sandboxes": self._docker.describe()}
        return {"sandboxes": [_describe(record) for record in self._maker.records()]}

    def _list_images(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {"images": [asdict(image) for image in self._images.images()]}

    def _import_image(self, connection: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
        name = request.get("name")
        with connection.makefile("rb") as archive:
            image = self._images.load(archive, None if name is None else requests.text(name, "name"))
        return asdict(image)

    def _checkpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        sandbox = self._maker.get(requests.text(request.get("sandbox_id"), "sandbox_id"))
        if sandbox is None:
            raise RequestError(protocol.ERROR_UNKNOWN_SANDBOX, f"no sandbox {request['sandbox_id']!r}")
        record = self._checkpoints.create(sandbox)
        return {"checkpoint_id": record.checkpoint_id, "bytes": record.bytes, "pause_ms": record.pause_ms}

    def _restore(self, request: dict[str, Any]) -> dict[str, Any]:
        checkpoint = self._checkpoints.get(requests.identifier(request.get("checkpoint_id"), "checkpoint_id"))
        if checkpoint is None:
            raise RequestError(protocol.ERROR_REQUEST, f"no checkpoint {request['checkpoint_id']!r}")
        labels, ttl_s = requests.labels(request.get("labels", {})), requests.ttl_s(request)
        return _describe(self._checkpoints.restore(checkpoint, labels, ttl_s))

    def _destroy_checkpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        self._checkpoints.destroy(requests.identifier(request.get("checkpoint_id"), "checkpoint_id"))
        return {}

    def _health(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {
            "node": self._config.name,
            "sandboxes": sum(len(maker.records()) for maker in self._makers),
            "layers_free_bytes": self._maker.free_layer_bytes(),
            "problems": {"crun": self._crun_problem, "docker": self._docker.problem()},
        }


def _read_exactly(connection: socket.socket, count: int) -> bytes | None:
    """None when the peer has closed before the first byte."""
    received = bytearray()
    while len(received) < count:
        block = connection.recv(min(count - len(received), 1 << 20))
        if not block:
            if received:
                raise ValueError("the connection ended within a frame")
            return None
        received += block
    return bytes(received)


def run_forever(config: node.NodeConfig) -> None:
    """The launcher's main: SIGTERM ends it and leaves the sandboxes; SIGINT ends the node."""
    import signal

    logs.configure()
    service = Service(config)
    ending = False

    def end(_number: int, _frame: object) -> None:
        nonlocal ending
        ending = True
        service.stop()

    signal.signal(signal.SIGTERM, lambda *_: service.stop())
    signal.signal(signal.SIGINT, end)
    service.serve()
    if ending:
        service.end()
    service.close()
