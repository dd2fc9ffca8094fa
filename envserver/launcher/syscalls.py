"""The few Linux calls that Python lacks. Each helper program exec'd instead would cost 2 to 8 ms a sandbox.

Every function raises OSError with the call's name. Numbers are those of the generic table, which x86-64
and arm64 share for calls this young.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_PIDFD_GETFD, SYS_MOUNT_SETATTR = 428, 429, 438, 442

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_NOATIME, MS_REC, MS_PRIVATE = 1024, 16384, 1 << 18
MS_RELATIME = 1 << 21
_OWN_FLAGS = {
    "ro": MS_RDONLY, "nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC, "noatime": MS_NOATIME,
    "relatime": MS_RELATIME,
}  # fmt: skip
"""Of a mount, as mountinfo names them."""
MNT_DETACH = 2

_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_SYNC_FILE_RANGE_WRITE = 2
_MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str, target: Path, fstype: str | None, flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    kind = fstype.encode() if fstype else None
    result = _libc.mount(source.encode(), bytes(target), kind, ctypes.c_ulong(flags), data.encode())
    _check(result, f"mount {fstype or ''} on {target}")


def remount_with(target: Path, option: str) -> None:
    """Add an option to those of a mounted file system, and change nothing else about it."""
    line = next(
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if line.split()[4] == str(target)
    )
    own, _, rest = line.partition(" - ")
    options = [each for each in rest.split()[2].split(",") if each not in ("rw", "ro", option)]
    flags = sum(_OWN_FLAGS.get(each, 0) for each in own.split()[5].split(","))
    mount("none", target, None, MS_REMOUNT | flags, ",".join([*options, option]))


def umount(target: Path, flags: int = MNT_DETACH) -> None:
    """umount2(2); lazily unless told otherwise."""
    _check(_libc.umount2(bytes(target), flags), f"umount {target}")


def start_writing(fd: int) -> None:
    """sync_file_range(2) of a whole file, without waiting: its blocks get their places and are on their way."""
    zero = ctypes.c_int64(0)
    _check(_libc.sync_file_range(fd, zero, zero, _SYNC_FILE_RANGE_WRITE), "sync_file_range")


def pidfd_getfd(pidfd: int, descriptor: int) -> int:
    """pidfd_getfd(2): a duplicate of another process's descriptor, closed on exec."""
    return _check(_libc.syscall(SYS_PIDFD_GETFD, pidfd, descriptor, 0), "pidfd_getfd")


def sync_file_system(path: Path) -> None:
    """syncfs(2) of the file system that a directory lies in."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check(_libc.syncfs(fd), f"syncfs {path}")
    finally:
        os.close(fd)


def pivot_root(new_root: Path) -> None:
    """pivot_root(2) of the whole mount namespace to a mount, and away with the old root."""
    os.chdir(new_root)
    _check(_libc.pivot_root(b".", b"."), f"pivot_root {new_root}")
    umount(Path())
    os.chdir("/")


def mount_points() -> list[str]:
    """Of this process's mount namespace, in the order in which they were mounted."""
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def umount_below(directory: Path) -> None:
    """Unmount whatever is mounted somewhere below a directory; normally nothing is."""
    below = f"{directory}/"
    for point in reversed(mount_points()):
        if point.startswith(below):
            umount(Path(point))


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def attach_id_mapped(source: Path, target: Path, userns_fd: int, *, read_only: bool) -> None:
    """Bind-mount `source` on `target` with the id map of a user namespace (mount_setattr(2))."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC
    tree = _check(_libc.syscall(SYS_OPEN_TREE, AT_FDCWD, bytes(source), flags), f"open_tree {source}")
    try:
        attributes = _MountAttr(
            attr_set=_MOUNT_ATTR_IDMAP | MOUNT_ATTR_NODEV | (MOUNT_ATTR_RDONLY if read_only else 0),
            userns_fd=userns_fd,
        )
        result = _libc.syscall(
            SYS_MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, ctypes.byref(attributes), ctypes.sizeof(attributes)
        )
        _check(result, f"mount_setattr {source}")
        result = _libc.syscall(SYS_MOVE_MOUNT, tree, b"", AT_FDCWD, bytes(target), _MOVE_MOUNT_F_EMPTY_PATH)
        _check(result, f"move_mount {target}")
    finally:
        os.close(tree)
