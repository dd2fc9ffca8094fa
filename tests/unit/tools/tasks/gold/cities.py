"""Cities: read their pages, and let the calculator do the trigonometry."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.unit.tools.tasks.gold.countries import people
from tests.unit.tools.tasks.gold.desk import Desk, Policy, amount, fact, joined


async def city(desk: Desk, name: str, country: str) -> str:
    return await desk.page(f"{name}, {country}", f"{name} {country} city")


async def kilometres(desk: Desk, one: str, other: str) -> float:
    """Between two pages."""
    p, r, q, s = (fact(label, page) for page in (one, other) for label in ("Latitude", "Longitude"))
    half = f"sin(radians(({q}) - ({p})) / 2)^2 + cos(radians({p})) * cos(radians({q}))"
    return await desk.compute(f"2 * 6371 * asin(sqrt({half} * sin(radians(({s}) - ({r})) / 2)^2))")


async def _distance(desk: Desk) -> str:
    one, there, other, elsewhere = desk.asked(r"is it from (.+?) \((.+?)\) to (.+?) \((.+?)\), as the crow")
    begin = await city(desk, one, there)
    return desk.conclude(await kilometres(desk, begin, await city(desk, other, elsewhere)))


async def _nearest(desk: Desk) -> str:
    centre, there, others = desk.asked(r"nearest to (.+?) \((.+?)\): (.+?)\?")
    begin = await city(desk, centre, there)
    far = {}
    for name, country in re.findall(r"(?:^|; )(.+?) \((.+?)\)", others):
        far[name] = await kilometres(desk, begin, await city(desk, name, country))
    return desk.conclude(min(far, key=lambda name: far[name]))


async def _clocks(desk: Desk) -> str:
    country, centre, names = desk.asked(r"cities of (.+?) are in .*, as (.+?): (.+?)\?")
    zone = fact("Time zone", await city(desk, centre, country))
    zones = {name: fact("Time zone", await city(desk, name, country)) for name in names.split(", ")}
    return desk.conclude(joined(name for name in zones if zones[name] == zone))


async def _share(desk: Desk) -> str:
    (country,) = desk.asked(r"people of (.+) live in its capital")
    everyone = await people(desk, country)
    capital = fact("Capital", await desk.page(country))
    there = amount("Population", await city(desk, capital, country))
    return desk.conclude(await desk.compute(f"100 * {there} / {everyone}"))


POLICIES: Mapping[str, Policy] = {
    "distance": _distance,
    "nearest": _nearest,
    "same-clock": _clocks,
    "capital-share": _share,
}
