"""The write-ahead log's end, looked at before SQLite does.

SQLite takes from the log whatever is whole up to the last commit, and ignores the rest without a word. What it would
ignore is looked for here, so that a server can say that something was cut off, and how much. The format is published
(https://www.sqlite.org/fileformat2.html#the_write_ahead_log), all integers big-endian:

- a header of 32 bytes: magic, version, page size, a count, two salts, a checksum of the 24 bytes before it;
- frames: a header of 24 bytes (page number; the database's size in pages after a commit, 0 in other frames; the two
  salts; a checksum that runs on from the frame before), and the page.

The log is overwritten from its beginning when everything in it was copied to the database, under new salts, the first
one greater than before: frames of older salts behind the last commit are what is normal there, and no tail. A
transaction that did not get as far as its commit is one, and so is whatever carries the current salts, or one of the
two, and does not go on from the frame before it: torn by a kill or a loss of power, or changed later.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
INDEX_HEADER_BYTES, INDEX_BYTES = 48, 136
"""Of the index of a log: a header, its copy, and what a checkpoint notes."""
INDEX_COPIED = (96, 128)
"""Where it has the number of frames that were copied, and that were to be."""
SALT_BYTES = 8
MAGIC_LITTLE, MAGIC_BIG = 0x377F0682, 0x377F0683
"""Which order of bytes the checksum reads words in."""
MASK = 0xFFFFFFFF

Checksum = tuple[int, int]


@dataclass(frozen=True)
class Log:
    """What a log holds."""

    size_bytes: int = 0
    committed_bytes: int = 0
    """Up to the end of the last whole commit; the header alone where there is none, and 0 without a sound header."""
    tail_bytes: int = 0
    """From there to the end of what was written under the current salts."""
    what: str | None = None
    """What the tail is, in words."""
    interrupted: bool = False
    """Nothing was written behind what is torn: a process killed while it wrote a transaction leaves that."""


@dataclass(frozen=True)
class _Header:
    page_bytes: int
    salts: bytes
    words: str
    """How `struct` reads two words of the checksum."""
    checksum: Checksum

    @property
    def frame_bytes(self) -> int:
        return FRAME_HEADER_BYTES + self.page_bytes


def checksum(data: bytes, words: str, start: Checksum = (0, 0)) -> Checksum:
    """SQLite's sum over pairs of words, going on from `start`."""
    first, second = start
    for even, odd in struct.iter_unpack(words, data):
        first = (first + even + second) & MASK
        second = (second + odd + first) & MASK
    return first, second


def examine(path: Path) -> Log:
    """Walk the log at `path`; none is an empty one. Raises: OSError."""
    try:
        with path.open("rb") as file:
            return _examine(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return Log()


def was_copied(path: Path, log: Log, database: Path, index: Path) -> bool:
    """Whether the database has a page from behind the last whole commit.

    A checkpoint then copied commits that the log has lost since, and what is left of the log would put older pages
    beside newer ones. No loss of power does that, since a checkpoint syncs the log first.

    A killed process leaves the index of the log, which says how much of it was to be copied. Without one, as after a
    loss of power, pages tell: one that is in the database as the lost frames have it. That may be chance, too, since a
    row that comes and goes leaves its page as it was. Raises: OSError.
    """
    with path.open("rb") as file, database.open("rb") as pages:
        header = _read_header(file.read(HEADER_BYTES))
        if header is None:
            return False
        frames = _frames_copied(index, header)
        if frames is not None:
            return HEADER_BYTES + frames * header.frame_bytes > log.committed_bytes
        before = dict(_frames(file, header, HEADER_BYTES, log.committed_bytes))
        for page, offset in _frames(file, header, log.committed_bytes, log.committed_bytes + log.tail_bytes):
            if page in before:
                now = _read_at(pages, (page - 1) * header.page_bytes, header.page_bytes)
                lost, kept = (_read_at(file, place, header.page_bytes) for place in (offset, before[page]))
                if now == lost != kept:
                    return True
    return False


def _frames_copied(index: Path, header: _Header) -> int | None:
    """Up to where a checkpoint copied, or began to, by the index of this very log; None where there is none that is
    whole. Its format: https://www.sqlite.org/walformat.html#the_wal_index_file_format, in the machine's byte order.
    """
    try:
        data = index.read_bytes()[:INDEX_BYTES]
    except FileNotFoundError:
        return None
    first, second = data[:INDEX_HEADER_BYTES], data[INDEX_HEADER_BYTES : 2 * INDEX_HEADER_BYTES]
    if len(data) < INDEX_BYTES or first != second or first[32:40] != header.salts:
        return None
    if checksum(first[:40], "=II") != struct.unpack("=II", first[40:48]):
        return None
    copied, to_be_copied = (int.from_bytes(data[place : place + 4], sys.byteorder) for place in INDEX_COPIED)
    return max(copied, to_be_copied)


def cut_tail(path: Path, log: Log) -> None:
    """Leave the log as long as its last whole commit. Raises: OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, log.committed_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _examine(file: BinaryIO, size_bytes: int) -> Log:
    header = _read_header(file.read(HEADER_BYTES))
    if header is None:
        what = "its header is damaged, and SQLite reads nothing of it" if size_bytes else None
        return Log(size_bytes, 0, size_bytes, what)
    whole, committed = HEADER_BYTES, 0
    for end, commits in _walk(file, header):
        whole = end
        if commits:
            committed = end
    tail_end = _find_tail(file, header, whole, size_bytes)
    committed = committed or HEADER_BYTES
    if tail_end == committed:
        return Log(size_bytes, committed)
    following = (tail_end - whole - 1) // header.frame_bytes
    if following > 0:
        what = f"the frame at byte {whole} is damaged, and {following} behind it are lost with it"
    else:
        what = f"the transaction at byte {committed} is not whole"
    return Log(size_bytes, committed, tail_end - committed, what, interrupted=following <= 0)


def _read_header(data: bytes) -> _Header | None:
    """None for one that SQLite would not take."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, page_bytes, _, _, _, *stored = struct.unpack(">8I", data)
    if magic not in (MAGIC_LITTLE, MAGIC_BIG) or version != 3007000 or page_bytes not in _PAGE_SIZES:
        return None
    words = "<II" if magic == MAGIC_LITTLE else ">II"
    computed = checksum(data[:24], words)
    return _Header(page_bytes, data[16:24], words, computed) if computed == tuple(stored) else None


_PAGE_SIZES = {1 << power for power in range(9, 17)}


def _walk(file: BinaryIO, header: _Header) -> Iterator[tuple[int, bool]]:
    """Where each whole frame ends, and whether it commits, until one is not whole."""
    running, end = header.checksum, HEADER_BYTES
    while len(frame := file.read(header.frame_bytes)) == header.frame_bytes:
        page, pages_after, salts, *stored = struct.unpack(">II8sII", frame[:FRAME_HEADER_BYTES])
        if salts != header.salts or page == 0:
            return
        running = checksum(frame[FRAME_HEADER_BYTES:], header.words, checksum(frame[:8], header.words, running))
        if running != tuple(stored):
            return
        end += header.frame_bytes
        yield end, pages_after != 0


def _frames(file: BinaryIO, header: _Header, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The number of each frame's page, and where its content begins."""
    for offset in range(start, end, header.frame_bytes):
        found = _read_at(file, offset, FRAME_HEADER_BYTES)
        if len(found) == FRAME_HEADER_BYTES:
            yield int.from_bytes(found[:4], "big"), offset + FRAME_HEADER_BYTES


def _read_at(file: BinaryIO, offset: int, size_bytes: int) -> bytes:
    file.seek(offset)
    return file.read(size_bytes)


def _find_tail(file: BinaryIO, header: _Header, start: int, size_bytes: int) -> int:
    """The end of the last frame behind `start` that was written under the current salts, or `start`."""
    end = start
    for offset in range(start, size_bytes, header.frame_bytes):
        salts = _read_at(file, offset + 8, SALT_BYTES)
        # One salt alone is a frame of now with a damaged salt: an older frame has neither.
        current = salts[:4] == header.salts[:4] or salts[4:] == header.salts[4:]
        if current or len(salts) < SALT_BYTES:  # too short to tell: nothing older ends so, see connections.py
            end = min(offset + header.frame_bytes, size_bytes)
    return end
