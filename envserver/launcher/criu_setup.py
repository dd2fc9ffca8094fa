"""How CRIU is told what to do: crun passes a few flags on (`criu.py`), the rest is set here.

crun 1.21 hands CRIU no configuration file, so /etc/criu/crun.conf is read by nobody; CRIU itself reads the file that
CRIU_CONFIG_FILE names. Its options, one a line, each with its reason, are `OPTIONS`.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

OPTIONS = {
    "network-lock skip": "nobody outside can send anything in; locking and unlocking takes iptables 60 ms",
    "link-remap": "open files that lost their name but have another are linked to one while they are dumped",
    "ghost-limit 64M": "open files without any name are saved in the images, up to what each of them really holds",
    "skip-in-flight": "connections that no program has accepted yet are dropped; else there could be no dump",
    "force-irmap": "what inotify watches is found by its path, since overlayfs has no file handles to find it by",
    "irmap-scan-path /workspace": "where to look for it; elsewhere a watch makes the dump fail",
    "irmap-scan-path /home/user": "",
    "irmap-scan-path /tmp": "",
}
_PRELOADED = Path("/usr/lib/envserver/passcred.so")
"""Of the node's image, whose CRIU is older than the kernel: images/node/passcred.c says what for."""


def prepare(directory: Path) -> dict[str, str]:
    """Write the file; returns what to add to the environment of crun."""
    directory.mkdir(parents=True, exist_ok=True)
    preloaded = {"LD_PRELOAD": str(_PRELOADED)} if _PRELOADED.exists() else {}
    return {**preloaded, "CRIU_CONFIG_FILE": str(_write(directory / "criu.conf"))}


def _write(config: Path, *more: str) -> Path:
    config.write_text("".join(f"{option}\n" for option in (*OPTIONS, *more)))
    return config


@contextlib.contextmanager
def snapshotting(directory: Path, layer: Path, copy: Path) -> Iterator[dict[str, str]]:
    """What to add to crun's environment for one dump, in the course of which CRIU has a layer snapshotted."""
    directory.mkdir()
    try:
        script = directory / "post-dump.sh"
        snapshot = shlex.join(["btrfs", "-q", "subvolume", "snapshot", str(layer), str(copy)])
        # A dump that failed after this, and is tried again, finds the snapshot there.
        once = f"[ -e {shlex.quote(str(copy))} ] && exit 0"
        script.write_text(f'#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] || exit 0\n{once}\nexec {snapshot}\n')
        script.chmod(0o700)
        yield {"CRIU_CONFIG_FILE": str(_write(directory / "criu.conf", f"action-script {script}"))}
    finally:
        shutil.rmtree(directory)
