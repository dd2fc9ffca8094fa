"""The launcher's socket: typed requests in, results out, each checked before anything is done.

A thread a connection, one request at a time each, and a semaphore over the heavy ones: the work is waiting for
crun and the kernel. A sandbox whose maker has hung up before the answer is destroyed again: nobody knows it.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from envserver.launcher import abilities, logs, node, protocol, requests
from envserver.launcher.crun import SandboxFailedError
from envserver.launcher.deadlines import Deadline
from envserver.launcher.docker.engine import Engine
from envserver.launcher.docker.sandboxes import DockerMaker, DockerPaths
from envserver.launcher.ending import hibernate_episodes
from envserver.launcher.images import ImageStore
from envserver.launcher.operations import LIGHT, MAKING, Operations, refusal
from envserver.launcher.paths import Paths
from envserver.launcher.sandboxes import SandboxMaker
from envserver.launcher.store import CheckpointStore

log = logging.getLogger("envserver.launcher")

_PEER = struct.Struct("3i")
_REAP_INTERVAL_S = 5.0
_CLIENTS_MAX = 256
_RANGES_AHEAD = 64


class Service:
    """One launcher. `serve` blocks until `stop` is called."""

    def __init__(self, config: node.NodeConfig) -> None:
        # First of all, while there is one thread: the maker forks its helper.
        paths = node.prepare(config)
        self._config = config
        self._images = ImageStore(config.images or config.data / "images", config.agent)
        self._maker = SandboxMaker(
            config.name,
            paths,
            self._images,
            server_uid=config.server_uid,
            server_gid=config.server_gid,
            reserve_bytes=config.reserve_bytes,
        )
        self._docker = self._make_docker(paths)
        self._crun_problem = abilities.crun_problem(self._maker.assembly.try_id_map)
        self._store = CheckpointStore(paths)
        self._operations = Operations(self._images, self._maker, self._docker, self._store, config.keep_free_bytes)
        self._heavy = threading.BoundedSemaphore(config.concurrency)
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None

    def _make_docker(self, paths: Paths) -> DockerMaker:
        config = self._config
        return DockerMaker(
            config.name,
            DockerPaths(paths.layers, config.run, config.engine_run or config.run, config.agent),
            Engine(config.docker_socket, config.oci_runtime),
            self._images,
            self._maker.check_reserve,
            server_uid=config.server_uid,
            server_gid=config.server_gid,
        )

    # --- life -----------------------------------------------------------------------------------

    def serve(self) -> None:
        hibernation = self._operations.hibernation
        hibernation.load()
        self._store.load()
        self._maker.adopt(hibernation.known())
        hibernation.forget_woken()
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
        adopted = sum(1 for _ in self._sandboxes())
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
        """Hibernate episodes, end all else, undo what `node.prepare` did outside: the container is going away."""
        for _ in range(self._config.concurrency):
            self._heavy.acquire()  # what is under way ends first, and nothing new begins
        self._adopt_from_engine()
        saved = hibernate_episodes(
            self._maker,
            self._operations.hibernation,
            self._maker.paths,
            budget_s=self._config.hibernate_s,
            at_once=self._config.concurrency,
        )
        ids = [record.sandbox_id for maker in (self._maker, self._docker) for record in maker.records()]
        with ThreadPoolExecutor(self._config.concurrency) as pool:
            list(pool.map(self._operations.destroy, ids))
        node.release(self._config)
        log.info("node ended: hibernated=%d destroyed=%d", saved, len(ids))

    def _sandboxes(self) -> Iterator[tuple[str, Deadline]]:
        for part in (self._maker, self._operations.hibernation, self._docker):
            for record in part.records():
                yield record.sandbox_id, record.deadline

    def close(self) -> None:
        """Let go of what outlives a request: connections to a Docker Engine."""
        self._docker.engine.close()

    def _reap(self) -> None:
        """End what nobody ended in time."""
        while not self._stopping.wait(_REAP_INTERVAL_S):
            self._adopt_from_engine()
            self._operations.hibernation.end_remains()
            for sandbox_id in [sandbox_id for sandbox_id, deadline in self._sandboxes() if deadline.left_s() < 0]:
                try:
                    log.warning("sandbox %s is past its deadline", sandbox_id)
                    self._operations.destroy(sandbox_id)
                except Exception:
                    log.exception("sandbox %s could not be destroyed", sandbox_id)

    def _adopt_from_engine(self) -> None:
        try:
            self._docker.adopt_when_there()
        except (SandboxFailedError, OSError):
            log.exception("what a Docker Engine has of this node cannot be taken over")

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
            if "error" not in answer and request.get("op") in MAKING:
                log.warning("the client of sandbox %s is gone; destroying it", answer["sandbox_id"])
                self._operations.destroy(answer["sandbox_id"])
            raise

    def _carry_out(self, connection: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
        name = str(request.get("op"))
        try:
            if name == "import_image":
                return self._import_image(connection, request)
            if name == "health":
                return self._health()
            if name in LIGHT:
                return self._operations(request)
            with self._heavy:
                if name == "checkpoint":
                    return self._operations.checkpoint(request, lambda: _tell_moved_on(connection))
                return self._operations(request)
        except Exception as error:
            return refusal(name, error)

    def _import_image(self, connection: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
        name = request.get("name")
        with connection.makefile("rb") as archive:
            image = self._images.load(archive, None if name is None else requests.text(name, "name"))
        return asdict(image)

    def _health(self) -> dict[str, Any]:
        return {
            "node": self._config.name,
            "sandboxes": len(self._maker.records()) + len(self._docker.records()),
            "layers_free_bytes": self._maker.free_layer_bytes(),
            "problems": {"crun": self._crun_problem, "docker": self._docker.problem()},
        }


def _tell_moved_on(connection: socket.socket) -> None:
    """Ahead of the answer: what was saved runs again, and only the disk is still at work."""
    with contextlib.suppress(OSError):  # the caller is gone, which its answer will show
        connection.sendall(protocol.encode({protocol.AHEAD: "moved_on"}))


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
