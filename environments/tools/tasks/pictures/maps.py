"""Maps with a scale: how far two towns are apart, how large a lake is."""

from __future__ import annotations

import math
import random

from environments.tools.tasks.pictures.asking import named, question
from environments.tools.tasks.pictures.canvas import BLACK, PALETTE, Canvas
from environments.tools.tasks.template import NUMBER, Question, Template, chance, draw, number, numbered

WIDTH, HEIGHT = 900, 700
LAND, RIVER, WATER = "#e8e4d0", "#a9d3ea", "#3a6ea5"
TOWN_RADIUS = 7
LEAST_PIXELS = 150
"""Between two towns: a pixel more or less is under a hundredth."""
KILOMETRES = (2, 5, 8, 10, 15, 20, 40, 50, 75, 100)
DISTANCE_TOLERANCE = 0.015
AREA_TOLERANCE = 0.025
"""The scale's error counts twice."""
POND_RADII = (10, 14, 18)

Point = tuple[int, int]


def _distance(key: str) -> Question:
    rng = chance("map-distance", key)
    canvas, pixels, kilometres = _map(rng)
    towns = draw(rng, _towns)
    for colour, place in zip(PALETTE, towns, strict=True):
        canvas.disc(*place, TOWN_RADIUS, PALETTE[colour])
    one, other = draw(rng, lambda chances: _pair(chances, towns))
    names = list(PALETTE)
    return question(
        f"It is a map; the black bar at its lower edge is {kilometres} km long. How many kilometres is it, in a "
        f"straight line, from the middle of the {named(names[one])} town to the middle of the {named(names[other])} "
        f"one? {NUMBER}",
        number(kilometres * math.dist(towns[one], towns[other]) / pixels, DISTANCE_TOLERANCE),
        canvas,
        par_calls=5,
    )


def _lake(key: str) -> Question:
    rng = chance("lake", key)
    canvas, pixels, kilometres = _map(rng)
    for _ in range(14):  # all of them overlap in the middle
        turn, radius = rng.uniform(0, 2 * math.pi), rng.randrange(40, 90)
        away = rng.uniform(0, radius - 5)
        canvas.disc(round(420 + away * math.cos(turn)), round(330 + away * math.sin(turn)), radius, WATER)
    area = canvas.count(WATER)
    for place, radius in enumerate(rng.choices(POND_RADII, k=5)):
        canvas.disc(100 + 160 * place + rng.randrange(-30, 30), rng.choice((60, 600)), radius, WATER)
    return question(
        f"It is a map; the black bar at its lower edge is {kilometres} km long. How many square kilometres is the "
        f"largest lake ({WATER}) of it? {NUMBER}",
        number(area * (kilometres / pixels) ** 2, AREA_TOLERANCE),
        canvas,
        par_calls=3,
    )


def _map(rng: random.Random) -> tuple[Canvas, int, int]:
    """A map with a river and a scale, whose length in pixels and in kilometres is returned."""
    canvas = Canvas(WIDTH, HEIGHT, LAND)
    source, bend = rng.randrange(100, WIDTH - 100), rng.uniform(0, 6)
    for y in range(HEIGHT):
        canvas.span(round(source + 50 * math.sin(y / 90 + bend) + 12 * math.sin(y / 25)) - 6, y, 13, RIVER)
    pixels = rng.randrange(130, 260)
    canvas.rectangle(30, HEIGHT - 25, pixels, 8, BLACK)
    return canvas, pixels, rng.choice(KILOMETRES)


def _towns(rng: random.Random) -> list[Point] | None:
    """One a colour, none touching another."""
    places = [(rng.randrange(20, WIDTH - 20), rng.randrange(20, HEIGHT - 60)) for _ in PALETTE]
    far = all(math.dist(one, other) > 4 * TOWN_RADIUS for number, one in enumerate(places) for other in places[:number])
    return places if far else None


def _pair(rng: random.Random, towns: list[Point]) -> tuple[int, int] | None:
    one, other = rng.sample(range(len(towns)), 2)
    return (one, other) if math.dist(towns[one], towns[other]) >= LEAST_PIXELS else None


TEMPLATES = (Template("map-distance", numbered(12), _distance), Template("lake", numbered(12), _lake))
