"""Countries: quotients and rankings of people and land, which are on two pages each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from environments.tools.corpus.pages import country_id, geography_id
from environments.tools.corpus.sources import Country
from environments.tools.tasks.lookups.facts import density, plain_countries
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

FIRST = "NO"
"""The example of the documentation."""
RANKED = 4


def _density_keys() -> list[str]:
    return [FIRST, *chosen("density", plain_countries().keys() - {FIRST}, 15)]


def _density(code: str) -> Question:
    country = plain_countries()[code]
    return Question(
        f"How many people live on one square kilometre of {country.name}, on average? {FIGURES} {NUMBER}",
        number(density(country)),
        KITS,
        TOOLS,
        par_calls=4,
        evidence=_both([country]),
    )


def _area_ratio(key: str) -> Question:
    larger, smaller = _ordered("area-ratio", key, 2, lambda country: country.area_km2)
    return Question(
        f"The land of {larger.name} is how many times as large as the land of {smaller.name}? {FIGURES} {NUMBER}",
        number(larger.area_km2 / smaller.area_km2),
        KITS,
        TOOLS,
        par_calls=5,
        evidence=((geography_id(larger.code),), (geography_id(smaller.code),)),
    )


def _density_ratio(key: str) -> Question:
    denser, other = _ordered("density-ratio", key, 2, density)
    return Question(
        f"The population density of {denser.name}, in people per square kilometre, is how many times that of "
        f"{other.name}? {FIGURES} {NUMBER}",
        number(density(denser) / density(other)),
        KITS,
        TOOLS,
        par_calls=7,
        evidence=_both([denser, other]),
    )


def _ranking(key: str) -> Question:
    ordered = _ordered("density-ranking", key, RANKED, density)
    shown = sorted(country.name for country in ordered)
    return Question(
        f"Order these countries by population density, the most densely populated first: {listed(shown)}. {FIGURES} "
        f"{NAMES}",
        in_order(country.name for country in ordered),
        KITS,
        TOOLS,
        par_calls=16,
        evidence=_both(ordered),
    )


def _ordered(template: str, key: str, count: int, value: Callable[[Country], float]) -> Sequence[Country]:
    """So many countries that differ clearly, the one with the most first."""

    def make(rng: random.Random) -> Sequence[Country] | None:
        drawn = rng.sample(list(plain_countries().values()), count)
        return sorted(drawn, key=value, reverse=True) if apart(map(value, drawn)) else None

    return draw(chance(template, key), make)


def _both(these: Iterable[Country]) -> tuple[tuple[str], ...]:
    return tuple((page(country.code),) for country in these for page in (country_id, geography_id))


TEMPLATES = (
    Template("density", _density_keys, _density),
    Template("area-ratio", numbered(14), _area_ratio),
    Template("density-ratio", numbered(14), _density_ratio),
    Template("density-ranking", numbered(14), _ranking),
)
