"""Countries: read both pages, divide, compare."""

from __future__ import annotations

from collections.abc import Mapping

from tests.unit.tools.tasks.gold.desk import Desk, Policy, amount


async def people(desk: Desk, country: str) -> float:
    return amount("Population", await desk.page(country, f"{country} country area"))


async def area(desk: Desk, country: str) -> float:
    return amount("Area", await desk.page(f"Geography of {country}", f"{country} country area"))


async def _density(desk: Desk) -> str:
    (country,) = desk.asked(r"square kilometre of (.+), on average")
    number = await people(desk, country)
    return desk.conclude(await desk.compute(f"{number} / {await area(desk, country)}"))


POLICIES: Mapping[str, Policy] = {"density": _density}
