"""Runs the probes in a sandbox whose bundle lacks one control. Runs in a node's container.

    python - CONTROL FILES [NAME]... < loosened.py

FILES is a JSON object of the probes' sources by name. Prints what inside/main.py prints. Proves that a probe fails
where its control is missing: else a probe that never works would pass for ever.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envserver.guest.connection import GuestConnection
from envserver.launcher import bundle, cgroups, images
from envserver.launcher.bundle import SOCKET_NAME, BundleLimits
from envserver.launcher.cgroups import UsageReader
from envserver.launcher.sandboxes import Paths, SandboxMaker, SandboxRecord, SandboxRequest
from envserver.runtimes.base import Command, SandboxSpec
from envserver.runtimes.crun.runtime import CrunRuntime, CrunSandbox

DATA = Path("/var/lib/envserver")
Config = dict[str, Any]


def _no_seccomp(config: Config) -> None:
    del config["linux"]["seccomp"]


def _host_network(config: Config) -> None:
    kept = [each for each in config["linux"]["namespaces"] if each["type"] != "network"]
    config["linux"]["namespaces"] = kept


def _host_control_groups(config: Config) -> None:
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "cgroup"]


def _large_shm(config: Config) -> None:
    for mount in config["mounts"]:
        if mount["destination"] == "/dev/shm":
            mount["options"] = ["nosuid", "nodev", "mode=1777", "size=512m"]


def _unmasked(config: Config) -> None:
    config["linux"]["maskedPaths"] = []


def _open_control_directory(config: Config) -> None:
    (control,) = (mount["source"] for mount in config["mounts"] if mount["destination"] == bundle.CONTROL_DIRECTORY)
    Path(control).chmod(0o755)


CONTROLS: dict[str, Callable[[Config], None]] = {
    "nothing": lambda config: None,
    "seccomp": _no_seccomp,
    "network": _host_network,
    "control groups": _host_control_groups,
    "shm": _large_shm,
    "masks": _unmasked,
    "control directory": _open_control_directory,
}


def _make_maker() -> SandboxMaker:
    run, work = Path("/run/loosened"), Path("/run/loosened-work")
    for directory in (run / "s", work / "bundles", work / "crun", work / "errors"):
        directory.mkdir(parents=True, exist_ok=True)
    for directory in (run, run / "s", work, work / "bundles"):
        directory.chmod(0o711)
    paths = Paths(layers=DATA / "layers", run=run, work=work, checkpoints=DATA / "checkpoints", dev=DATA / "dev")
    directory = Path(os.environ.get("ENVSERVER_IMAGES", DATA / "images"))
    store = images.ImageStore(directory, Path("/usr/lib/envserver/agent"))
    return SandboxMaker("loosened", paths, store, server_uid=0, server_gid=0, reserve_bytes=0)


def _without(control: str) -> None:
    """From now on, write bundles that lack the control."""
    write = bundle.write

    def write_loosened(directory: Path, config: Config) -> None:
        CONTROLS[control](config)
        write(directory, config)

    bundle.write = write_loosened


async def _probe(maker: SandboxMaker, record: SandboxRecord, files: dict[str, str], names: list[str]) -> str:
    guest = await GuestConnection.dial(maker.paths.control(record.sandbox_id) / SOCKET_NAME)
    runtime = CrunRuntime(maker.paths.run)
    box = CrunSandbox(runtime, record.sandbox_id, SandboxSpec("code"), guest, UsageReader(record.cgroup))
    for name, content in files.items():
        await box.write_file(f"/workspace/inside/{name}", content.encode())
    result = await box.run(Command(["python3", "-m", "inside.main", *names]), timeout_s=60)
    guest.close()
    return result.stdout.text or result.stderr.text


def main(control: str, files: str, names: list[str]) -> str:
    maker = _make_maker()
    _without(control)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0envserver-probe")
    listener.listen()
    limits = BundleLimits(memory_bytes=512 << 20, cpus=1.0, pids=64, shm_bytes=4 << 20, nofile=256)
    record = maker.create(SandboxRequest("code", limits, 64 << 20, {"purpose": "probing"}, 120.0))
    try:
        return asyncio.run(_probe(maker, record, json.loads(files), names))
    finally:
        maker.destroy(record.sandbox_id)
        cgroups.release(maker.node)


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
