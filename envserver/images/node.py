"""The node that Compose runs: hands it built images by `docker save` piped into `envserver images import`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

from envserver.images.build import EPISODE_IMAGES, BuildError, Report, docker, image_id

_START_S = 60
"""What a launcher may take to start: once, it makes the layers' file system."""


Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Begins to show how bytes flow: of what, how many at most; yields what is told of each chunk's size."""

_CHUNK_BYTES = 1 << 20


def _no_progress(_what: str, _total_bytes: int | None) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _: None)


def import_built_images(
    container: str, report: Report, names: tuple[str, ...] = EPISODE_IMAGES, progress: Progress = _no_progress
) -> None:
    """Import what the node does not have yet; an image's id is its digest, so nothing is saved in vain.

    Raises: BuildError.
    """
    docker("exec", container, "envserver", "health", "--launcher", "--wait-s", str(_START_S))
    listed = docker("exec", container, "envserver", "images", "ls", "--json")
    stored = {(name, image["digest"]) for image in json.loads(listed) for name in image["names"]}
    for name in names:
        tag = f"envserver/{name}:latest"
        digest = image_id(tag)
        if digest is None:
            raise BuildError(f"there is no image {tag}; run `envserver images build`")
        if (name, digest) in stored:
            report(f"{name}: the node has it")
            continue
        report(f"{name}: importing into the node")
        import_tag(container, tag, name, progress)


def import_tag(container: str, tag: str, name: str, progress: Progress = _no_progress) -> None:
    """Import one local image under `name`. Raises: BuildError."""
    importer = ["docker", "exec", "-i", container, "envserver", "images", "import", "--name", name, "-"]
    size_bytes = int(docker("image", "inspect", "--format", "{{.Size}}", tag))
    with (
        progress(name, size_bytes) as told,
        subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE) as save,
        subprocess.Popen(importer, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as node,
    ):
        assert save.stdout is not None
        assert node.stdin is not None
        with suppress(BrokenPipeError):  # it refused before the end; what it says follows
            while chunk := save.stdout.read(_CHUNK_BYTES):
                node.stdin.write(chunk)
                told(len(chunk))
        save.stdout.close()
        _, said = node.communicate()
    if save.returncode != 0 or node.returncode != 0:
        raise BuildError(f"{tag} could not be imported: {said.decode(errors='replace').strip()[-1000:]}")


def compose_container(project: str, service: str = "launcher") -> str:
    """The id of a service's running container. Raises: BuildError."""
    filters = (f"label=com.docker.compose.project={project}", f"label=com.docker.compose.service={service}")
    found = docker("ps", "--quiet", "--filter", filters[0], "--filter", filters[1]).split()
    if not found:
        raise BuildError(f"service {service!r} of project {project!r} does not run; run `make up`")
    return found[0]
