"""Pictures: find colours, measure, compute; and read digits as they are drawn."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from environments.tools.tasks.pictures.canvas import GLYPH_WIDTH, GLYPHS
from tests.unit.tools.tasks.gold.desk import Desk, Policy

PICTURE = "picture.png"
COLOUR = r"\((#\w+)\)"
BLACK = "#000000"
_REGION = re.compile(r"x=(\d+) y=(\d+) width=(\d+) height=(\d+) pixels=(\d+) centre=\(([\d.]+), ([\d.]+)\)")


@dataclass(frozen=True)
class Region:
    x: int
    y: int
    width: int
    height: int
    pixels: int
    centre: tuple[int, int]

    @property
    def fill(self) -> float:
        """Of the box around it."""
        return self.pixels / (self.width * self.height)


async def find(desk: Desk, colour: str) -> list[Region]:
    """The largest first."""
    observation = await desk.use("find_colour", path=PICTURE, colour=colour)
    desk.cited.append(observation["number"])
    return [_region(*found) for found in _REGION.findall(observation["content"])]


def _region(x: str, y: str, width: str, height: str, pixels: str, across: str, down: str) -> Region:
    centre = (round(float(across)), round(float(down)))
    return Region(int(x), int(y), int(width), int(height), int(pixels), centre)


async def _bars(desk: Desk) -> str:
    top, *colours = desk.asked(rf"upper one is at (\d+) tonnes.* the \w+ {COLOUR} bar and the \w+ {COLOUR} bar")
    lines = await find(desk, BLACK)
    scale = max(line.y for line in lines) - min(line.y for line in lines)
    heights = [(await find(desk, colour))[0].height for colour in colours]
    return desk.conclude(await desk.compute(f"{top} * ({heights[0]} + {heights[1]}) / {scale}"))


async def _pie(desk: Desk) -> str:
    pieces, wanted = desk.asked(r"pieces: (.+?)\. .* is the (\w+) one\?")
    pixels = {}
    for name, colour in re.findall(rf"(\w+) {COLOUR}", pieces):
        pixels[name] = sum(region.pixels for region in await find(desk, colour))
    return desk.conclude(await desk.compute(f"100 * {pixels[wanted]} / ({' + '.join(map(str, pixels.values()))})"))


async def _map_distance(desk: Desk) -> str:
    kilometres, *colours = desk.asked(rf"is (\d+) km long.* the \w+ {COLOUR} town .* the \w+ {COLOUR} one")
    (x1, y1), (x2, y2) = [(await find(desk, colour))[0].centre for colour in colours]
    pixels = (await desk.say("measure", path=PICTURE, x1=x1, y1=y1, x2=x2, y2=y2)).split()[0]
    bar = (await find(desk, BLACK))[0].width
    return desk.conclude(await desk.compute(f"{kilometres} * {pixels} / {bar}"))


async def _lake(desk: Desk) -> str:
    kilometres, colour = desk.asked(rf"is (\d+) km long.* largest lake {COLOUR}")
    lake, bar = (await find(desk, colour))[0], (await find(desk, BLACK))[0]
    return desk.conclude(await desk.compute(f"{lake.pixels} * ({kilometres} / {bar.width})^2"))


async def _shapes(desk: Desk) -> str:
    colour, shape = desk.asked(rf"How many \w+ {COLOUR} (\w+)s are there")
    fills = {"square": (0.99, 1.01), "disc": (0.7, 0.9), "triangle": (0.4, 0.6)}
    least, most = fills[shape]
    return desk.conclude(sum(least < region.fill < most for region in await find(desk, colour)))


async def _sign(desk: Desk) -> str:
    (colour,) = desk.asked(rf"a \w+ {COLOUR} frame")
    (frame,) = await find(desk, colour)
    box = {"x": frame.x + 1, "y": frame.y + 1, "width": frame.width - 2, "height": frame.height - 2}
    seen = await desk.use("crop", path=PICTURE, **box)
    return desk.conclude(read(base64.b64decode(seen["images"][0]["data"])))


def read(png: bytes) -> str:
    """The digits in black on white."""
    picture = Image.open(io.BytesIO(png)).convert("L").point(lambda value: 255 * (value < 128))
    box = picture.getbbox()
    assert box
    dots = {(x, y) for x in range(picture.width) for y in range(picture.height) if picture.getpixel((x, y))}
    known = {text: digit for digit, text in GLYPHS.items()}
    said = ""
    for left in range(2, picture.width - GLYPH_WIDTH, GLYPH_WIDTH + 1):
        rows = ("".join(str(int((left + x, y) in dots)) for x in range(GLYPH_WIDTH)) for y in range(box[1], box[3]))
        said += known[" ".join(rows)]
    return said


POLICIES: Mapping[str, Policy] = {
    "bars": _bars,
    "pie": _pie,
    "map-distance": _map_distance,
    "lake": _lake,
    "shapes": _shapes,
    "sign": _sign,
}
