"""Which of the corpus's records can be asked about: those that a search cannot confuse with others."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

from environments.tools.corpus.sources import City, Country, Element, cities, countries, elements

LEAST_PEOPLE = 300_000
LEAST_AREA_KM2 = 1000
"""Smaller countries' areas are rounded so much that a quotient says little."""
LEAST_CITIZENS = 150_000
LEAST_CONDUCTIVITY = 5.0
"""W/(m K): no gas conducts heat so well, and a gas has its density by the litre."""
_NAME = re.compile(r"[^\W\d_]+(?:[ '-][^\W\d_]+){0,3}")
_WORD = re.compile(r"\w+")


def bare(name: str) -> str:
    """As a search sees it: lower case, without accents."""
    plain = name.casefold()
    if plain.isascii():
        return plain
    return "".join(each for each in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(each))


def words(name: str) -> frozenset[str]:
    return frozenset(_WORD.findall(bare(name)))


def listable(name: str) -> bool:
    """Whether it stays whole in a list of names: without commas, and without the word `and`."""
    return "," not in name and "and" not in words(name)


@cache
def plain_countries() -> Mapping[str, Country]:
    """By code: large enough to divide by, with a name that is part of no other country's."""
    named = {code: words(country.name) for code, country in countries().items()}
    return {
        code: country
        for code, country in countries().items()
        if country.population >= LEAST_PEOPLE
        and country.area_km2 >= LEAST_AREA_KM2
        and listable(country.name)
        and not any(named[code] <= other for each, other in named.items() if each != code)
    }


def density(country: Country) -> float:
    """People per square kilometre."""
    return country.population / country.area_km2


@cache
def bordering(least: int, most: int) -> Mapping[str, Sequence[Country]]:
    """The neighbours of the countries that have so many, all of them such that they can be asked about."""
    plain = plain_countries()
    return {
        code: [plain[each] for each in country.neighbours]
        for code, country in plain.items()
        if least <= len(country.neighbours) <= most and all(each in plain for each in country.neighbours)
    }


@cache
def plain_cities() -> Mapping[int, City]:
    """By number: those with a name that no other city bears, not even as another name of its own, and no country."""
    bearers = Counter(name for city in cities().values() for name in _names(city))
    taken = {bare(country.name) for country in countries().values()}
    return {
        number: city
        for number, city in cities().items()
        if city.population >= LEAST_CITIZENS
        and city.country in plain_countries()
        and _NAME.fullmatch(city.name)
        and listable(city.name)
        and bearers[bare(city.name)] == 1
        and bare(city.name) not in taken
    }


def _names(city: City) -> set[str]:
    return {bare(city.name), *map(bare, city.other_names)}


@cache
def capitals() -> Mapping[str, City]:
    """By their country's code: those that are one city of the country, and not all of it."""
    found = defaultdict(list)
    for city in cities().values():
        country = plain_countries().get(city.country)
        if country and bare(city.name) == bare(country.capital):
            found[city.country].append(city)
    return {code: same[0] for code, same in found.items() if len(same) == 1 and _is_part(same[0])}


def _is_part(capital: City) -> bool:
    """Whether its page bears the very name that the country's page says, and fewer people than the country."""
    country = plain_countries()[capital.country]
    return capital.name == country.capital and 0 < 2 * capital.population < country.population


@cache
def metals() -> Mapping[str, Element]:
    """By symbol: stable elements whose density is by the cubic centimetre, and whose specific heat is known."""
    return {
        symbol: element
        for symbol, element in elements().items()
        if not element.data["is_radioactive"]
        and (element.data["thermal_conductivity"] or 0) >= LEAST_CONDUCTIVITY
        and element.data["density"]
        and element.data["specific_heat_capacity"]
    }


@cache
def dated() -> Mapping[str, Element]:
    """By symbol: elements whose year of discovery is known."""
    return {symbol: element for symbol, element in elements().items() if element.data["discovery_year"]}
