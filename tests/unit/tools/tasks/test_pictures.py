"""Pictures are what they were meant to be: every other reader of PNG sees the pixels that were drawn and counted."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from environments.tools.tasks.pictures import TEMPLATES
from environments.tools.tasks.pictures.asking import PATH
from environments.tools.tasks.pictures.canvas import BLACK, GLYPHS, PALETTE, WHITE, Canvas
from environments.tools.tasks.template import Template
from envserver.grading.matching import matches
from tests.unit.tools.tasks.gold.pictures import read

RED = PALETTE["red"]


def pixels(canvas: Canvas, colour: str) -> set[tuple[int, int]]:
    """As Pillow reads them."""
    picture = Image.open(io.BytesIO(canvas.png())).convert("RGB")
    wanted = tuple(bytes.fromhex(colour[1:]))
    return {(x, y) for x in range(picture.width) for y in range(picture.height) if picture.getpixel((x, y)) == wanted}


def test_a_rectangle_is_its_pixels_and_what_lies_outside_is_cut_off() -> None:
    canvas = Canvas(10, 8)
    canvas.rectangle(-2, 5, 5, 9, RED)
    assert pixels(canvas, RED) == {(x, y) for x in range(3) for y in range(5, 8)}
    assert canvas.count(RED) == 9
    assert canvas.count(WHITE) == 71
    assert canvas.count(BLACK) == 0


def test_a_disc_is_all_that_is_near_its_middle() -> None:
    canvas = Canvas(30, 30)
    canvas.disc(14, 12, 9, RED)
    assert pixels(canvas, RED) == {(x, y) for x in range(30) for y in range(30) if (x - 14) ** 2 + (y - 12) ** 2 <= 81}


def test_a_triangle_fills_half_of_its_square() -> None:
    canvas = Canvas(40, 40)
    canvas.triangle(3, 4, 31, RED)
    drawn = pixels(canvas, RED)
    assert (min(x for x, _ in drawn), max(x for x, _ in drawn)) == (3, 33)
    assert (min(y for _, y in drawn), max(y for _, y in drawn)) == (4, 34)
    assert 0.45 < len(drawn) / 31**2 < 0.55


def test_pieces_of_a_pie_have_their_shares() -> None:
    canvas = Canvas(200, 200)
    canvas.pie(100, 100, 90, [0.25, 0.6], [RED, BLACK, PALETTE["blue"]])
    whole = canvas.count(RED) + canvas.count(BLACK) + canvas.count(PALETTE["blue"])
    assert canvas.count(RED) / whole == pytest.approx(0.25, abs=0.005)
    assert canvas.count(BLACK) / whole == pytest.approx(0.35, abs=0.005)
    assert all(x >= 100 and y <= 100 for x, y in pixels(canvas, RED)), "clockwise from above"


def test_digits_can_be_read_and_no_two_are_alike() -> None:
    canvas = Canvas(64, 13)
    canvas.digits(2, 2, "0123456789", BLACK)
    assert read(canvas.png()) == "0123456789"
    assert len(set(GLYPHS.values())) == 10


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_each_task_has_a_picture_of_its_own_and_the_same_one_again(template: Template) -> None:
    keys = template.keys()
    tasks = [template.task(key) for key in keys]
    assert len({task.files[PATH] for task in tasks}) == len(tasks)
    assert template.task(keys[0]) == tasks[0]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_an_answer_that_is_off_by_a_twentieth_is_wrong(template: Template) -> None:
    keys = template.keys()
    for key in keys:
        rule = template.task(key).grader.data["answer"]
        assert matches(f"{rule['value']}", rule)
        assert not matches(f"{rule['value'] * 1.05}", rule)
        assert not matches(f"{rule['value'] * 0.95}", rule)
