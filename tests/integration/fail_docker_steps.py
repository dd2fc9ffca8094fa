"""Makes each step of making a docker sandbox fail in turn, and prints what each left. Runs in a node's container.

    python - < fail_docker_steps.py

A step fails before it does anything, or after it has done all. Prints one JSON object: {"steps": [what failed],
"left": {step: [what was left]}}.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from envserver.launcher import btrfs, cgroups
from envserver.launcher.bundle import BundleLimits
from envserver.launcher.docker import accounts, disks
from envserver.launcher.docker.engine import Engine
from envserver.launcher.docker.records import DIRECTORY
from envserver.launcher.docker.sandboxes import DockerMaker, DockerPaths
from envserver.launcher.images import ImageStore
from envserver.launcher.records import SandboxRequest

LAYERS = Path("/var/lib/envserver/layers")
RUN = Path("/run/envserver/injected")
NODE = "0123456789"
DEVICE = disks.find_device(LAYERS)
LIMITS = BundleLimits(memory_bytes=64 << 20, cpus=1.0, pids=32, shm_bytes=1 << 20, nofile=256)
REQUEST = SandboxRequest(image="busybox", limits=LIMITS, disk_bytes=16 << 20, labels={"purpose": "injection"}, ttl_s=60)


class InjectedError(OSError):
    """The failure of a step."""


def make_maker() -> DockerMaker:
    """Another maker beside the container's own launcher, on the same file system of layers."""
    RUN.mkdir(exist_ok=True)
    agent = Path("/usr/lib/envserver/agent")
    paths = DockerPaths(LAYERS, RUN, Path(os.environ["ENVSERVER_ENGINE_RUN"]) / RUN.name, agent)
    store = ImageStore(Path(os.environ["ENVSERVER_IMAGES"]), agent)
    engine = Engine(Path("/var/run/docker.sock"))
    return DockerMaker(NODE, paths, engine, store, lambda _: None, server_uid=0, server_gid=0)


def inventory(maker: DockerMaker) -> set[str]:
    """By name, everything that a sandbox could leave."""
    own = RUN / DIRECTORY
    found = {f"subvolume {name}" for name in disks.found(LAYERS)}
    found |= {f"directory {entry}" for entry in own.iterdir()} if own.exists() else set()
    found |= {f"container {each['Names']}" for each in maker.engine.containers(f"envserver.node={NODE}")}
    volumes = maker.engine._api().volumes()["Volumes"]
    found |= {f"volume {each['Name']}" for each in volumes if DEVICE.source in str(each["Options"])}
    found |= {f"record {record.sandbox_id}" for record in maker.records()}
    found.add(f"free uids {len(maker._uids._fresh) + len(maker._uids._freed)}")
    return found


def steps(maker: DockerMaker) -> Iterator[tuple[str, Any, str, int, bool]]:
    """What fails: a name, whose attribute, which of its calls, and whether it fails after its work."""
    calls: tuple[tuple[Any, str], ...] = (
        (btrfs, "make_subvolume"),
        (btrfs, "limit_together"),
        (disks, "_settle"),
        (accounts, "write"),
        (maker, "_make_directory"),
        (maker.engine, "start_container"),
        (maker.engine, "cgroup"),
        (cgroups, "hand_over_peak"),
    )
    for owner, name in calls:
        for nth in (1, 3) if owner is btrfs and name == "make_subvolume" else (1,):
            for after in (False, True):
                yield f"{name} {nth} {'after' if after else 'before'}", owner, name, nth, after


def failing(work: Callable[..., Any], nth: int, *, after: bool) -> Callable[..., Any]:
    count = 0

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        result = work(*arguments, **named) if count != nth or after else None
        if count == nth:
            raise InjectedError("injected")
        return result

    return call


def main() -> None:
    maker = make_maker()
    try:
        maker.destroy(maker.create(REQUEST).sandbox_id)
        before, left, failed = inventory(maker), {}, []
        for step, owner, name, nth, after in steps(maker):
            with mock.patch.object(owner, name, failing(getattr(owner, name), nth, after=after)):
                try:
                    maker.create(REQUEST)
                except InjectedError:
                    failed.append(step)
            if difference := sorted(inventory(maker) ^ before):
                left[step] = difference
        print(json.dumps({"steps": failed, "left": left}))  # noqa: T201
    finally:
        for record in maker.records():
            maker.destroy(record.sandbox_id)
        shutil.rmtree(RUN, ignore_errors=True)


main()
