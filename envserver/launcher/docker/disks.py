"""What a container may write to: three btrfs subvolumes beneath one quota, which the Engine mounts by device.

The launcher's own mounts are invisible to the Engine, whose mount namespace is the host's. So a volume names the block
device and the subvolume, and the Engine mounts them itself; the device is the same file everywhere. btrfs mounts whole
subvolumes only, hence one a directory; a group above theirs holds the limit of all bytes together. The groups
go by their first subvolume's id, so that what a killed launcher left can be found again from names alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from envserver.launcher import btrfs
from envserver.launcher.docker import trees

PREFIX = "docker-"
"""Of the subvolumes' names; the crun runtime's bear sandbox ids alone."""
DIRECTORIES = ("/workspace", "/home", "/tmp")
_IMAGE_USER = 1000


@dataclass(frozen=True)
class Device:
    """Where the writable layers' file system is, as any mount namespace of the host can mount it."""

    source: str
    """The block device."""
    path: str
    """Of the layers' directory, from the file system's top; without slashes around."""

    def options(self, sandbox_id: str, directory: str) -> str:
        """Mount options for one of a sandbox's directories."""
        subvolume = "/".join(part for part in (self.path, _name(sandbox_id, directory)) if part)
        return f"subvol={subvolume},nosuid,nodev,noatime"


def find_device(layers: Path) -> Device:
    """Of the mount that `layers` lies in (proc_pid_mountinfo(5)). Raises: LookupError."""
    best: tuple[Path, str, str] | None = None
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split()[3], Path(left.split()[4])
        if layers.is_relative_to(point) and (best is None or len(point.parts) >= len(best[0].parts)):
            best = point, root, right.split()[1]
    if best is None:
        raise LookupError(f"{layers} lies in no mount")
    point, root, source = best
    return Device(source, str(Path(root) / layers.relative_to(point)).strip("/").removeprefix("."))


def _name(sandbox_id: str, directory: str) -> str:
    return f"{PREFIX}{sandbox_id}{directory.replace('/', '-')}"


def create(layers: Path, sandbox_id: str, uid: int, rootfs: Path, limit_bytes: int) -> None:
    """The directories with what the image has in them, its user's files owned by `uid`. Raises: OSError."""
    try:
        ids = [btrfs.make_subvolume(layers, _name(sandbox_id, directory)) for directory in DIRECTORIES]
        btrfs.limit_together(layers, ids, limit_bytes)
        for directory in DIRECTORIES:
            disk = layers / _name(sandbox_id, directory)
            _copy(rootfs / directory.lstrip("/"), disk, uid)
            _settle(disk, directory, uid)
    except BaseException:
        destroy(layers, sandbox_id)
        raise


def snapshot(layers: Path, sandbox_id: str, names: dict[str, str]) -> None:
    """Copy a sandbox's directories under the names given, which nothing is written to. Raises: OSError."""
    for directory in DIRECTORIES:
        btrfs.copy_subvolume(layers / _name(sandbox_id, directory), layers, names[directory])


def create_from(layers: Path, sandbox_id: str, names: dict[str, str], uids: tuple[int, int], limit_bytes: int) -> None:
    """The directories as `snapshot` has saved them; what the first uid owned is the second's. Raises: OSError."""
    try:
        ids = [btrfs.make_subvolume(layers, _name(sandbox_id, directory)) for directory in DIRECTORIES]
        btrfs.limit_together(layers, ids, limit_bytes)
        for directory in DIRECTORIES:
            trees.copy(layers / names[directory], layers / _name(sandbox_id, directory), *uids)
        btrfs.sync(layers)  # shared blocks are counted only then
    except BaseException:
        destroy(layers, sandbox_id)
        raise


def _settle(disk: Path, directory: str, uid: int) -> None:
    if directory == "/tmp":
        disk.chmod(0o1777)
        return
    home = disk / "user" if directory == "/home" else disk
    with contextlib.suppress(FileExistsError):
        home.mkdir(mode=0o755)
    os.chown(home, uid, uid, follow_symlinks=False)


def _copy(source: Path, target: Path, uid: int) -> None:
    """Directories, files and links with owners and modes; nothing else, and without following a link."""
    if source.is_symlink() or not source.is_dir():
        return
    for entry in os.scandir(source):
        status, made = entry.stat(follow_symlinks=False), target / entry.name
        if stat.S_ISLNK(status.st_mode):
            made.symlink_to(Path(entry.path).readlink())
        elif stat.S_ISDIR(status.st_mode):
            made.mkdir()
            _copy(Path(entry.path), made, uid)
        elif stat.S_ISREG(status.st_mode):
            shutil.copyfile(entry.path, made, follow_symlinks=False)
        else:
            continue
        owners = (uid if owner == _IMAGE_USER else owner for owner in (status.st_uid, status.st_gid))
        os.chown(made, *owners, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            made.chmod(stat.S_IMODE(status.st_mode) & 0o1777)


def destroy(layers: Path, sandbox_id: str) -> None:
    """Remove what there is of a sandbox's directories; nothing is no error. Raises: OSError."""
    names = [name for name in (_name(sandbox_id, each) for each in DIRECTORIES) if (layers / name).exists()]
    btrfs.part(layers, [btrfs.subvolume_id(layers / name) for name in names])
    for name in names:
        btrfs.destroy_subvolume(layers, name)
    btrfs.recount(layers)


def found(layers: Path) -> set[str]:
    """Ids of all sandboxes that have something here."""
    names = (entry.name for entry in layers.iterdir() if entry.name.startswith(PREFIX))
    return {name.removeprefix(PREFIX).partition("-")[0] for name in names}
