"""Large values, each in a file named by its content: `payloads/ab/ab12...`.

Only the writer thread makes and removes files. A file is written under a temporary name and renamed before the row
that refers to it commits, so a row never refers to half a file; a file without a row is left by a kill, or by a
transaction that was rolled back, and is removed when the journal is opened or swept. Who reads one checks that its
content has its name.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from envserver import failpoints
from envserver.episodes.journal.sealing import DamageError, digest_of

FOLDER = "payloads"
TEMPORARY, AGAIN = ".new", ".again"


class PayloadFiles:
    """The files of one journal."""

    def __init__(self, directory: Path) -> None:
        """Raises: OSError."""
        self._folder = directory / FOLDER
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._unsynced: set[bytes] = set()
        self._uncommitted: list[bytes] = []
        self._strays: set[bytes] = set()

    def path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / name

    def write(self, digest: bytes, data: bytes) -> None:
        """Raises: OSError; nothing is left then."""
        path = self.path(digest)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary = path.with_name(path.name + TEMPORARY)
        try:
            _write_file(temporary, data)
            temporary.rename(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self._unsynced.add(digest)
        self._uncommitted.append(digest)
        failpoints.hit("journal.payload_written")

    def settle(self, *, committed: bool) -> None:
        """The transaction ended that files were written in."""
        if not committed:
            self._strays.update(self._uncommitted)
        self._uncommitted.clear()

    def read(self, digest: bytes) -> bytes:
        """Raises: DamageError, FileNotFoundError, OSError."""
        data = self.path(digest).read_bytes()
        if digest_of(data) != digest:
            raise DamageError(f"the content of {self.path(digest)} does not have its name")
        return data

    def remove(self, digest: bytes) -> int:
        """1, or 0 where there is none. Raises: OSError."""
        path = self.path(digest)
        existed = path.exists()
        path.unlink(missing_ok=True)
        self._strays.discard(digest)
        return int(existed)

    @property
    def strays(self) -> tuple[bytes, ...]:
        """Written for rows that were then rolled back; rows may have them again."""
        return tuple(self._strays)

    def keep(self, digest: bytes) -> int:
        """It is no stray: 0, the number of files removed."""
        self._strays.discard(digest)
        return 0

    def take_unsynced(self) -> set[bytes]:
        """Those that were written since this was last asked; the caller syncs them."""
        taken, self._unsynced = self._unsynced, set()
        return taken

    def sync(self, digests: Iterable[bytes]) -> None:
        """Put files, and their names, on the disk; those that are gone need not be. Raises: OSError."""
        folders = {self._folder}
        for digest in digests:
            path = self.path(digest)
            folders.add(path.parent)
            if path.exists():
                sync_path(path)
        if len(folders) > 1:
            for folder in folders:
                sync_path(folder)

    def write_again(self, digests: Iterable[bytes]) -> None:
        """Make files anew of which a sync failed, from what is still in memory; those that are gone need not be.

        Raises: OSError.
        """
        for digest in digests:
            path = self.path(digest)
            copy = path.with_name(path.name + AGAIN)
            try:
                _write_file(copy, self.read(digest))
            except FileNotFoundError:
                continue
            except DamageError as error:
                raise OSError(errno.EIO, str(error)) from error
            copy.rename(path)

    def remove_others(self, kept: set[bytes]) -> int:
        """Remove every file that is not in `kept`; their number. Raises: OSError."""
        removed = 0
        for path in self._files():
            try:
                digest = bytes.fromhex(path.name)
            except ValueError:  # a temporary name
                digest = b""
            if digest not in kept:
                path.unlink()
                removed += 1
        return removed

    def _files(self) -> Iterator[Path]:
        for folder in self._folder.iterdir():
            yield from folder.iterdir()


def _write_file(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def sync_path(path: Path) -> None:
    """fsync a file or a directory by name. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
