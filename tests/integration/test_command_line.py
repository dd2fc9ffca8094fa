"""Commands that need a real node: the doctor inside it, and images that are handed to it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from envserver.doctor import Host, Level, Settings
from envserver.doctor.engine import compose, disk, docker, images
from envserver.images.build import BuildError
from envserver.images.node import import_tag
from tests.conftest import Node

pytestmark = pytest.mark.node


def test_inside_a_node_the_doctor_finds_what_sandboxes_need(node: Node) -> None:
    command = ["docker", "exec", node.container, "envserver", "doctor", "--json"]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    checks = {check["name"]: check for check in said["checks"]}
    healthy = {"kernel", "overlay", "btrfs", "user namespaces", "seccomp", "loop devices", "tun", "launcher"}
    assert {name: checks[name]["level"] for name in healthy} == dict.fromkeys(healthy, "ok")
    assert checks["crun, CRIU"]["level"] == "ok"
    assert {"code", "busybox"} <= set(checks["imported images"]["detail"].split(", "))
    assert "docker" not in checks


def test_on_this_host_the_doctor_finds_the_engine_and_the_images() -> None:
    findings = [check(Host(), Settings(project="nobody")) for check in (docker, compose, disk, images)]
    assert [finding for finding in findings if finding.level is Level.FAIL] == []


def test_an_image_is_handed_to_a_node_and_every_byte_is_told(node: Node) -> None:
    told: list[int] = []
    began: list[tuple[str, int | None]] = []

    @contextmanager
    def progress(what: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
        began.append((what, total_bytes))
        yield told.append

    import_tag(node.container, "envserver/busybox:latest", "busybox", progress)
    ((what, total_bytes),) = began
    assert what == "busybox"
    assert total_bytes is not None
    assert sum(told) > total_bytes / 2, "an archive is about as large as its image"
    listed = json.loads(node.docker("exec", node.container, "envserver", "images", "ls", "--json"))
    assert "busybox" in {name for image in listed for name in image["names"]}


def test_an_image_that_cannot_be_handed_over_says_why(node: Node) -> None:
    with pytest.raises(BuildError, match="no-such-image"):
        import_tag(node.container, "envserver/no-such-image:latest", "x")
    with pytest.raises(BuildError, match="No such container"):
        import_tag("no-such-container", "envserver/busybox:latest", "busybox")
