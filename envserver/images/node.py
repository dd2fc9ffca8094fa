"""The node that Compose runs: hands it built images by `docker save` piped into `envserver images import`."""

from __future__ import annotations

import json
import socket
import subprocess

from envserver.images.build import EPISODE_IMAGES, BuildError, Report, docker, image_id

_START_S = 60
"""What a launcher may take to start: once, it makes the layers' file system."""


def import_built_images(container: str, report: Report, names: tuple[str, ...] = EPISODE_IMAGES) -> None:
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
        import_tag(container, tag, name)


def import_tag(container: str, tag: str, name: str) -> None:
    """Import one local image under `name`. Raises: BuildError."""
    importer = ["docker", "exec", "-i", container, "envserver", "images", "import", "--name", name, "-"]
    save = subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE)
    result = subprocess.run(importer, stdin=save.stdout, capture_output=True, text=True, check=False)
    if save.wait() != 0 or result.returncode != 0:
        raise BuildError(f"{tag} could not be imported: {result.stderr.strip()[-1000:]}")


def check_port(project: str, host: str, port: int) -> None:
    """Nobody but the project's own server may listen where it is to. Raises: BuildError.

    Else its server would fail to start beside another node, and whoever asks at that address would talk to that one.
    """
    try:
        compose_container(project, "server")
    except BuildError:
        try:
            socket.create_server((host, port)).close()
        except OSError as error:
            raise BuildError(
                f"{host}:{port} cannot be listened on ({error.strerror}): choose another port with ENVSERVER_PORT"
            ) from None


def compose_container(project: str, service: str = "launcher") -> str:
    """The id of a service's running container. Raises: BuildError."""
    filters = (f"label=com.docker.compose.project={project}", f"label=com.docker.compose.service={service}")
    found = docker("ps", "--quiet", "--filter", filters[0], "--filter", filters[1]).split()
    if not found:
        raise BuildError(f"service {service!r} of project {project!r} does not run; run `make up`")
    return found[0]
