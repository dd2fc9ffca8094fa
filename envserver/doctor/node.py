"""Checks of the node: its port, its two programs, and the images that it has imported."""

from __future__ import annotations

import json

from envserver.doctor.engine import container_of, in_node
from envserver.doctor.findings import Finding, Level, Settings
from envserver.doctor.host import Host, Ran
from envserver.images.build import EPISODE_IMAGES

START = "`make up` starts a node"


def port(host: Host, settings: Settings) -> Finding:
    """Nobody but the project's own server may listen there.

    Else its server would fail to start beside another node, and whoever asks at that address would talk to that one.
    """
    where = f"{settings.host}:{settings.port}"
    refusal = host.refuses_to_listen(settings.host, settings.port)
    if refusal is None:
        return Finding("port", Level.OK, f"{where} is free")
    if container_of(host, settings, "server"):
        return Finding("port", Level.OK, f"{where} is this node's")
    return Finding(
        "port", Level.FAIL, f"{where} cannot be listened on ({refusal})", "choose another port with ENVSERVER_PORT"
    )


def launcher(host: Host, settings: Settings) -> Finding:
    ran = _in_launcher(host, settings, "envserver", "health", "--launcher")
    if ran is None:
        return Finding("launcher", Level.WARN, f"none runs in the Compose project {settings.project!r}", START)
    if not ran.ok:
        remedy = "its log says why: `docker-compose logs launcher`"
        return Finding("launcher", Level.FAIL, (ran.stderr or ran.stdout)[-200:], remedy)
    return Finding("launcher", Level.OK, "it answers")


def server(host: Host, settings: Settings) -> Finding:
    answer = host.get(f"{settings.url}/v1/health")
    if isinstance(answer, str):
        if container_of(host, settings, "server"):
            remedy = "its log says why: `docker-compose logs server`; --url says where it listens"
            return Finding("server", Level.FAIL, f"no answer at {settings.url}: {answer}", remedy)
        return Finding("server", Level.WARN, f"none at {settings.url}: {answer}", START)
    status = str(answer.get("status"))
    if status != "ok":
        remedy = "wait for its end, or start the launcher: `docker-compose logs server launcher`"
        return Finding("server", Level.FAIL, f"{settings.url} is {status}", remedy)
    detail = f"{settings.url}: version {answer.get('version')}, {answer.get('live_episodes')} live episodes"
    return Finding("server", Level.OK, detail)


def imported(host: Host, settings: Settings) -> Finding:
    ran = _in_launcher(host, settings, "envserver", "images", "ls", "--json")
    if ran is None:
        return Finding("imported images", Level.WARN, "no launcher runs", START)
    try:
        there = {str(name) for image in json.loads(ran.stdout) for name in image["names"]}
    except (ValueError, TypeError, KeyError):
        return Finding("imported images", Level.FAIL, "the launcher does not list them", "see the launcher")
    if missing := [name for name in EPISODE_IMAGES if name not in there]:
        detail = f"the node does not have: {', '.join(missing)}"
        return Finding("imported images", Level.FAIL, detail, "`envserver images sync` hands them to it")
    return Finding("imported images", Level.OK, ", ".join(sorted(there)))


def _in_launcher(host: Host, settings: Settings, *argv: str) -> Ran | None:
    """A command where the launcher's socket is; None when no launcher runs."""
    if in_node(host):
        return host.run(*argv)
    container = container_of(host, settings, "launcher")
    return host.run("docker", "exec", container, *argv) if container else None
