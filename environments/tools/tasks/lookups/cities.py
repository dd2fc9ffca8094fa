"""Cities: distances between them, their clocks, and their share of their country.

Their tasks are numbered: to know which cities can be asked about, all 34,000 have to be read, and a list of tasks is
not worth that.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import permutations

from environments.tools.corpus.pages import city_id, country_id
from environments.tools.corpus.sources import City, countries
from environments.tools.tasks.lookups.facts import capitals, plain_cities, plain_countries, words
from environments.tools.tasks.lookups.wording import FIGURES, KITS, TOOLS, listed
from environments.tools.tasks.template import (
    NAME,
    NAMES,
    NUMBER,
    Question,
    Template,
    apart,
    chance,
    draw,
    in_any_order,
    number,
    numbered,
    text,
)

EARTH_RADIUS_KM = 6371.0
SPHERE = (
    "Distances are along great circles of a sphere with a radius of 6371 km; between points with latitudes p, q and "
    "longitudes r, s, the haversine formula says 2 * 6371 * asin(sqrt(sin((q-p)/2)^2 + cos(p) cos(q) sin((s-r)/2)^2))."
)
CANDIDATES = 6
SAME = 2
LEAST_KM = 300.0


def _distance(key: str) -> Question:
    def make(rng: random.Random) -> Sequence[City] | None:
        pair = rng.sample(list(plain_cities().values()), 2)
        return pair if LEAST_KM <= kilometres(*pair) <= 15_000 else None

    one, other = draw(chance("distance", key), make)
    return Question(
        f"How many kilometres is it from {_placed(one)} to {_placed(other)}, as the crow flies? {SPHERE} {FIGURES} "
        f"{NUMBER}",
        number(kilometres(one, other), 0.002),
        KITS,
        TOOLS,
        par_calls=5,
        evidence=_pages([one, other]),
    )


def _nearest(key: str) -> Question:
    def make(rng: random.Random) -> tuple[City, Sequence[City]] | None:
        centre = rng.choice(list(plain_cities().values()))
        around = [city for city in _continents()[_continent(centre)] if city.country != centre.country]
        drawn = rng.sample(around, CANDIDATES) if len(around) >= CANDIDATES else []
        if any(words(one.name) <= words(other.name) for one, other in permutations(drawn, 2)):
            return None
        far = sorted(kilometres(centre, city) for city in drawn)
        return (centre, drawn) if far and far[0] >= LEAST_KM and apart(far[:2]) else None

    centre, candidates = draw(chance("nearest", key), make)
    shown = sorted(candidates, key=lambda city: city.name)
    return Question(
        f"Which of these cities is nearest to {_placed(centre)}: {'; '.join(map(_placed, shown))}? {SPHERE} {FIGURES} "
        f"{NAME}",
        text(min(candidates, key=lambda city: kilometres(centre, city)).name),
        KITS,
        TOOLS,
        par_calls=3 * CANDIDATES + 2,
        evidence=_pages([centre, *candidates]),
    )


def _clocks(key: str) -> Question:
    """All in one country, so that its name tells nothing."""

    def make(rng: random.Random) -> tuple[City, Sequence[City], Sequence[City]] | None:
        zones = rng.choice(list(_zones().values()))
        zone = rng.choice([name for name, members in zones.items() if len(members) > SAME])
        centre, *same = rng.sample(zones[zone], SAME + 1)
        others = [city for name, members in zones.items() if name != zone for city in members]
        return centre, same, rng.sample(others, CANDIDATES - SAME)

    centre, same, others = draw(chance("same-clock", key), make)
    shown = sorted(city.name for city in (*same, *others))
    return Question(
        f"Which {SAME} of these cities of {countries()[centre.country].name} are in the same time zone, by its name in "
        f"the tz database, as {centre.name}: {listed(shown)}? {FIGURES} {NAMES}",
        in_any_order(city.name for city in same),
        ("search",),
        ("open_page",),
        par_calls=2 * (CANDIDATES + 1),
        evidence=_pages([centre, *same, *others]),
    )


def _share(key: str) -> Question:
    codes = sorted(capitals())
    chance("order", "capital-share").shuffle(codes)
    country, city = plain_countries()[codes[int(key) - 1]], capitals()[codes[int(key) - 1]]
    return Question(
        f"What percentage of the people of {country.name} live in its capital? Take the country's population from its "
        f"own page and the capital's from that of the city. {NUMBER}",
        number(100 * city.population / country.population),
        KITS,
        TOOLS,
        par_calls=5,
        evidence=((country_id(country.code),), (city_id(city.geoname_id),)),
    )


def kilometres(one: City, other: City) -> float:
    """By the haversine formula."""
    p, q = math.radians(one.latitude), math.radians(other.latitude)
    along = math.radians(other.longitude - one.longitude)
    half = math.sin((q - p) / 2) ** 2 + math.cos(p) * math.cos(q) * math.sin(along / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half))


def _continent(city: City) -> str:
    return countries()[city.country].continent


@cache
def _continents() -> dict[str, list[City]]:
    found = defaultdict(list)
    for city in plain_cities().values():
        found[_continent(city)].append(city)
    return found


@cache
def _zones() -> dict[str, dict[str, list[City]]]:
    """Of the countries with four time zones or more, the cities by time zone."""
    found: dict[str, dict[str, list[City]]] = defaultdict(lambda: defaultdict(list))
    for city in plain_cities().values():
        found[city.country][city.timezone].append(city)
    return {
        code: zones
        for code, zones in found.items()
        if len(zones) >= CANDIDATES - SAME and any(len(members) > SAME for members in zones.values())
    }


def _placed(city: City) -> str:
    return f"{city.name} ({countries()[city.country].name})"


def _pages(these: Iterable[City]) -> tuple[tuple[str], ...]:
    return tuple((city_id(city.geoname_id),) for city in these)


TEMPLATES = (
    Template("distance", numbered(14), _distance),
    Template("nearest", numbered(14), _nearest),
    Template("same-clock", numbered(14), _clocks),
    Template("capital-share", numbered(14), _share),
)
