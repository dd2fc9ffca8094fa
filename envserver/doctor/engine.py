"""Checks of the container engine: Docker, Compose, the disk beneath, the images, and what is in the node's image."""

from __future__ import annotations

import re

from envserver.doctor.findings import Finding, Level, Settings
from envserver.doctor.host import Host
from envserver.doctor.machine import GIB, version
from envserver.images.build import EPISODE_IMAGES

OLDEST_ENGINE = (20, 10)
OLDEST_COMPOSE = (1, 29)
IMAGES_BYTES = int(1.5 * GIB)
RESERVE_BYTES = 2 * GIB
"""The launcher leaves so much of the disk alone."""
NODE_IMAGE = "envserver/node:latest"
AGENT = "/usr/lib/envserver/agent"


def in_node(host: Host) -> bool:
    """Whether this runs inside a node's container, where there is no Docker and none is needed."""
    return host.exists(AGENT)


def docker(host: Host, _settings: Settings) -> Finding:
    ran = host.run("docker", "version", "--format", "{{.Server.Version}}")
    if ran.missing:
        return Finding("docker", Level.FAIL, ran.stderr, "install Docker Engine; on Debian: apt-get install docker.io")
    if not ran.ok:
        where = host.variable("DOCKER_HOST")
        remedy = (
            f"DOCKER_HOST is {where!r}: is an engine there?"
            if where
            else "start the Docker daemon, and run this as root or as a member of the group `docker`"
        )
        return Finding("docker", Level.FAIL, _last_line(ran.stderr) or f"status {ran.status}", remedy)
    if version(ran.stdout) < OLDEST_ENGINE:
        return Finding("docker", Level.FAIL, f"Engine {ran.stdout}", "install Docker Engine 20.10 or newer")
    return Finding("docker", Level.OK, f"Engine {ran.stdout}")


def _last_line(text: str) -> str:
    return text.splitlines()[-1] if text else ""


def compose(host: Host, _settings: Settings) -> Finding:
    for argv in (("docker", "compose"), ("docker-compose",)):
        ran = host.run(*argv, "version", "--short")
        number = version(ran.stdout)
        if ran.ok and number >= OLDEST_COMPOSE:
            return Finding("compose", Level.OK, f"`{' '.join(argv)}` {ran.stdout}")
        if ran.ok and number:
            remedy = "install Compose v1.29 or v2: Docker's compose plugin"
            return Finding("compose", Level.FAIL, f"`{' '.join(argv)}` {ran.stdout} is too old", remedy)
    remedy = "install Docker's compose plugin; on Debian: apt-get install docker-compose"
    return Finding("compose", Level.FAIL, "neither `docker compose` nor `docker-compose`", remedy)


def disk(host: Host, settings: Settings) -> Finding:
    root = host.run("docker", "info", "--format", "{{.DockerRootDir}}").stdout or "/var/lib/docker"
    free = host.free_bytes(root)
    if free is None:
        return Finding("disk", Level.WARN, f"{root} cannot be seen from here", f"look at the free space of {root}")
    detail = f"{free / GIB:.1f} GiB free at {root}"
    if free < IMAGES_BYTES + RESERVE_BYTES:
        return Finding("disk", Level.FAIL, detail, "free 4 GiB at least; Docker's own share: `docker system df`")
    wanted = IMAGES_BYTES + RESERVE_BYTES + settings.layers_gib * GIB
    if free < wanted and not container_of(host, settings, "launcher"):  # a node that runs has taken its share
        remedy = f"free {(wanted - free) / GIB:.0f} GiB, or set ENVSERVER_LAYERS_GIB below {settings.layers_gib:g}"
        return Finding("disk", Level.WARN, f"{detail}; images and layers want {wanted / GIB:.0f}", remedy)
    return Finding("disk", Level.OK, detail)


def images(host: Host, _settings: Settings) -> Finding:
    listed = host.run("docker", "image", "ls", "--format", "{{.Repository}}")
    wanted = ("node", *EPISODE_IMAGES)
    missing = [name for name in wanted if f"envserver/{name}" not in listed.stdout.split()]
    if missing:
        remedy = "`make up` or `envserver images build` builds them"
        return Finding("images", Level.WARN, f"not built: {', '.join(missing)}", remedy)
    return Finding("images", Level.OK, ", ".join(wanted))


def node_tools(host: Host, settings: Settings) -> Finding:
    """crun and CRIU, where sandboxes are made: here inside a node, else in the node's image."""
    script = "crun --version; criu --version"
    if in_node(host):
        ran = host.run("sh", "-c", script)
    elif container := container_of(host, settings, "launcher"):
        ran = host.run("docker", "exec", container, "sh", "-c", script)
    else:
        if not host.run("docker", "image", "inspect", "--format", "{{.Id}}", NODE_IMAGE).ok:
            return Finding("crun, CRIU", Level.WARN, f"{NODE_IMAGE} is not built", "`envserver images build node`")
        ran = host.run("docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", NODE_IMAGE, "-c", script)
    crun = re.search(r"^crun version (\S+)", ran.stdout, re.MULTILINE)
    criu = re.search(r"^Version: (\S+)", ran.stdout, re.MULTILINE)
    rebuild = "`envserver images build node`; inside a node: install the packages crun and criu"
    if crun is None:
        return Finding("crun, CRIU", Level.FAIL, f"no crun: {_last_line(ran.stderr)}".rstrip(": "), rebuild)
    if criu is None:
        return Finding("crun, CRIU", Level.WARN, f"crun {crun[1]}, no CRIU: no process checkpoints", rebuild)
    if "+CRIU" not in ran.stdout:
        return Finding("crun, CRIU", Level.WARN, f"crun {crun[1]} was built without CRIU", rebuild)
    return Finding("crun, CRIU", Level.OK, f"crun {crun[1]}, CRIU {criu[1]}")


def container_of(host: Host, settings: Settings, service: str) -> str | None:
    """The id of a service's running container."""
    filters = (
        f"label=com.docker.compose.project={settings.project}",
        f"label=com.docker.compose.service={service}",
    )
    found = host.run("docker", "ps", "--quiet", "--filter", filters[0], "--filter", filters[1]).stdout.split()
    return found[0] if found else None
