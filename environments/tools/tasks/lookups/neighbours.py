"""Neighbours: what lies around a country is on one page, what is asked of it on the neighbours' own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from environments.tools.corpus.pages import city_id, country_id, geography_id
from environments.tools.corpus.sources import Country
from environments.tools.tasks.lookups.facts import bordering, capitals, density, plain_countries
from environments.tools.tasks.lookups.wording import FIGURES, KITS, TOOLS
from environments.tools.tasks.template import NAME, WHOLE, Question, Template, apart, chosen, numbered, text, whole


def _around_keys() -> list[str]:
    return chosen("land-around", bordering(3, 6), 14)


def _around(code: str) -> Question:
    near = bordering(3, 6)[code]
    return Question(
        f"What is the total area, in square kilometres, of all countries that border {_name(code)} by land? {FIGURES} "
        f"Give the exact sum. {WHOLE}",
        whole(round(sum(country.area_km2 for country in near))),
        KITS,
        TOOLS,
        par_calls=3 + 2 * len(near),
        evidence=_lands(code, near),
    )


def _crowded_keys() -> list[str]:
    near = bordering(3, 5)
    return chosen("crowded-neighbour", (code for code in near if apart(map(density, near[code]))), 14)


def _crowded(code: str) -> Question:
    near = bordering(3, 5)[code]
    most = max(near, key=density)
    return Question(
        f"Of the countries that border {_name(code)} by land, which has the most people per square kilometre? "
        f"{FIGURES} {NAME}",
        text(most.name),
        KITS,
        TOOLS,
        par_calls=2 + 4 * len(near),
        evidence=(*_lands(code, near), *((country_id(country.code),) for country in near)),
    )


def _chain(key: str) -> Question:
    code, near, largest = _chains()[int(key) - 1]
    capital = capitals()[largest.code]
    return Question(
        f"Take the largest, by area, of the countries that border {_name(code)} by land. How many people live in its "
        f"capital? {FIGURES} {WHOLE}",
        whole(capital.population),
        KITS,
        ("search_web", "open_page"),
        par_calls=5 + 2 * len(near),
        evidence=(*_lands(code, near), (country_id(largest.code),), (city_id(capital.geoname_id),)),
    )


@cache
def _chains() -> list[tuple[str, Sequence[Country], Country]]:
    """Countries with clearly one largest neighbour, of which no two are the same."""
    found: dict[str, tuple[str, Sequence[Country], Country]] = {}
    for code in chosen("chain", bordering(2, 6), len(bordering(2, 6))):
        near = bordering(2, 6)[code]
        largest = max(near, key=lambda country: country.area_km2)
        if apart(country.area_km2 for country in near) and largest.code in capitals():
            found.setdefault(largest.code, (code, near, largest))
    return list(found.values())


def _lands(code: str, near: Sequence[Country]) -> tuple[tuple[str], ...]:
    """The page that tells the neighbours, and theirs."""
    return tuple((geography_id(each),) for each in (code, *(country.code for country in near)))


def _name(code: str) -> str:
    return plain_countries()[code].name


TEMPLATES = (
    Template("land-around", _around_keys, _around),
    Template("crowded-neighbour", _crowded_keys, _crowded),
    Template("chain", numbered(14), _chain),
)
