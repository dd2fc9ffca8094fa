"""Elements: what a piece of one weighs, what it takes to warm it, and how it compares with others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from environments.tools.corpus.pages import element_id
from environments.tools.corpus.sources import Element
from environments.tools.tasks.lookups.facts import dated, metals
from environments.tools.tasks.lookups.wording import FIGURES, KITS, TOOLS, listed
from environments.tools.tasks.template import (
    NAMES,
    NUMBER,
    Question,
    Template,
    apart,
    chance,
    chosen,
    draw,
    in_order,
    number,
    numbered,
)

RANKED = 5
LEAST_YEARS = 5


def _cube(symbol: str) -> Question:
    metal, edge = metals()[symbol], chance("cube", symbol).randint(13, 97) / 2
    return Question(
        f"What is the mass, in kilograms, of a solid cube of {_name(metal)} whose edges are {edge} cm long? {FIGURES} "
        f"{NUMBER}",
        number(metal.data["density"] * edge**3 / 1000),
        KITS,
        TOOLS,
        par_calls=3,
        evidence=_pages([metal]),
    )


def _heat(symbol: str) -> Question:
    metal, rng = metals()[symbol], chance("heat", symbol)
    mass, warmer = rng.randint(21, 290) / 10, rng.randint(11, 79)
    return Question(
        f"How much energy, in kilojoules, does it take to make {mass} kg of {_name(metal)} {warmer} kelvin warmer, if "
        f"its specific heat capacity stays the same? {FIGURES} {NUMBER}",
        number(metal.data["specific_heat_capacity"] * mass * warmer),
        KITS,
        TOOLS,
        par_calls=3,
        evidence=_pages([metal]),
    )


def _cubes(key: str) -> Question:
    """Two steps: a mass from one density, an edge from another."""

    def make(rng: random.Random) -> tuple[Sequence[Element], float] | None:
        pair = rng.sample(list(metals().values()), 2)
        return (pair, rng.randint(13, 97) / 2) if apart(metal.data["density"] for metal in pair) else None

    (one, other), edge = draw(chance("same-mass", key), make)
    return Question(
        f"A solid cube of {_name(one)} has edges of {edge} cm. How long, in centimetres, are the edges of a solid cube "
        f"of {_name(other)} that has the same mass? {FIGURES} {NUMBER}",
        number(edge * (one.data["density"] / other.data["density"]) ** (1 / 3), 0.002),
        KITS,
        TOOLS,
        par_calls=5,
        evidence=_pages([one, other]),
    )


def _discoveries(key: str) -> Question:
    def make(rng: random.Random) -> Sequence[Element] | None:
        drawn = sorted(rng.sample(list(dated().values()), RANKED), key=_year)
        gaps = (_year(later) - _year(earlier) for earlier, later in pairwise(drawn))
        return drawn if min(gaps) >= LEAST_YEARS else None

    ordered = draw(chance("discoveries", key), make)
    shown = sorted(element.name for element in ordered)
    return Question(
        f"Order these chemical elements by their year of discovery, the first discovered first: {listed(shown)}. "
        f"{FIGURES} {NAMES}",
        in_order(element.name for element in ordered),
        ("search",),
        ("open_page",),
        par_calls=2 * RANKED,
        evidence=_pages(ordered),
    )


def _year(element: Element) -> int:
    return int(element.data["discovery_year"])


def _name(element: Element) -> str:
    """As it is written within a sentence."""
    return element.name.lower()


def _pages(these: Sequence[Element]) -> tuple[tuple[str], ...]:
    return tuple((element_id(element.symbol),) for element in these)


TEMPLATES = (
    Template("cube", lambda: chosen("cube", metals(), 14), _cube),
    Template("heat", lambda: chosen("heat", metals(), 14), _heat),
    Template("same-mass", numbered(14), _cubes),
    Template("discoveries", numbered(14), _discoveries),
)
