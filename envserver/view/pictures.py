"""Pictures in what was observed: found wherever they stand, shown only where their bytes are what they should be.

They come as an observation's `images` (`format` and `data`), as blocks of a message (`media_type` and `data`), and as
data URIs. Vector graphics are none: they are programs.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 16 << 20
MAX_PIXELS = 32_000_000
"""Few bytes may stand for many pixels, and whoever opens the page would pay for each."""

_URI = re.compile(r"data:image/([a-z.+-]{1,16});base64,")
_PNG = b"\x89PNG\r\n\x1a\n"


class NoPictureError(ValueError):
    """It cannot be shown; the message says why."""


@dataclass(frozen=True)
class Picture:
    format: str
    """png, jpeg or webp."""
    data: str
    """Base64."""
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True)
class Claim:
    """What is said to be a picture."""

    format: str
    data: str


def claim_of(value: Any) -> Claim | None:
    """What a part of an observation or a message says is a picture; None where it says nothing of the kind."""
    if isinstance(value, str):
        uri = _URI.match(value)
        return Claim(uri[1], value[uri.end() :]) if uri else None
    if not isinstance(value, Mapping) or not isinstance(data := value.get("data"), str):
        return None
    if isinstance(kind := value.get("media_type"), str) and kind.startswith("image/"):
        return Claim(kind.removeprefix("image/"), data)
    if isinstance(kind := value.get("format"), str) and set(value) == {"format", "data"}:
        return Claim(kind, data)
    return None


def read(claim: Claim) -> Picture:
    """Raises: NoPictureError."""
    name = "jpeg" if claim.format == "jpg" else claim.format
    if name not in _SIZES:
        raise NoPictureError(f"of a format that is not shown: {claim.format[:32]}")
    if len(claim.data) > MAX_BYTES * 4 // 3 + 4:
        raise NoPictureError(f"of more than {MAX_BYTES >> 20} MiB")
    try:
        decoded = binascii.a2b_base64(claim.data, strict_mode=True)
    except ValueError:  # not ASCII among it
        raise NoPictureError("that is no base64") from None
    size = _SIZES[name](decoded)
    if size is None:
        raise NoPictureError(f"that is no {name}")
    if 0 in size or size[0] * size[1] > MAX_PIXELS:
        raise NoPictureError(f"of {size[0]} x {size[1]} pixels")
    return Picture(name, claim.data, *size, len(decoded))


def _png_size(data: bytes) -> tuple[int, int] | None:
    if not data.startswith(_PNG) or data[12:16] != b"IHDR" or len(data) < 24:
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Each of the three kinds says it elsewhere."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """In the segment that begins a frame (SOF); those before it are stepped over."""
    place = 2
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = data[place + 5 : place + 7], data[place + 7 : place + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        place += 2 + length
    return None


_SIZES = {"png": _png_size, "webp": _webp_size, "jpeg": _jpeg_size}
