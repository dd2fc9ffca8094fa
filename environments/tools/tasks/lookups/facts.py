"""Which of the corpus's records can be asked about: those that a search cannot confuse with others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache

from environments.tools.corpus.sources import Country, countries

LEAST_PEOPLE = 300_000
LEAST_AREA_KM2 = 1000
"""Smaller countries' areas are rounded so much that a quotient says little."""


def words(name: str) -> frozenset[str]:
    """As a search sees them: lower case, without accents."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return frozenset(re.findall(r"\w+", "".join(each for each in plain if not unicodedata.combining(each))))


@cache
def plain_countries() -> Mapping[str, Country]:
    """By code: large enough to divide by, with a name that is part of no other country's and holds no `and`."""
    named = {code: words(country.name) for code, country in countries().items()}
    return {
        code: country
        for code, country in countries().items()
        if country.population >= LEAST_PEOPLE
        and country.area_km2 >= LEAST_AREA_KM2
        and "and" not in named[code]
        and not any(named[code] <= other for each, other in named.items() if each != code)
    }


def density(country: Country) -> float:
    """People per square kilometre."""
    return country.population / country.area_km2
