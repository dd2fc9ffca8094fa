"""Pictures inside a sandbox: takes requests on descriptor 3, answers on descriptor 4.

A message is a JSON object `{"tool", "arguments"}`; the answer is one with `result` or `error`, texts, and `images`, PNG
in base64. Every request opens its file anew, so the program has no state and may be replaced at any time.

It runs here because a policy may have written the file: decoders of pictures are large, and see untrusted bytes. What
it says is shown and not believed. Needs Pillow.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import signal

from PIL import Image, ImageChops, ImageColor, UnidentifiedImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Said = tuple[str, Image.Image | None]

Image.MAX_IMAGE_PIXELS = 25_000_000
"""Pillow itself refuses twice as many."""
MAX_SIDE = 1024
MAX_PNG_BYTES = 600_000
MAX_RUNS = 200_000
MAX_REGIONS = 100


class Problem(Exception):
    """What cannot be done, in words for the policy."""


def opened(path: str) -> Image.Image:
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or 0):
                raise Problem(f"{path} has {picture.width} x {picture.height} pixels, which is too many")
            if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
                behind = Image.new("RGBA", picture.size, "white")
                return Image.alpha_composite(behind, picture.convert("RGBA")).convert("RGB")
            return picture.convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise Problem(f"{path} is no picture that can be read: {error}") from None
    except OSError as error:
        raise Problem(f"{path}: {error.strerror or error}") from None


def look(path: str) -> Said:
    picture = opened(path)
    shown = fitted(picture)
    scale = "" if shown.size == picture.size else f"; shown as {shown.width} x {shown.height}"
    return f"{picture.width} x {picture.height} pixels{scale}", shown


def crop(path: str, x: int, y: int, width: int, height: int) -> Said:
    picture = opened(path)
    box = (max(0, x), max(0, y), min(picture.width, x + width), min(picture.height, y + height))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise Problem(f"nothing of the picture is there: it has {picture.width} x {picture.height} pixels")
    part = picture.crop(box)
    shown = fitted(part)
    scale = "" if shown.size == part.size else f"; shown as {shown.width} x {shown.height}"
    return f"x {box[0]} to {box[2] - 1}, y {box[1]} to {box[3] - 1}{scale}", shown


def zoom(path: str, x: int, y: int, factor: int) -> Said:
    picture = opened(path)
    inside(picture, x, y)
    half = MAX_SIDE // 4 // factor
    box = (max(0, x - half), max(0, y - half), min(picture.width, x + half), min(picture.height, y + half))
    part = picture.crop(box)
    shown = part.resize((part.width * factor, part.height * factor), Image.Resampling.NEAREST)
    return f"x {box[0]} to {box[2] - 1}, y {box[1]} to {box[3] - 1}, {factor} times as large", shown


def measure(path: str, x1: int, y1: int, x2: int, y2: int) -> Said:
    picture = opened(path)
    inside(picture, x1, y1)
    inside(picture, x2, y2)
    return f"{math.hypot(x2 - x1, y2 - y1):.2f} pixels ({x2 - x1} across, {y2 - y1} down)", None


def colour_at(path: str, x: int, y: int) -> Said:
    picture = opened(path)
    inside(picture, x, y)
    colour: Any = picture.getpixel((x, y))
    return written(colour), None


def find_colour(path: str, colour: str, tolerance: int, min_pixels: int) -> Said:
    picture = opened(path)
    try:
        wanted = ImageColor.getrgb(colour)[:3]
    except ValueError:
        raise Problem(f"{colour!r} is no colour: give one such as #1f77b4 or red") from None
    found = [region for region in regions(mask(picture, wanted, tolerance)) if region.pixels >= min_pixels]
    found.sort(key=lambda region: (-region.pixels, region.top, region.left))
    if not found:
        return f"there is nothing of the colour {written(wanted)}", None
    total = sum(region.pixels for region in found)
    lines = [f"{len(found)} {'region' if len(found) == 1 else 'regions'} of {written(wanted)}, {total} pixels in all"]
    lines += [f"{place}. {region}" for place, region in enumerate(found[:MAX_REGIONS], 1)]
    if len(found) > MAX_REGIONS:
        lines.append(f"[{len(found) - MAX_REGIONS} smaller ones are not shown]")
    return "\n".join(lines), None


def inside(picture: Image.Image, x: int, y: int) -> None:
    if not (0 <= x < picture.width and 0 <= y < picture.height):
        raise Problem(f"({x}, {y}) is not in the picture: it has {picture.width} x {picture.height} pixels")


def written(colour: tuple[int, ...]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def fitted(picture: Image.Image) -> Image.Image:
    if max(picture.size) <= MAX_SIDE:
        return picture
    small = picture.copy()
    small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return small


def mask(picture: Image.Image, colour: tuple[int, ...], tolerance: int) -> Image.Image:
    """White where every channel is near enough."""
    off = ImageChops.difference(picture, Image.new("RGB", picture.size, colour)).split()
    most = ImageChops.lighter(ImageChops.lighter(off[0], off[1]), off[2])
    return most.point([255 if value <= tolerance else 0 for value in range(256)])


class Region:
    """Pixels that touch one another, by an edge or a corner."""

    def __init__(self, row: int, start: int, end: int) -> None:
        self.left, self.right, self.top, self.bottom = start, end - 1, row, row
        self.pixels = end - start
        self.across, self.down = (start + end - 1) * self.pixels, 2 * row * self.pixels

    def add(self, other: Region) -> None:
        self.left, self.right = min(self.left, other.left), max(self.right, other.right)
        self.top, self.bottom = min(self.top, other.top), max(self.bottom, other.bottom)
        self.pixels += other.pixels
        self.across += other.across
        self.down += other.down

    def __str__(self) -> str:
        width, height = self.right - self.left + 1, self.bottom - self.top + 1
        centre = f"({self.across / self.pixels / 2:.1f}, {self.down / self.pixels / 2:.1f})"
        return f"x={self.left} y={self.top} width={width} height={height} pixels={self.pixels} centre={centre}"


def regions(white: Image.Image) -> list[Region]:
    """Row by row: a run of pixels joins those of the row above that it touches."""
    data, width = white.tobytes(), white.width
    parents: list[int] = []
    found: list[Region] = []

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    above: list[tuple[int, int, int]] = []
    for row in range(white.height):
        here = []
        for start, end in runs(data[row * width : (row + 1) * width]):
            number = len(found)
            if number >= MAX_RUNS:
                raise Problem("the colour is scattered over too many places: give a smaller tolerance")
            parents.append(number)
            found.append(Region(row, start, end))
            here.append((start, end, number))
        join(above, here, parents, root)
        above = here
    for number, region in enumerate(found):
        if root(number) != number:
            found[root(number)].add(region)
    return [region for number, region in enumerate(found) if parents[number] == number]


def join(
    above: list[tuple[int, int, int]],
    here: list[tuple[int, int, int]],
    parents: list[int],
    root: Callable[[int], int],
) -> None:
    """Both are in order, so one walk finds all that touch."""
    first = 0
    for start, end, number in here:
        while first < len(above) and above[first][1] < start:
            first += 1
        place = first
        while place < len(above) and above[place][0] <= end:
            parents[root(number)] = root(above[place][2])
            place += 1


def runs(row: bytes) -> Iterator[tuple[int, int]]:
    start = row.find(255)
    while start >= 0:
        end = row.find(0, start)
        end = len(row) if end < 0 else end
        yield start, end
        start = row.find(255, end)


def png(picture: Image.Image) -> str:
    """In base64, made smaller until it can be sent."""
    while True:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        if buffer.tell() <= MAX_PNG_BYTES:
            return base64.b64encode(buffer.getvalue()).decode()
        picture = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)), Image.Resampling.BOX)


TOOLS: dict[str, Callable[..., Said]] = {
    each.__name__: each for each in (look, crop, zoom, measure, colour_at, find_colour)
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            text, picture = TOOLS[request["tool"]](**request["arguments"])
            return {"result": text, "images": [png(picture)] if picture else []}
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except Problem as problem:
        return {"error": str(problem)}
    except KeyboardInterrupt:
        return {"error": "it took too long and was interrupted"}
    except MemoryError:
        return {"error": "there is not enough memory for it"}


def read_message(descriptor: int) -> bytes | None:
    length = b""
    while not length.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            return None
        length += byte
    data, size = b"", int(length)
    while len(data) < size:
        part = os.read(descriptor, size - len(data))
        if not part:
            return None
        data += part
    return data


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (message := read_message(3)) is not None:
        said = json.dumps(answer(json.loads(message))).encode()
        data = b"%d\n%s" % (len(said), said)
        while data:
            data = data[os.write(4, data) :]


if __name__ == "__main__":
    main()
