"""The few of CRIU's image files that we read or write ourselves. Their formats are CRIU's images/*.proto.

A file is a magic number or two, then entries: a length of four bytes and a protobuf message each.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

from envserver.launcher import idmap

_CRIU_MAGICS = struct.Struct("<II")
_USERNS_MAGIC = 0x55474906
_IMG_COMMON_MAGIC = 0x54564319
_REMAP_KIND = 3
"""Number of the field `remap_type` in remap-file-path.proto."""
_REMAP_OF_A_DEAD_PROCESS = 2
_LINK = re.compile(rb"([\x21-\x7e]*/)?link_remap\.\d+")


def unrestorable(images: Path) -> str | None:
    """What CRIU has dumped though it cannot restore it, for whoever asked; None when there is nothing of that kind."""
    if any(file.stat().st_size > _CRIU_MAGICS.size for file in images.glob("ipcns-shm-*.img")):
        return "System V shared memory (shmget) cannot be restored; shm_open, mmap and memfd_create can"
    remaps = images / "remap-fpath.img"
    if remaps.exists() and any(_REMAP_OF_A_DEAD_PROCESS in _varints(e, _REMAP_KIND) for e in _entries(remaps)):
        return "a file in /proc of a process that has ended is open, which cannot be restored"
    return None


def links_in_layer(images: Path) -> bool:
    """Whether CRIU has given files on the writable layer a name for the time of the dump; on a tmpfs it saves it."""
    files = images / "files.img"
    found = _LINK.finditer(files.read_bytes()) if files.exists() else ()
    return any(not (match[1] or b"").lstrip(b"./").startswith(b"dev/shm/") for match in found)


def userns(host_start: int) -> bytes:
    """The image `userns` for one range: userns.proto, two lists of {first, lower_first, count}."""
    extent = b"\x08\x00" + b"\x10" + _varint(host_start) + b"\x18" + _varint(idmap.RANGE_SIZE)
    entry = b"".join(bytes([tag, len(extent)]) + extent for tag in (0x0A, 0x12))
    return _CRIU_MAGICS.pack(_IMG_COMMON_MAGIC, _USERNS_MAGIC) + struct.pack("<I", len(entry)) + entry


def _entries(file: Path) -> Iterator[bytes]:
    content = file.read_bytes()
    at = _CRIU_MAGICS.size
    while at + 4 <= len(content):
        (length,) = struct.unpack_from("<I", content, at)
        yield content[at + 4 : at + 4 + length]
        at += 4 + length


def _varints(message: bytes, wanted: int) -> Iterator[int]:
    """Values of a message's varint fields of that number; a message here has no others."""
    numbers = list(_decoded(message))
    for key, value in zip(numbers[::2], numbers[1::2], strict=False):
        if key == wanted << 3:
            yield value


def _decoded(message: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in message:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
