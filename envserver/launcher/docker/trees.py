"""Copies a directory tree within one btrfs, sharing the blocks of its files and giving one user's entries to another.

A snapshot would do neither: its blocks are not counted beneath the quota of several subvolumes together, and its files
keep their owners. Directories are opened by descriptors, since a policy may have made them deeper than a path may be
long, and no link is followed. Nobody else may change either tree meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from envserver.launcher import btrfs

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class _Level:
    """A directory that is being copied."""

    source: int
    target: int
    status: os.stat_result
    entries: Iterator[os.DirEntry[str]]


@dataclass
class _Copy:
    old: int
    new: int
    levels: list[_Level] = field(default_factory=list)
    linked: dict[int, str] = field(default_factory=dict)
    """Of files with several names: inode to the first name, in `top`."""
    top: int = -1


def copy(source: Path, target: Path, old: int, new: int) -> None:
    """Everything but sockets, with modes, times and hard links, into an empty directory. Raises: OSError."""
    work = _Copy(old, new)
    _enter(work, os.open(source, _DIRECTORY), os.open(target, _DIRECTORY))
    work.top = _make_links_directory(work.levels[0].target)
    try:
        while work.levels:
            entry = next(work.levels[-1].entries, None)
            if entry is None:
                _leave(work)
            else:
                _copy_entry(work, work.levels[-1], entry)
    finally:
        for level in work.levels:
            os.close(level.source)
            os.close(level.target)
        os.close(work.top)


_LINKS = ".envserver-links"


def _make_links_directory(target: int) -> int:
    """Files with several names get one here first, which goes away with the copy's end."""
    os.mkdir(_LINKS, 0o700, dir_fd=target)
    return os.open(_LINKS, _DIRECTORY, dir_fd=target)


def _enter(work: _Copy, source: int, target: int) -> None:
    work.levels.append(_Level(source, target, os.fstat(source), _entries(source)))


def _entries(directory: int) -> Iterator[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        yield from entries


def _leave(work: _Copy) -> None:
    """Owner, mode and times of a directory, once nothing is put into it any more."""
    level = work.levels.pop()
    if not work.levels:
        for name in work.linked.values():
            os.unlink(name, dir_fd=work.top)
        os.rmdir(_LINKS, dir_fd=level.target)
    os.chown(level.target, *_owners(work, level.status))
    os.fchmod(level.target, stat.S_IMODE(level.status.st_mode))
    os.utime(level.target, ns=(level.status.st_atime_ns, level.status.st_mtime_ns))
    os.close(level.source)
    os.close(level.target)


def _owners(work: _Copy, status: os.stat_result) -> tuple[int, int]:
    uid, gid = (work.new if owner == work.old else owner for owner in (status.st_uid, status.st_gid))
    return uid, gid


def _copy_entry(work: _Copy, level: _Level, entry: os.DirEntry[str]) -> None:
    status = entry.stat(follow_symlinks=False)
    mode, name = status.st_mode, entry.name
    if stat.S_ISDIR(mode):
        os.mkdir(name, 0o700, dir_fd=level.target)
        inner = os.open(name, _DIRECTORY, dir_fd=level.source)
        _enter(work, inner, os.open(name, _DIRECTORY, dir_fd=level.target))
        return
    if status.st_nlink > 1 and status.st_ino in work.linked:
        os.link(work.linked[status.st_ino], name, src_dir_fd=work.top, dst_dir_fd=level.target, follow_symlinks=False)
        return
    if stat.S_ISREG(mode):
        _copy_file(level, name)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(name, dir_fd=level.source), name, dir_fd=level.target)
    elif stat.S_ISFIFO(mode):
        os.mkfifo(name, dir_fd=level.target)
    else:
        return
    os.chown(name, *_owners(work, status), dir_fd=level.target, follow_symlinks=False)
    if not stat.S_ISLNK(mode):
        os.chmod(name, stat.S_IMODE(mode), dir_fd=level.target)
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=level.target, follow_symlinks=False)
    if status.st_nlink > 1:
        work.linked[status.st_ino] = str(status.st_ino)
        os.link(name, work.linked[status.st_ino], src_dir_fd=level.target, dst_dir_fd=work.top, follow_symlinks=False)


def _copy_file(level: _Level, name: str) -> None:
    source = os.open(name, _READ, dir_fd=level.source)
    try:
        target = os.open(name, _MAKE, 0o600, dir_fd=level.target)
        try:
            btrfs.clone_file(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)
