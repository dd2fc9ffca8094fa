"""The few calls of a Docker Engine that the launcher makes; whatever fails there is a SandboxFailedError.

Neither `exec` nor the archive calls are among them: both act as root on what hostile code has prepared. docker-py
serves, since the launcher is threaded anyway: with the same body, create to an agent's first frame took it 157 ms
where aiodocker took 175 to 211 (p50 of 10, two runs each, in turn).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests.exceptions

from envserver.launcher import cgroups
from envserver.launcher.crun import SandboxFailedError

_TIMEOUT_S = 60
_GONE_S = 10
_CONFLICT = 409


class Engine:
    """One Engine by its socket; safe to call from many threads. Nothing is asked of it before the first call."""

    def __init__(self, path: Path, oci_runtime: str | None = None) -> None:
        self.path, self._oci_runtime = path, oci_runtime
        self._client: docker.APIClient | None = None
        self._cgroup_driver: str | None = None
        self._lock = threading.Lock()

    def problem(self) -> str | None:
        """Why no sandbox can be made with it, fit for an operator; None when it can."""
        try:
            with socket.socket(socket.AF_UNIX) as probe:  # docker-py would leave its own open on a failure
                probe.connect(str(self.path))
        except OSError as error:
            return f"there is no Engine at {self.path}: {error.strerror}"
        try:
            with _translated("info"):
                known = sorted(self._api().info()["Runtimes"])
        except SandboxFailedError as error:
            return str(error)
        if self._oci_runtime is not None and self._oci_runtime not in known:
            return f"the Engine has no OCI runtime {self._oci_runtime!r}; it has {', '.join(known)}"
        return None

    def close(self) -> None:
        """Let go of connections; the next call makes new ones."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def start_container(self, name: str, body: dict[str, Any]) -> str:
        """Create a container and start it; returns its cgroup. What failed half-way is the caller's to remove."""
        if self._oci_runtime is not None:
            body = {**body, "HostConfig": {**body["HostConfig"], "Runtime": self._oci_runtime}}
        api = self._api()
        with _translated("create"):
            created: dict[str, Any] = api.create_container_from_config(body, name)  # type: ignore[no-untyped-call]
        with _translated("start"):
            api.start(created["Id"])
        return self.cgroup(created["Id"])

    def pause(self, name: str) -> None:
        """Freeze a container; one that is paused stays so."""
        self._switch(name, "pause", "already paused")

    def unpause(self, name: str) -> None:
        """Undo `pause`; one that is not paused goes on."""
        self._switch(name, "unpause", "not paused")

    def _switch(self, name: str, call: str, done: str) -> None:
        api = self._api()
        with _translated(call):
            try:
                getattr(api, call)(name)
            except docker.errors.APIError as error:
                if done not in str(error.explanation):
                    raise

    def state(self, name: str) -> str:
        """`running`, `paused`, `exited` or another of the Engine's words; empty where there is no such container."""
        with _translated("inspect"):
            try:
                return str(self._api().inspect_container(name)["State"]["Status"])
            except docker.errors.NotFound:
                return ""

    def remove_container(self, name: str) -> None:
        """Kill and remove it with its anonymous volumes, however far it got; an unknown one is no error."""
        api = self._api()
        with contextlib.suppress(SandboxFailedError):
            self.unpause(name)  # what is frozen does not die
        with _translated("remove"):
            try:
                api.remove_container(name, force=True, v=True)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                if error.status_code != _CONFLICT:  # else somebody removes it already
                    raise
                with contextlib.suppress(docker.errors.NotFound):
                    api.wait(name, timeout=_GONE_S, condition="removed")

    def containers(self, label: str) -> list[dict[str, Any]]:
        """All that carry the label (`name=value`), running or not, as the Engine lists them."""
        with _translated("list"):
            found: list[dict[str, Any]] = self._api().containers(all=True, filters={"label": [label]})
            return found

    def has_image(self, name: str, *, volumes: bool = True) -> bool:
        """Whether it has one of that name; where `volumes` is false, one that declares no volume."""
        with _translated("image"):
            try:
                found: dict[str, Any] = self._api().inspect_image(name)  # type: ignore[no-untyped-call]
            except docker.errors.ImageNotFound:
                return False
        return volumes or not found["Config"].get("Volumes")

    def import_image(self, archive: Iterable[bytes], repository: str, tag: str) -> None:
        """Make an image of one layer from the tar archive of a root directory."""
        with _translated("import"):
            said = self._api().import_image_from_stream(archive, repository, tag)
        if not self.has_image(f"{repository}:{tag}"):  # a failure half-way is told in the answer's text
            raise SandboxFailedError(f"Docker Engine, import: {said[-500:]}")

    def cgroup(self, container_id: str) -> str:
        """The container's group: the same relative path in every hierarchy."""
        if self._cgroup_driver is None:  # asked once: an Engine counts much before it answers
            with _translated("info"):
                self._cgroup_driver = str(self._api().info()["CgroupDriver"])
        driver = self._cgroup_driver
        path = f"/system.slice/docker-{container_id}.scope" if driver == "systemd" else f"/docker/{container_id}"
        root = cgroups.ROOT if cgroups.is_v2() else cgroups.ROOT / "memory"
        if not (root / path.lstrip("/")).is_dir():
            raise SandboxFailedError(f"the container's control group is not at {root / path.lstrip('/')}")
        return path

    def _api(self) -> docker.APIClient:
        with self._lock:
            if self._client is None:
                with _translated("version"):
                    self._client = docker.APIClient(f"unix://{self.path}", version="auto", timeout=_TIMEOUT_S)
            return self._client


@contextlib.contextmanager
def _translated(call: str) -> Iterator[None]:
    try:
        yield
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise SandboxFailedError(f"Docker Engine, {call}: {error}") from error
