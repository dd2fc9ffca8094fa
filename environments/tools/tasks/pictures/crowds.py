"""Crowds: so many shapes that they have to be counted, and a sign too small to be read among others."""

from __future__ import annotations

from environments.tools.tasks.pictures.asking import named, question
from environments.tools.tasks.pictures.canvas import BLACK, GLYPH_HEIGHT, GLYPH_WIDTH, PALETTE, WHITE, Canvas
from environments.tools.tasks.template import WHOLE, Question, Template, chance, numbered, whole

SHAPES = ("disc", "square", "triangle")
COLUMNS, ROWS, CELL = 16, 12, 50
SIGNS = 40
DIGITS = 5
SIGN_WIDTH, SIGN_HEIGHT = DIGITS * (GLYPH_WIDTH + 1) + 5, GLYPH_HEIGHT + 6
"""A frame of one pixel, and two pixels between it and the number."""
STREET = "#d9d9d9"


def _shapes(key: str) -> Question:
    rng = chance("shapes", key)
    colours = rng.sample(list(PALETTE), 4)
    kinds = [(colour, shape) for colour in colours for shape in SHAPES]
    weights = [rng.uniform(1, 4) for _ in kinds]
    canvas = Canvas(COLUMNS * CELL, ROWS * CELL)
    counts = dict.fromkeys(kinds, 0)
    for cell in range(COLUMNS * ROWS):
        if rng.random() < 0.15:
            continue
        (kind,) = rng.choices(kinds, weights)
        counts[kind] += 1
        size = rng.randrange(23, 38, 2)
        x = cell % COLUMNS * CELL + rng.randrange(3, CELL - 3 - size)
        y = cell // COLUMNS * CELL + rng.randrange(3, CELL - 3 - size)
        _draw(canvas, kind[1], x, y, size, PALETTE[kind[0]])
    colour, shape = rng.choice(kinds)
    return question(
        f"It shows discs, squares and triangles in several colours. How many {named(colour)} {shape}s are there? "
        f"{WHOLE}",
        whole(counts[colour, shape]),
        canvas,
        par_calls=2,
        computes=False,
    )


def _draw(canvas: Canvas, shape: str, x: int, y: int, size: int, colour: str) -> None:
    if shape == "disc":
        canvas.disc(x + size // 2, y + size // 2, size // 2, colour)
    elif shape == "square":
        canvas.rectangle(x, y, size, size, colour)
    else:
        canvas.triangle(x, y, size, colour)


def _sign(key: str) -> Question:
    rng = chance("sign", key)
    colour, *others = rng.sample(list(PALETTE), len(PALETTE))
    canvas = Canvas(1600, 1200, STREET)
    cells = rng.sample(range(16 * 12), SIGNS)
    numbers = rng.sample(range(10 ** (DIGITS - 1), 10**DIGITS), SIGNS)
    for place, (cell, said) in enumerate(zip(cells, numbers, strict=True)):
        x = cell % 16 * 100 + rng.randrange(5, 95 - SIGN_WIDTH)
        y = cell // 16 * 100 + rng.randrange(5, 95 - SIGN_HEIGHT)
        frame = PALETTE[rng.choice(others) if place else colour]
        canvas.rectangle(x, y, SIGN_WIDTH, SIGN_HEIGHT, frame)
        canvas.rectangle(x + 1, y + 1, SIGN_WIDTH - 2, SIGN_HEIGHT - 2, WHITE)
        canvas.digits(x + 3, y + 3, str(said), BLACK)
    return question(
        f"There are {SIGNS} small signs with numbers in it; one alone has a {named(colour)} frame. Which number is on "
        f"that sign? {WHOLE}",
        whole(numbers[0]),
        canvas,
        par_calls=3,
        computes=False,
    )


TEMPLATES = (Template("shapes", numbered(12), _shapes), Template("sign", numbered(12), _sign))
