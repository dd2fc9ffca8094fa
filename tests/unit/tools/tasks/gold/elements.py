"""Elements: one number of each page, and a formula."""

from __future__ import annotations

from collections.abc import Mapping

from tests.unit.tools.tasks.gold.desk import Desk, Policy, amount, joined


async def property_of(desk: Desk, element: str, label: str) -> float:
    return amount(label, await desk.page(element.capitalize(), f"{element} chemical element"))


async def _cube(desk: Desk) -> str:
    metal, edge = desk.asked(r"cube of (\w+) whose edges are ([\d.]+) cm")
    return desk.conclude(await desk.compute(f"{await property_of(desk, metal, 'Density')} * {edge}^3 / 1000"))


async def _heat(desk: Desk) -> str:
    mass, metal, warmer = desk.asked(r"to make ([\d.]+) kg of (\w+) (\d+) kelvin")
    heat = await property_of(desk, metal, "Specific heat capacity")
    return desk.conclude(await desk.compute(f"{heat} * {mass} * {warmer}"))


async def _same_mass(desk: Desk) -> str:
    one, edge, other = desk.asked(r"cube of (\w+) has edges of ([\d.]+) cm.* cube of (\w+) that has")
    densities = [await property_of(desk, each, "Density") for each in (one, other)]
    return desk.conclude(await desk.compute(f"{edge} * cbrt({densities[0]} / {densities[1]})"))


async def _discoveries(desk: Desk) -> str:
    (names,) = desk.asked(r"first discovered first: (.+?)\. Take")
    years = {name: await property_of(desk, name, "Year of discovery") for name in names.split(", ")}
    return desk.conclude(joined(sorted(years, key=lambda name: years[name])))


POLICIES: Mapping[str, Policy] = {
    "cube": _cube,
    "heat": _heat,
    "same-mass": _same_mass,
    "discoveries": _discoveries,
}
