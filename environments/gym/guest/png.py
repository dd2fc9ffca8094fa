"""A frame as a PNG file (W3C PNG, third edition), with the standard library alone."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = {1: 0, 3: 2, 4: 6}
"""Colour type by channels: grey, RGB, RGB with alpha."""
LEVEL = 1
"""Of compression: frames are looked at once."""


def encode(frame: np.ndarray[Any, Any]) -> bytes:
    """`frame` is (height, width) or (height, width, channels) of bytes. Raises: ValueError for any other array."""
    if frame.ndim == 2:
        frame = frame[:, :, None]
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in COLOURS or 0 in frame.shape:
        raise ValueError(f"a frame of {frame.dtype} and shape {frame.shape} is no picture")
    height, width, channels = frame.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with its filter's number: none
    rows[:, 1:] = frame.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, COLOURS[channels], 0, 0, 0)
    body = zlib.compress(rows.tobytes(), LEVEL)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
