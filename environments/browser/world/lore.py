"""What is true of the world outside of its sites: regions, towns, the makers of goods and who founded them."""

from __future__ import annotations

import random
from dataclasses import dataclass

REGIONS = ("Upper Marn", "Coastal Vey", "The Strand", "Lowmoor")
TOWNS = (
    "Halmstow Brackwater Edenholm Tarnfield Quillport Saltmere Ostrava-Vale Merrowby Kestrel-Hythe Dunmarch "
    "Lindenau Fallowgate"
).split()
RIVERS = ("Marn", "Vey", "Sill", "Orrin", "Tamber")
MAKERS = "Brankel Ovida Terrasol Nordlicht Kovari Pellworm Astrane Hulme Quastor Mirelle".split()
FOUNDER_GIVEN = "Agathe Bruno Clemens Dorika Emeric Flora Gideon Hestia Isidor Juna".split()
FOUNDER_FAMILY = "Brankel Ovide Solberg Lichtner Kovar Pell Astrup Hulme Quast Mirell".split()
TRADES = ("an engineer", "a glassblower", "a tailor", "a physicist", "a clockmaker", "a carpenter")
FOUNDED, BORN_BEFORE = (1921, 2012), (24, 45)
"""The years of makers; how old their founders were then."""


@dataclass(frozen=True)
class Town:
    name: str
    region: str
    population: int
    elevation_m: int
    river: str
    chartered: int
    """A year."""


@dataclass(frozen=True)
class Founder:
    name: str
    born: int
    birthplace: str
    trade: str


@dataclass(frozen=True)
class Maker:
    name: str
    founded: int
    seat: str
    """A town."""
    founder: str
    employees: int


@dataclass(frozen=True)
class Lore:
    towns: dict[str, Town]
    founders: dict[str, Founder]
    makers: dict[str, Maker]


def make_lore(rng: random.Random) -> Lore:
    """Where anything is asked for, no two are alike: populations, heights, years and staffs all differ."""
    towns = _towns(rng)
    names = [f"{given} {family}" for given, family in zip(FOUNDER_GIVEN, FOUNDER_FAMILY, strict=True)]
    years = rng.sample(range(*FOUNDED), len(MAKERS))
    staffs = rng.sample(range(40, 9000, 10), len(MAKERS))
    makers = {
        name: Maker(name, year, rng.choice(list(towns)), founder, staff)
        for name, founder, year, staff in zip(MAKERS, names, years, staffs, strict=True)
    }
    founders = {
        maker.founder: Founder(
            maker.founder, maker.founded - rng.randint(*BORN_BEFORE), rng.choice(list(towns)), rng.choice(TRADES)
        )
        for maker in makers.values()
    }
    return Lore(towns, founders, makers)


def _towns(rng: random.Random) -> dict[str, Town]:
    populations = rng.sample(range(3_100, 480_000, 100), len(TOWNS))
    heights = rng.sample(range(2, 1400), len(TOWNS))
    charters = rng.sample(range(1080, 1790), len(TOWNS))
    regions = [REGIONS[number % len(REGIONS)] for number in range(len(TOWNS))]
    rng.shuffle(regions)
    return {
        name: Town(name, region, people, height, rng.choice(RIVERS), year)
        for name, region, people, height, year in zip(TOWNS, regions, populations, heights, charters, strict=True)
    }
