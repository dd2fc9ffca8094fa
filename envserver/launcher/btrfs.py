"""The writable layers' file system: btrfs, a subvolume and a byte quota a sandbox, by ioctl.

Where the data directory is btrfs it serves; else a preallocated file on a loop device does. It is
preallocated because a sparse one turns a full host disk into a read-only file system for every sandbox at
once. Structures and numbers are those of linux/btrfs.h.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

from envserver.launcher import syscalls

_BTRFS_MAGIC = 0x9123683E
_IOC_SUBVOL_CREATE = 0x5000940E
_IOC_SNAP_CREATE_V2 = 0x50009417
_IOC_SNAP_DESTROY = 0x5000940F
_IOC_QUOTA_CTL = 0xC0109428
_IOC_QGROUP_ASSIGN = 0x40189429
_IOC_QGROUP_CREATE = 0x4010942A
_IOC_QGROUP_LIMIT = 0x8030942B
_IOC_INO_LOOKUP = 0xD0009412
_IOC_SYNC = 0x9408
_IOC_QUOTA_RESCAN = 0x4040942C
_IOC_QUOTA_RESCAN_WAIT = 0x942E
_IOC_FS_INFO = 0x8400941F
_IOC_CLONE = 0x40049409
_QUOTA_ENABLE, _QUOTA_DISABLE = 1, 2
_LIMIT_MAX_REFERENCED = 1
_FIRST_FREE_OBJECT = 256
_GROUP_OF_GROUPS = 1 << 48
"""A quota group's level, in its id's upper 16 bits: subvolumes' own groups have level 0."""

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_AUTOCLEAR, _LO_FLAGS_DIRECT_IO = 4, 16

GIB = 1 << 30


def is_btrfs(path: Path) -> bool:
    """Whether `path` lies on btrfs; statfs(2)'s f_type, which os.statvfs leaves out."""
    result = subprocess.run(["stat", "-f", "-c", "%t", path], capture_output=True, text=True, check=True)
    return int(result.stdout, 16) == _BTRFS_MAGIC


def prepare(data: Path, size_bytes: int, keep_free_bytes: int) -> Path:
    """Mount (or find mounted) the file system of writable layers and return its directory."""
    root = data / "layers"
    root.mkdir(mode=0o700, exist_ok=True)
    if not is_btrfs(root):
        image = data / "layers.btrfs"
        _preallocate(image, size_bytes, keep_free_bytes)
        with _loop_device(image) as device:
            # Discarding, the kernel's default here, would punch holes into the file and undo its preallocation.
            syscalls.mount(device, root, "btrfs", syscalls.MS_NOATIME, "nodiscard")
    _enable_quota(root)
    return root


def _preallocate(image: Path, size_bytes: int, keep_free_bytes: int) -> None:
    if image.exists():
        return
    disk = os.statvfs(image.parent)
    size = min(size_bytes, disk.f_bavail * disk.f_frsize - keep_free_bytes)
    if size < GIB:
        raise OSError(
            f"{image.parent}: under 1 GiB left for writable layers beside {keep_free_bytes >> 30} GiB of reserve"
        )
    partial = image.with_suffix(".partial")
    with partial.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    # Single metadata: a crash loses the node's sandboxes anyway, and halving metadata writes is felt.
    subprocess.run(["mkfs.btrfs", "-q", "-K", "-m", "single", partial], check=True, capture_output=True)
    partial.rename(image)


@contextlib.contextmanager
def _loop_device(image: Path) -> Iterator[str]:
    """A loop device over the file; with AUTOCLEAR it lives for as long as it is open here or mounted.

    One that is there already is used: a second device would let two mounts write one file system.
    """
    backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        device, loop = _find_loop(os.fstat(backing)) or _configure_free_loop(backing)
        try:
            yield device
        finally:
            os.close(loop)
    finally:
        os.close(backing)


def _find_loop(backing: os.stat_result) -> tuple[str, int] | None:
    """The loop device over a file, opened: containers of an Engine keep it when the launcher's own mount is gone."""
    for block in Path("/sys/block").glob("loop*/loop"):
        with contextlib.suppress(OSError):  # it was freed meanwhile
            loop = _open_loop(int(block.parent.name.removeprefix("loop")))
            info = bytearray(232)
            try:
                fcntl.ioctl(loop[1], _LOOP_GET_STATUS64, info)
            except OSError:
                os.close(loop[1])
                raise
            device, inode = struct.unpack_from("=QQ", info)
            major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00  # as linux/kdev_t.h encodes it
            if (os.makedev(major, minor), inode) == (backing.st_dev, backing.st_ino):
                return loop
            os.close(loop[1])
    return None


def _open_loop(number: int) -> tuple[str, int]:
    device = f"/dev/loop{number}"
    if not Path(device).exists():
        os.mknod(device, 0o600 | stat.S_IFBLK, os.makedev(7, number))
    return device, os.open(device, os.O_RDWR | os.O_CLOEXEC)


def _configure_free_loop(backing: int) -> tuple[str, int]:
    info = bytearray(232)  # struct loop_info64, lo_flags at 52
    struct.pack_into("=I", info, 52, _LO_FLAGS_AUTOCLEAR | _LO_FLAGS_DIRECT_IO)
    config = struct.pack("=II", backing, 4096) + bytes(info) + bytes(64)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(16):  # another node may take the free device first
            device, loop = _open_loop(fcntl.ioctl(control, _LOOP_CTL_GET_FREE))
            try:
                fcntl.ioctl(loop, _LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(loop)
                if error.errno != errno.EBUSY:
                    raise
            else:
                return device, loop
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no free loop device")


def _enable_quota(root: Path) -> None:
    """Full quotas: they count what a subvolume refers to, whoever wrote it.

    Simple ones, which cost 15 % less, charge each extent to the subvolume that wrote it, for as long as anybody refers
    to it. Then a sandbox that was snapshotted cannot replace its own files: what it overwrites stays charged to it.
    """
    if _quota_fact(root, "mode") == "squota":  # of an earlier version of this program
        _control_quota(root, _QUOTA_DISABLE)
    try:
        _control_quota(root, _QUOTA_ENABLE)
    except FileExistsError:  # enabled already
        return


def _quota_fact(root: Path, name: str) -> str:
    """As sysfs says; empty where quotas are off, or the kernel does not know it."""
    info = bytearray(1024)  # struct btrfs_ioctl_fs_info_args, fsid at 16
    _ioctl(root, _IOC_FS_INFO, info)
    try:
        return Path(f"/sys/fs/btrfs/{uuid.UUID(bytes=bytes(info[16:32]))}/qgroups/{name}").read_text().strip()
    except OSError:
        return ""


def recount(root: Path) -> None:
    """Count anew what quotas count, where the kernel has lost count, and till then enforces none.

    It does when a subvolume that lies in a group of groups begins to share blocks, or leaves the group while it does.
    """
    if _quota_fact(root, "inconsistent") == "1":
        with contextlib.suppress(FileExistsError, BlockingIOError):  # another thread has begun
            _ioctl(root, _IOC_QUOTA_RESCAN, bytearray(64))
        _ioctl(root, _IOC_QUOTA_RESCAN_WAIT, bytearray(8))


def _control_quota(root: Path, command: int) -> None:
    _ioctl(root, _IOC_QUOTA_CTL, bytearray(struct.pack("=QQ", command, 0)))


def create_subvolume(root: Path, name: str, limit_bytes: int) -> Path:
    """A new, empty subvolume that holds at most `limit_bytes`."""
    _create(root, name)
    return limit(root, name, limit_bytes)


def make_subvolume(root: Path, name: str) -> int:
    """A new, empty subvolume without a limit of its own; returns its id. After a failure it may be there."""
    _create(root, name)
    return subvolume_id(root / name)


def _create(root: Path, name: str) -> None:
    _ioctl(root, _IOC_SUBVOL_CREATE, bytearray(struct.pack("=q4088s", 0, name.encode())))


def subvolume_id(subvolume: Path) -> int:
    argument = bytearray(struct.pack("=QQ4080x", 0, _FIRST_FREE_OBJECT))
    _ioctl(subvolume, _IOC_INO_LOOKUP, argument)
    number: int = struct.unpack_from("=Q", argument)[0]
    return number


def limit_together(root: Path, ids: list[int], limit_bytes: int) -> None:
    """Let empty subvolumes hold at most `limit_bytes` in sum. `part` undoes it, given the same first id."""
    group = _GROUP_OF_GROUPS | ids[0]
    _ioctl(root, _IOC_QGROUP_CREATE, bytearray(struct.pack("=QQ", 1, group)))
    for number in ids:
        _ioctl(root, _IOC_QGROUP_ASSIGN, bytearray(struct.pack("=QQQ", 1, number, group)))
    limit = struct.pack("=QQQQQQ", group, _LIMIT_MAX_REFERENCED, limit_bytes, 0, 0, 0)
    _ioctl(root, _IOC_QGROUP_LIMIT, bytearray(limit))


def part(root: Path, ids: list[int]) -> None:
    """Remove the common limit of subvolumes, as far as there is one, before they are destroyed."""
    if not ids:
        return
    group = _GROUP_OF_GROUPS | ids[0]
    for number in ids:
        with _missing_is_fine():
            _ioctl(root, _IOC_QGROUP_ASSIGN, bytearray(struct.pack("=QQQ", 0, number, group)))
    with _missing_is_fine():
        _ioctl(root, _IOC_QGROUP_CREATE, bytearray(struct.pack("=QQ", 0, group)))


@contextlib.contextmanager
def _missing_is_fine() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        return


def snapshot_subvolume(source: Path, root: Path, name: str, limit_bytes: int) -> Path:
    """A writable copy that shares its blocks with `source`, under a limit; 10 ms whatever the size."""
    copy_subvolume(source, root, name)
    return limit(root, name, limit_bytes)


def copy_subvolume(source: Path, root: Path, name: str) -> None:
    """`snapshot_subvolume` without a limit."""
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _ioctl(root, _IOC_SNAP_CREATE_V2, bytearray(struct.pack("=qQQ32s4040s", fd, 0, 0, b"", name.encode())))
    finally:
        os.close(fd)


def clone_file(source: int, target: int) -> None:
    """Let an empty open file share another's blocks; counted, in full, where it is."""
    fcntl.ioctl(target, _IOC_CLONE, source)


def destroy_subvolume(root: Path, name: str) -> None:
    """Unlink a subvolume; its blocks are freed in the background."""
    _ioctl(root, _IOC_SNAP_DESTROY, bytearray(struct.pack("=q4088s", 0, name.encode())))


def sync(root: Path) -> None:
    """Commit what is pending: space that was freed counts as free only then, which else takes up to 30 s."""
    _ioctl(root, _IOC_SYNC, bytearray(8))


def limit(root: Path, name: str, limit_bytes: int) -> Path:
    """Limit a new subvolume, or leave none."""
    # qgroup id 0 means the subvolume that the ioctl is called on.
    argument = struct.pack("=QQQQQQ", 0, _LIMIT_MAX_REFERENCED, limit_bytes, 0, 0, 0)
    try:
        _ioctl(root / name, _IOC_QGROUP_LIMIT, bytearray(argument))
    except BaseException:
        destroy_subvolume(root, name)
        raise
    return root / name


def _ioctl(path: Path, number: int, argument: bytearray) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, number, argument)
    finally:
        os.close(fd)
