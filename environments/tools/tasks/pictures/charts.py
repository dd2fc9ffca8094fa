"""Charts: lengths against a scale, and shares of a whole."""

from __future__ import annotations

import random

from environments.tools.tasks.pictures.asking import named, question
from environments.tools.tasks.pictures.canvas import BLACK, GREY, PALETTE, Canvas
from environments.tools.tasks.template import NUMBER, Question, Template, chance, draw, number, numbered

TOPS = (120, 250, 400, 600, 900, 1500, 3200)
GROUND, SCALE = 430, 360
"""Pixels: where the bars stand, and how far above that the upper line is."""
LEAST_HEIGHT = 90
"""One pixel more or less is about a hundredth of it."""
PIECES = 5
LEAST_SHARE = 0.06
TOLERANCE = 0.015


def _bars(key: str) -> Question:
    rng = chance("bars", key)
    colours = rng.sample(list(PALETTE), 6)
    heights = {colour: rng.randrange(LEAST_HEIGHT, SCALE) for colour in colours}
    top = rng.choice(TOPS)
    canvas = Canvas(640, 480)
    for y, label in ((GROUND, "0"), (GROUND - SCALE, str(top))):
        canvas.rectangle(60, y, 540, 1, BLACK)
        canvas.digits(10, y - 6, label, GREY, 2)
    for place, colour in enumerate(colours):
        canvas.rectangle(80 + 85 * place, GROUND - heights[colour], 60, heights[colour], PALETTE[colour])
    one, other = rng.sample(colours, 2)
    return question(
        f"Its bars stand on the lower black line, which is at 0 tonnes; the upper one is at {top} tonnes. How many "
        f"tonnes are the {named(one)} bar and the {named(other)} bar together? {NUMBER}",
        number(top * (heights[one] + heights[other]) / SCALE, TOLERANCE),
        canvas,
        par_calls=4,
    )


def _pie(key: str) -> Question:
    rng = chance("pie", key)
    colours = rng.sample(list(PALETTE), PIECES)
    cuts = draw(rng, _cut)
    canvas = Canvas(480, 480)
    canvas.pie(240, 240, 180, cuts, [PALETTE[colour] for colour in colours])
    counts = {colour: canvas.count(PALETTE[colour]) for colour in colours}
    wanted = rng.choice(colours)
    pieces = ", ".join(map(named, colours))
    return question(
        f"It is a pie cut into {PIECES} pieces: {pieces}. What percentage of the whole pie is the {wanted} one? "
        f"{NUMBER}",
        number(100 * counts[wanted] / sum(counts.values()), TOLERANCE),
        canvas,
        par_calls=PIECES + 1,
    )


def _cut(rng: random.Random) -> list[float] | None:
    """Where one piece ends and the next begins, if none is too small."""
    cuts = sorted(rng.random() for _ in range(PIECES - 1))
    shares = [end - begin for begin, end in zip([0.0, *cuts], [*cuts, 1.0], strict=True)]
    return cuts if min(shares) >= LEAST_SHARE else None


TEMPLATES = (Template("bars", numbered(12), _bars), Template("pie", numbered(12), _pie))
