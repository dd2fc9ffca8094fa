"""Drawing without a library: filled shapes with hard edges, so that what is measured is what was drawn.

A picture has a table of colours, at most 256, and a byte for each pixel; PNG is W3C's third edition, with the standard
library alone.
"""

from __future__ import annotations

import math
import struct
import zlib
from bisect import bisect
from collections.abc import Sequence
from itertools import groupby

PALETTE = {
    "blue": "#1f77b4", "orange": "#ff7f0e", "green": "#2ca02c", "red": "#d62728", "purple": "#9467bd",
    "brown": "#8c564b", "pink": "#e377c2", "cyan": "#17becf",
}  # fmt: skip
BLACK, GREY, WHITE = "#000000", "#505050", "#ffffff"
GLYPH_WIDTH, GLYPH_HEIGHT = 5, 7
GLYPHS = {
    "0": "01110 10001 10001 10001 10001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00010 00100 01000 11111",
    "3": "11111 00010 00100 00010 00001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
}
"""Rows of dots."""


class Canvas:
    """A picture that is drawn on. Places are pixels from the upper left corner; what lies outside is not drawn."""

    def __init__(self, width: int, height: int, colour: str = WHITE) -> None:
        self.width, self.height = width, height
        self._colours = {colour: 0}
        self._rows = [bytearray(width) for _ in range(height)]

    def span(self, x: int, y: int, width: int, colour: str) -> None:
        """Pixels in a row."""
        left, right = max(0, x), min(self.width, x + width)
        if left < right and 0 <= y < self.height:
            number = self._colours.setdefault(colour, len(self._colours))
            self._rows[y][left:right] = bytes((number,)) * (right - left)

    def rectangle(self, x: int, y: int, width: int, height: int, colour: str) -> None:
        for row in range(y, y + height):
            self.span(x, row, width, colour)

    def disc(self, x: int, y: int, radius: int, colour: str) -> None:
        """Around the middle of a pixel."""
        for off in range(-radius, radius + 1):
            half = math.isqrt(radius * radius - off * off)
            self.span(x - half, y + off, 2 * half + 1, colour)

    def triangle(self, x: int, y: int, size: int, colour: str) -> None:
        """In a square, its tip above."""
        for row in range(size):
            half = row * size // (2 * size - 2)
            self.span(x + size // 2 - half, y + row, 2 * half + 1, colour)

    def pie(self, x: int, y: int, radius: int, cuts: Sequence[float], colours: Sequence[str]) -> None:
        """A disc in pieces, from one share of the turn to the next, clockwise from above."""
        for down in range(-radius, radius + 1):
            half = math.isqrt(radius * radius - down * down)
            turns = (math.atan2(across, -down) / (2 * math.pi) % 1 for across in range(-half, half + 1))
            left = x - half
            for piece, run in groupby(bisect(cuts, turn) for turn in turns):
                width = len(list(run))
                self.span(left, y + down, width, colours[piece])
                left += width

    def digits(self, x: int, y: int, text: str, colour: str, scale: int = 1) -> None:
        """A number, each glyph one dot from the next."""
        for place, digit in enumerate(text):
            left = x + place * (GLYPH_WIDTH + 1) * scale
            for row, dots in enumerate(GLYPHS[digit].split()):
                for column, dot in enumerate(dots):
                    if dot == "1":
                        self.rectangle(left + column * scale, y + row * scale, scale, scale, colour)

    def count(self, colour: str) -> int:
        """How many pixels have a colour."""
        number = self._colours.get(colour)
        return 0 if number is None else sum(row.count(number) for row in self._rows)

    def png(self) -> bytes:
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        table = b"".join(bytes.fromhex(colour[1:]) for colour in self._colours)
        body = zlib.compress(b"".join(b"\0" + bytes(row) for row in self._rows))
        chunks = ((b"IHDR", header), (b"PLTE", table), (b"IDAT", body), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
