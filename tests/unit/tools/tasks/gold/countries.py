"""Countries: read both pages, divide, compare, go on to the neighbours."""

from __future__ import annotations

from collections.abc import Mapping

from tests.unit.tools.tasks.gold.desk import Desk, Policy, amount, fact, joined


async def _country(desk: Desk, country: str) -> str:
    return await desk.page(country, f"{country} country area", f"{country} population people")


async def _geography(desk: Desk, country: str) -> str:
    return await desk.page(f"Geography of {country}", f"{country} country area", f"geography of {country}")


async def people(desk: Desk, country: str) -> float:
    return amount("Population", await _country(desk, country))


async def area(desk: Desk, country: str) -> float:
    return amount("Area", await _geography(desk, country))


async def density(desk: Desk, country: str) -> float:
    number = await people(desk, country)
    return await desk.compute(f"{number} / {await area(desk, country)}")


async def neighbours(desk: Desk, country: str) -> list[str]:
    page = await _geography(desk, country)
    return fact("Borders", page).split(", ")


async def _density(desk: Desk) -> str:
    (country,) = desk.asked(r"square kilometre of (.+), on average")
    return desk.conclude(await density(desk, country))


async def _area_ratio(desk: Desk) -> str:
    larger, smaller = desk.asked(r"land of (.+) is how many times as large as the land of (.+?)\?")
    land = await area(desk, larger)
    return desk.conclude(await desk.compute(f"{land} / {await area(desk, smaller)}"))


async def _density_ratio(desk: Desk) -> str:
    pair = desk.asked(r"population density of (.+), in people .* that of (.+?)\?")
    numbers = [(await people(desk, each), await area(desk, each)) for each in pair]
    return desk.conclude(await desk.compute("({} / {}) / ({} / {})".format(*numbers[0], *numbers[1])))


async def _ranking(desk: Desk) -> str:
    (names,) = desk.asked(r"most densely populated first: (.+?)\. Take")
    densities = {name: await density(desk, name) for name in names.split(", ")}
    return desk.conclude(joined(sorted(densities, key=lambda name: -densities[name])))


async def _around(desk: Desk) -> str:
    (country,) = desk.asked(r"countries that border (.+) by land")
    areas = [await area(desk, each) for each in await neighbours(desk, country)]
    return desk.conclude(f"{await desk.compute(' + '.join(map(str, areas))):.0f}")


async def _crowded(desk: Desk) -> str:
    (country,) = desk.asked(r"countries that border (.+) by land")
    densities = {each: await density(desk, each) for each in await neighbours(desk, country)}
    return desk.conclude(max(densities, key=lambda name: densities[name]))


async def _chain(desk: Desk) -> str:
    (country,) = desk.asked(r"countries that border (.+) by land")
    areas = {each: await area(desk, each) for each in await neighbours(desk, country)}
    largest = max(areas, key=lambda name: areas[name])
    capital = fact("Capital", await _country(desk, largest))
    city = await desk.page(f"{capital}, {largest}", f"{capital} {largest} city")
    return desk.conclude(f"{amount('Population', city):.0f}")


POLICIES: Mapping[str, Policy] = {
    "density": _density,
    "area-ratio": _area_ratio,
    "density-ratio": _density_ratio,
    "density-ranking": _ranking,
    "land-around": _around,
    "crowded-neighbour": _crowded,
    "chain": _chain,
}
