"""The picture tools: what they say of a drawing is what was drawn, and nothing that is put to them breaks them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image, ImageDraw

from environments.environment import StepContext
from environments.tasks import GraderSpec, Task
from environments.tools.kits.image import ImageKit
from environments.tools.tool import ArgumentsError, ToolContext, ToolError, ToolResult
from envserver_sdk.models import Outcome
from tests.unit.local_sandbox import LocalSandbox

TASK = Task("t", "Look.", GraderSpec("answer"))


class Desk:
    """A kit over a sandbox, with a picture in it."""

    def __init__(self, root: Path) -> None:
        self.sandbox = LocalSandbox(root, python=sys.executable)  # the one that has Pillow
        self.kit = ImageKit()

    async def call(self, name: str, timeout_s: float = 20.0, **arguments: Any) -> ToolResult:
        context = ToolContext(self.sandbox, StepContext(timeout_s), seed=1)
        return await self.kit.tools[name].call(context, {"path": "drawing.png", **arguments})

    def put(self, name: str, picture: Image.Image, **options: Any) -> None:
        picture.save(self.sandbox.root / "workspace" / name, **options)


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "desk")
    await made.kit.begin(made.sandbox, TASK, 0)
    made.put("drawing.png", drawing())
    yield made
    await made.sandbox.destroy()


def drawing() -> Image.Image:
    """A red square, a red disc, a blue triangle whose tip is one pixel wide, and a diagonal that is one region."""
    picture = Image.new("RGB", (300, 200), "white")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((10, 20, 39, 49), fill="#ff0000")
    pen.ellipse((100, 20, 140, 60), fill="#fe0202")
    pen.polygon(((200, 100), (220, 60), (240, 100)), fill="#0000ff")
    for step in range(20):
        picture.putpixel((20 + step, 120 + step), (0, 128, 0))
    return picture


def shown(result: ToolResult) -> Image.Image:
    (picture,) = result.pictures
    return Image.open(io.BytesIO(picture))


async def test_a_picture_is_shown_as_it_is_and_its_file_counts_as_seen(desk: Desk) -> None:
    result = await desk.call("look")
    assert result.text == "300 x 200 pixels"
    assert list(shown(result).convert("RGB").tobytes()) == list(drawing().tobytes())
    assert result.seen == ("file:/workspace/drawing.png",)


async def test_a_large_picture_is_shown_smaller_and_says_so(desk: Desk) -> None:
    desk.put("large.png", Image.new("RGB", (3000, 1500), "navy"))
    result = await desk.call("look", path="/workspace/large.png")
    assert result.text == "3000 x 1500 pixels; shown as 1024 x 512"
    assert shown(result).size == (1024, 512)


async def test_a_part_that_reaches_beyond_the_edge_is_what_there_is_of_it(desk: Desk) -> None:
    result = await desk.call("crop", x=-5, y=15, width=20, height=10)
    assert result.text == "x 0 to 14, y 15 to 24"
    assert shown(result).convert("RGB").getpixel((12, 8)) == (255, 0, 0)
    assert (await desk.call("crop", x=300, y=0, width=5, height=5)).error


async def test_what_is_enlarged_has_blocks_for_pixels(desk: Desk) -> None:
    result = await desk.call("zoom", x=10, y=20, factor=8)
    picture = shown(result).convert("RGB")
    assert result.text == "x 0 to 41, y 0 to 51, 8 times as large"
    assert picture.size == (42 * 8, 52 * 8)
    assert picture.getpixel((79, 160)) == (255, 255, 255)
    assert picture.getpixel((80, 160)) == (255, 0, 0)


async def test_distances_and_colours_are_exact(desk: Desk) -> None:
    assert (await desk.call("measure", x1=10, y1=20, x2=40, y2=60)).text == "50.00 pixels (30 across, 40 down)"
    assert (await desk.call("colour_at", x=39, y=49)).text == "#ff0000"
    assert (await desk.call("colour_at", x=40, y=50)).text == "#ffffff"
    assert (await desk.call("colour_at", x=300, y=0)).text == (
        "Error: (300, 0) is not in the picture: it has 300 x 200 pixels"
    )


async def test_regions_of_a_colour_are_counted_and_placed(desk: Desk) -> None:
    result = await desk.call("find_colour", colour="red")
    lines = result.text.splitlines()
    assert lines[0].startswith("2 regions of #ff0000, ")
    assert lines[1].startswith("1. x=100 y=20 width=41 height=41 pixels=")
    assert lines[2] == "2. x=10 y=20 width=30 height=30 pixels=900 centre=(24.5, 34.5)"
    exact = await desk.call("find_colour", colour="#ff0000", tolerance=0)
    assert exact.text.startswith("1 region of #ff0000, 900 pixels")
    diagonal = await desk.call("find_colour", colour="#008000")
    assert "1. x=20 y=120 width=20 height=20 pixels=20 centre=(29.5, 129.5)" in diagonal.text
    assert (await desk.call("find_colour", colour="#008000", min_pixels=21)).text == (
        "there is nothing of the colour #008000"
    )


async def test_regions_that_meet_late_are_one(desk: Desk) -> None:
    comb = Image.new("RGB", (60, 40), "white")
    pen = ImageDraw.Draw(comb)
    for x in range(1, 60, 4):
        pen.line((x, 2, x, 37), fill="black")
    pen.line((1, 37, 57, 37), fill="black")
    desk.put("comb.png", comb)
    found = await desk.call("find_colour", path="comb.png", colour="black")
    assert found.text.splitlines()[0].startswith("1 region of #000000")


async def test_more_regions_than_can_be_shown_are_counted(desk: Desk) -> None:
    dots = Image.new("RGB", (100, 100), "white")
    for place in range(150):
        dots.putpixel((place % 30 * 3, place // 30 * 3), (0, 0, 0))
    desk.put("dots.png", dots)
    text = (await desk.call("find_colour", path="dots.png", colour="black")).text
    assert text.startswith("150 regions")
    assert len(text.splitlines()) == 1 + 100 + 1
    assert text.endswith("[50 smaller ones are not shown]")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16"])
async def test_pictures_of_every_kind_are_read(desk: Desk, mode: str) -> None:
    desk.put("kind.png", Image.new("L", (4, 4), 255).convert(mode) if mode != "I;16" else Image.new("I;16", (4, 4)))
    assert not (await desk.call("colour_at", path="kind.png", x=1, y=1)).error


async def test_what_is_transparent_is_white(desk: Desk) -> None:
    desk.put("glass.png", Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    assert (await desk.call("colour_at", path="glass.png", x=0, y=0)).text == "#ffffff"


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
async def test_what_is_no_picture_is_told(desk: Desk, content: bytes) -> None:
    (desk.sandbox.root / "workspace/junk.png").write_bytes(content)
    result = await desk.call("look", path="junk.png")
    assert result.error
    assert "is no picture" in result.text
    assert result.seen == ()


async def test_what_cannot_be_opened_is_told(desk: Desk) -> None:
    missing = await desk.call("look", path="none.png")
    assert missing.error
    assert missing.text.endswith("none.png: No such file or directory")
    assert "Is a directory" in (await desk.call("look", path=".")).text
    assert "no colour" in (await desk.call("find_colour", colour="reddish")).text
    with pytest.raises(ToolError):
        await desk.call("look", path="a\0b")
    with pytest.raises(ArgumentsError, match="factor"):
        await desk.call("zoom", x=0, y=0, factor=1)


async def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(desk: Desk) -> None:
    desk.put("bomb.png", Image.new("1", (9000, 9000)))
    result = await desk.call("look", path="bomb.png")
    assert result.error
    assert "pixels" in result.text


async def test_noise_is_shown_small_enough_to_be_sent(desk: Desk) -> None:
    desk.put("noise.png", Image.effect_noise((1000, 1000), 200))
    result = await desk.call("look", path="noise.png")
    assert len(result.pictures[0]) <= 600_000
    scattered = await desk.call("find_colour", path="noise.png", colour="#7f7f7f", tolerance=120)
    assert "scattered over too many places" in scattered.text


async def test_a_program_that_ended_is_begun_again_and_a_snapshot_finds_it(desk: Desk) -> None:
    await desk.call("look")
    kit = ImageKit()
    kit.restore(desk.sandbox, TASK, json.loads(json.dumps(desk.kit.snapshot())))
    desk.kit = kit
    assert (await desk.call("look")).text == "300 x 200 pixels"
    await desk.sandbox.stop_processes()
    again = await desk.call("look")
    assert again.text.startswith("300 x 200 pixels\n[this step began a new session")
    assert (again.outcome, again.error) == (Outcome.OK, False)
