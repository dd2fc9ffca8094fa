"""Leaving a root file system that is served from user space.

An Engine without overlay mounts (rootless, nested) gives containers a root of fuse-overlayfs, which is asked for
the access list of `/` and of each directory below it whenever a path is walked: 50 µs each, 270 times a sandbox.
So the launcher makes itself a root in memory: the few directories that its paths lead through are there for real,
everything else is bound into them.
"""

from __future__ import annotations

import os
from pathlib import Path

from envserver.launcher import syscalls

_NEW_ROOT = Path("/run/envserver-root")
_WALKED = frozenset(("/", "/run", "/tmp", "/var", "/var/lib"))
"""Made anew; what is in them is bound, or copied where it is a file."""


def leave_fuse() -> None:
    """Pivot this mount namespace, with all its processes, to a root in memory; a no-op where `/` is no FUSE mount."""
    if not _root_type().startswith("fuse"):
        return
    _NEW_ROOT.mkdir(exist_ok=True)
    syscalls.mount("tmpfs", _NEW_ROOT, "tmpfs", syscalls.MS_NODEV, "mode=0755,size=64m")
    _mirror(Path("/"), _NEW_ROOT)
    syscalls.pivot_root(_NEW_ROOT)


def _root_type() -> str:
    """Of the mount that was last made on `/`: proc_pid_mountinfo(5)."""
    found = ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] == "/":
            found = fields[fields.index("-") + 1]
    return found


def _mirror(source: Path, target: Path) -> None:
    for entry in os.scandir(source):
        here, there = Path(entry.path), target / entry.name
        if here == _NEW_ROOT:
            continue
        if entry.is_symlink():
            there.symlink_to(here.readlink())
        elif entry.is_dir():
            there.mkdir()
            there.chmod(entry.stat().st_mode & 0o7777)
            if entry.path in _WALKED and not here.is_mount():
                _mirror(here, there)
            else:
                syscalls.mount(entry.path, there, None, syscalls.MS_BIND | syscalls.MS_REC)
        elif here.is_socket():  # an Engine's; a directory's entry has the type of what it is mounted on
            there.touch()
            syscalls.mount(entry.path, there, None, syscalls.MS_BIND)
        elif entry.is_file():
            there.write_bytes(here.read_bytes())
            there.chmod(entry.stat().st_mode & 0o7777)
