"""Builds the images below images/, two at a time, each after those that it stands on, skipping what has not changed.

An image's label `envserver.inputs` is a digest of everything that it was built from: its Dockerfile and context, and
the digests of the images that it stands on. The same digest means the same image, so nothing is asked of Docker.

Without a registry there is no debian:trixie-slim; then the same release is bootstrapped from Debian's packages.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO

REGISTRY_BASE = "debian:trixie-slim"
BOOTSTRAPPED_BASE = "envserver/bootstrapped:trixie"
INPUTS_LABEL = "envserver.inputs"
_CA_FILE = "host-ca.crt"
_SKIPPED = ("__pycache__", "target", "Cargo.lock", ".egg-info", ".mypy_cache")

Report = Callable[[str], None]


class BuildError(Exception):
    """The host lacks something or a build failed; the message says what to do."""


@dataclass(frozen=True)
class Image:
    """One image: its context, by path in the context, and the images that it is built from, by build argument."""

    name: str
    context: Mapping[str, str]
    parents: Mapping[str, str] = field(default_factory=dict)
    stage: str | None = None
    """Of a Dockerfile that makes several images."""
    with_tests: bool = False
    """Whether folders called `tests` belong to the context."""

    @property
    def tag(self) -> str:
        return f"envserver/{self.name}:latest"


def _folder(name: str) -> dict[str, str]:
    return {"": f"images/{name}"}


_NODE_SOURCES = ("requirements.txt", "pyproject.toml", "envserver", "environments", "sdk")
_NODE_FILES = {"Dockerfile": "images/node/Dockerfile", "passcred.c": "images/node/passcred.c"}
_NODE_CONTEXT = {**_NODE_FILES, **{path: path for path in _NODE_SOURCES}}

IMAGES = (
    Image("base", _folder("base")),
    Image("agent", _folder("agent"), {"BASE": "base"}, stage="agent"),
    Image("node", _NODE_CONTEXT, {"BASE": "base", "AGENT": "agent"}),
    Image("agent-tests", _folder("agent"), {"BASE": "base"}, stage="tests", with_tests=True),
    Image("code", _folder("code"), {"BASE": "base"}),
    Image("browser", _folder("browser"), {"BASE": "base"}),
    Image("gym", _folder("gym"), {"BASE": "base"}),
    Image("busybox", _folder("busybox"), {"BASE": "base"}),
    Image("tools", _folder("tools"), {"BASE": "base", "CODE": "code", "BROWSER": "browser"}),
)
"""Parents before their children; of two that can be built the first is begun first."""
AT_ONCE = 2
"""Builds: one waits for packages or for the disk while the other computes."""
NODE_IMAGES = ("code", "busybox", "gym", "tools", "browser", "node")
"""What a node needs, with what they stand on; the others are for tests."""
EPISODE_IMAGES = ("code", "busybox", "gym", "tools", "browser")
"""Those that sandboxes are made from, and that a node has to import."""


def docker(*arguments: str, input_bytes: bytes | None = None) -> str:
    """Run the Docker client. Raises: BuildError with what it said."""
    try:
        result = subprocess.run(["docker", *arguments], input=input_bytes, capture_output=True, check=False)
    except FileNotFoundError:
        raise BuildError(
            "there is no `docker` command: install Docker Engine (Debian: apt-get install docker.io)"
        ) from None
    if result.returncode != 0:
        message = result.stderr.decode(errors="replace").strip()
        if "Cannot connect" in message or "permission denied" in message:
            message += "\nStart the Docker daemon, and run this as root or as a member of the group `docker`."
        raise BuildError(f"docker {arguments[0]}: {message}")
    return result.stdout.decode(errors="replace").strip()


class Builder:
    """Builds from the checkout at `root`; `report` gets a line for every stage of note."""

    def __init__(self, root: Path, report: Report) -> None:
        self._root = root
        self._report = report
        self._logs = root / ".build"

    def build(self, names: tuple[str, ...] = ()) -> None:
        """Build the named images, or those of a node, and what they stand on. Raises: BuildError."""
        docker("version")
        self._logs.mkdir(exist_ok=True)
        wanted = self._with_parents(names or NODE_IMAGES)
        order = TopologicalSorter({each.name: each.parents.values() for each in IMAGES if each.name in wanted})
        order.prepare()
        built: dict[str, str] = {}
        running: dict[Future[str], str] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while order.is_active():
                ready = set(order.get_ready())
                for image in (image for image in IMAGES if image.name in ready):
                    running[pool.submit(self._bring_up_to_date, image, dict(built))] = image.name
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(done)
                    if done.exception() is not None:
                        pool.shutdown(cancel_futures=True)  # what has begun comes to its end first
                    built[name] = done.result()
                    order.done(name)

    def _bring_up_to_date(self, image: Image, built: Mapping[str, str]) -> str:
        """The digest of what the image is built from; `built` has those of its parents. Raises: BuildError."""
        inputs = self._inputs(image, built)
        if _label(image.tag) == inputs:
            self._report(f"{image.name}: unchanged")
        else:
            self._build_one(image, inputs)
        return inputs

    @staticmethod
    def _with_parents(names: tuple[str, ...]) -> set[str]:
        wanted = set(names)
        known = {image.name for image in IMAGES}
        if unknown := wanted - known:
            raise BuildError(f"no image {sorted(unknown)[0]!r}; there are {', '.join(sorted(known))}")
        for image in reversed(IMAGES):
            if image.name in wanted:
                wanted |= set(image.parents.values())
        return wanted

    def _inputs(self, image: Image, built: Mapping[str, str]) -> str:
        digest = hashlib.sha256()
        for name, path in self._files(image):
            digest.update(f"{name}\0{path.stat().st_mode & 0o111}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        for parent in image.parents.values():
            digest.update(built[parent].encode())
        return digest.hexdigest()

    def _files(self, image: Image) -> Iterator[tuple[str, Path]]:
        """(path in the context, file), sorted."""
        for name, source in sorted(image.context.items()):
            path = self._root / source
            if path.is_file():
                yield name, path
                continue
            for file in sorted(path.rglob("*")):
                inside = file.relative_to(path)
                if "tests" in inside.parts and not image.with_tests:
                    continue
                if file.is_file() and not any(part.endswith(_SKIPPED) for part in inside.parts):
                    yield str(Path(name) / inside), file

    def _build_one(self, image: Image, inputs: str) -> None:
        began = time.monotonic()
        arguments = {key: f"envserver/{parent}:latest" for key, parent in image.parents.items()}
        if image.name == "base":
            arguments["BASE"] = self._base()
        log = self._logs / f"{image.name}.log"
        self._report(f"{image.name}: building (log: {log.relative_to(self._root)})")
        command = ["docker", "build", "--tag", image.tag, "--label", f"{INPUTS_LABEL}={inputs}"]
        if image.stage:
            command += ["--target", image.stage]
        for key, value in arguments.items():
            command += ["--build-arg", f"{key}={value}"]
        with log.open("wb") as output:
            status = self._run_build([*command, "-"], self._context(image), output, image.name)
        if status != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise BuildError(f"{image.name} could not be built; the end of {log}:\n{tail}")
        self._report(f"{image.name}: built in {time.monotonic() - began:.0f} s")

    def _run_build(self, command: list[str], context: bytes, output: IO[bytes], name: str) -> int:
        """Run a build, reporting its steps; returns its exit status."""
        pipe = subprocess.PIPE
        environment = _builder_environment()
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, env=environment) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(context)
            process.stdin.close()
            for line in process.stdout:
                output.write(line)
                text = line.decode(errors="replace").strip()
                if text.startswith(("Step ", "#")) and " : " in text:
                    self._report(f"{name}: {text[:100]}")
        return process.returncode

    def _context(self, image: Image) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, path in self._files(image):
                member = tar.gettarinfo(path, name)
                member.mtime = 0  # so that Docker's own cache holds over checkouts
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                with path.open("rb") as file:
                    tar.addfile(member, file)
            authorities = _host_authorities()
            member = tarfile.TarInfo(_CA_FILE)
            member.size = len(authorities)
            tar.addfile(member, io.BytesIO(authorities))
        return buffer.getvalue()

    def _base(self) -> str:
        """A trixie to start from: what the user names in BASE, the registry's, or one made from packages."""
        if named := os.environ.get("BASE"):
            return named
        for known in (REGISTRY_BASE, BOOTSTRAPPED_BASE):
            if _exists(known):
                return known
        try:
            self._report(f"base: pulling {REGISTRY_BASE}")
            docker("pull", "--quiet", REGISTRY_BASE)
        except BuildError:
            self._report("base: no registry answers; bootstrapping trixie from Debian's packages")
            self._bootstrap()
            return BOOTSTRAPPED_BASE
        return REGISTRY_BASE

    def _bootstrap(self) -> None:
        if shutil.which("mmdebstrap") is None:
            self._install_mmdebstrap()
        with (self._logs / "bootstrap.log").open("wb") as log:
            bootstrap = subprocess.Popen(
                ["mmdebstrap", "--variant=minbase", "trixie", "-"], stdout=subprocess.PIPE, stderr=log
            )
            imported = subprocess.run(
                ["docker", "import", "-", BOOTSTRAPPED_BASE],
                stdin=bootstrap.stdout,
                stdout=log,
                stderr=log,
                check=False,
            )
        if bootstrap.wait() != 0 or imported.returncode != 0:
            raise BuildError(f"mmdebstrap could not make a trixie; see {self._logs / 'bootstrap.log'}")

    def _install_mmdebstrap(self) -> None:
        advice = (
            "no registry answers and mmdebstrap is missing: "
            "run `apt-get install mmdebstrap`, or set BASE to a Debian trixie image"
        )
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise BuildError(advice)
        self._report("base: installing mmdebstrap")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        with (self._logs / "bootstrap.log").open("wb") as log:
            for arguments in (["update"], ["install", "-y", "--no-install-recommends", "mmdebstrap"]):
                if subprocess.run(
                    ["apt-get", *arguments], env=environment, stdout=log, stderr=log, check=False
                ).returncode:
                    raise BuildError(advice)


def image_id(tag: str) -> str | None:
    """`sha256:...` of a local image; None when there is none."""
    try:
        return docker("image", "inspect", "--format", "{{.Id}}", tag)
    except BuildError:
        return None


def _exists(tag: str) -> bool:
    return image_id(tag) is not None


def _label(tag: str) -> str | None:
    try:
        return docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{INPUTS_LABEL}"}}}}', tag)
    except BuildError:
        return None


def _builder_environment() -> dict[str, str]:
    """Docker's older builder where the newer one's plugin is missing."""
    has_buildx = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode == 0
    return dict(os.environ) if has_buildx else {**os.environ, "DOCKER_BUILDKIT": "0"}


def _host_authorities() -> bytes:
    """The certificate authorities that this host trusts, for builds behind a proxy that has one of its own."""
    for path in (os.environ.get("SSL_CERT_FILE"), os.environ.get("PIP_CERT"), "/etc/ssl/certs/ca-certificates.crt"):
        if path and Path(path).is_file():
            return Path(path).read_bytes()
    return b""
