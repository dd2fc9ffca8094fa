"""crun and CRIU alone, timed inside a node's container: what a checkpoint and a fork cannot be faster than.

    python - SANDBOX_ID CHECKPOINT_ID ROUNDS < benchmarks/bare_criu.py

The sandbox's agent must have no connection. Prints one JSON object of lists of seconds: `dump` and `restore` are crun's
commands with our options for CRIU, `dump_untuned` is crun's as it comes. What a restore needs before is not timed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from envserver.launcher import cgroups, criu_setup, images
from envserver.launcher.checkpoints import Checkpoints
from envserver.launcher.crun import Crun
from envserver.launcher.paths import Paths
from envserver.launcher.sandboxes import SandboxMaker
from envserver.launcher.store import CheckpointRecord, CheckpointStore

DATA, NODE = Path("/var/lib/envserver"), "bare"
FLAGS = ("--leave-running", "--file-locks", "--tcp-established")


class TimedCrun(Crun):
    """Keeps how long each command took."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seconds: list[float] = []

    def __call__(self, *arguments: str, **options: Any) -> None:
        began = time.perf_counter()
        super().__call__(*arguments, **options)
        self.seconds.append(time.perf_counter() - began)


def dumps(sandbox_id: str, rounds: int, environment: dict[str, str]) -> list[float]:
    crun = TimedCrun(Path("/run/envserver-work/crun"), Path("/tmp"), environment)
    images_directory = DATA / "bare-images"
    for _ in range(rounds):
        images_directory.mkdir()
        crun("checkpoint", *FLAGS, "--image-path", str(images_directory), sandbox_id)
        shutil.rmtree(images_directory)
    return crun.seconds


def restores(checkpoint_id: str, rounds: int) -> list[float]:
    run, work = Path("/run/bare"), Path("/run/bare-work")
    for directory in (run / "s", work / "bundles", work / "crun", work / "errors"):
        directory.mkdir(parents=True, exist_ok=True)
    for directory in (run, run / "s", work, work / "bundles"):
        directory.chmod(0o711)
    paths = Paths(DATA / "layers", run, work, DATA / "checkpoints", DATA / "dev")
    agent = Path("/usr/lib/envserver/agent")
    kept = images.ImageStore(Path(os.environ["ENVSERVER_IMAGES"]), agent)
    maker = SandboxMaker(NODE, paths, kept, server_uid=0, server_gid=0, reserve_bytes=0)
    crun = maker.crun = TimedCrun(paths.crun, paths.work / "errors", criu_setup.prepare(work / "criu"))
    record = CheckpointRecord.from_json((DATA / "checkpoints" / checkpoint_id / "checkpoint.json").read_text())
    checkpoints = Checkpoints(maker, CheckpointStore(paths), 0)
    for _ in range(rounds):
        maker.destroy(checkpoints.restore(record, {}, 60.0).sandbox_id)
    cgroups.release(NODE)
    return crun.seconds


def main(sandbox_id: str, checkpoint_id: str, rounds: int) -> None:
    found_at = next(Path("/sys/fs/cgroup").glob(f"*/envserver/*/{sandbox_id}"))
    group = cgroups.path_for(found_at.parent.name, sandbox_id)
    untuned = dumps(sandbox_id, rounds, {"LD_PRELOAD": "/usr/lib/envserver/passcred.so"})
    cgroups.freeze(group)  # as a checkpoint of ours finds it; CRIU would wait in steps of 100 ms
    try:
        tuned = dumps(sandbox_id, rounds, criu_setup.prepare(Path("/run/bare-criu")))
    finally:
        cgroups.thaw(group)
    found = {"dump": tuned, "dump_untuned": untuned, "restore": restores(checkpoint_id, rounds)}
    print(json.dumps(found))


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
