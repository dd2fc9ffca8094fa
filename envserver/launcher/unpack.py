"""Unpacks one image layer from standard input into the directory given, after entering it with chroot(2).

A program of its own: chroot is for a whole process. What Python would import later is imported before. Whiteouts act
on the layers below alone, wherever in the archive they stand.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


MAX_ENTRIES = 1_000_000
MAX_BYTES = 64 << 30
"""Of all files, as long as they say they are: holes count."""
MAX_DEPTH = 128
MAX_MEMORY_BYTES = 2 << 30
"""Of this program: a header may claim any length, and is read as a whole."""

Entries = set[Path]
"""Paths that this layer has put in place."""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _white_out(path: Path, own: Entries) -> None:
    """Apply an OCI whiteout: remove what a lower layer had."""
    if path.name == _OPAQUE:
        _empty(path.parent, own)
        return
    hidden = path.name.removeprefix(_WHITEOUT)
    if hidden in ("", ".", ".."):
        raise ValueError(f"{path}: no name to white out")
    if path.with_name(hidden) in own:
        _empty(path.with_name(hidden), own)
    else:
        _remove(path.with_name(hidden))


def _empty(directory: Path, own: Entries) -> None:
    """Remove a directory's entries, but those of this layer."""
    if directory.is_symlink() or not directory.is_dir():
        return
    for entry in directory.iterdir():
        if entry not in own:
            _remove(entry)
        else:
            _empty(entry, own)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.islnk():  # also to a symbolic link that leads nowhere, which tarfile takes for missing
        os.link(Path("/") / member.linkname, path, follow_symlinks=False)
    else:
        tar.extract(member, "/", set_attrs=not member.isdir(), numeric_owner=True, filter="fully_trusted")


def _replace(member: tarfile.TarInfo, path: Path) -> None:
    """Make way: a member replaces whatever a lower layer had, but a directory keeps its entries."""
    if not (member.isdir() and path.is_dir() and not path.is_symlink()) and (path.exists() or path.is_symlink()):
        _remove(path)


def _count(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The layer's entries, as long as they are within bounds."""
    size = 0
    for number, entry in enumerate(tar):
        size += entry.size if entry.isreg() else 0
        depth = entry.name.count("/")
        if number >= MAX_ENTRIES or size > MAX_BYTES or depth > MAX_DEPTH:
            raise ValueError(
                f"more than {MAX_ENTRIES} entries, {MAX_BYTES} bytes or {MAX_DEPTH} directories one in another"
            )
        # A stream is read once; what was read is not needed again, and would fill the memory.
        tar.members = []  # type: ignore[attr-defined]
        yield entry


def main() -> None:
    """Unpack; a non-zero exit and what is on standard error say what went wrong."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    os.chroot(sys.argv[1])
    os.chdir("/")
    os.umask(0o022)  # for directories that the archive implies and does not list; all others get their own mode
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as tar:
        directories = []
        own: Entries = set()
        for entry in _count(tar):
            path = Path(os.path.normpath(f"/{entry.name.lstrip('/')}"))
            member = entry.replace(name=str(path.relative_to("/")), deep=False)
            if path.name.startswith(_WHITEOUT):
                _white_out(path, own)
                continue
            own.update((path, *path.parents))
            if member.ischr() or member.isblk():
                continue
            _replace(member, path)
            _extract(tar, member, path)
            if member.isdir():
                directories.append(member)
        for member in reversed(directories):  # last, since writing into them changes their times
            directory = Path("/") / member.name
            if directory.is_symlink() or not directory.is_dir():
                continue  # replaced later on
            os.lchown(directory, member.uid, member.gid)
            directory.chmod(member.mode)
            os.utime(directory, (member.mtime, member.mtime))


if __name__ == "__main__":
    main()
