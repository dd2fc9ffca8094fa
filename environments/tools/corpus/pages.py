"""The pages, written from the sources. A search shows a page's title and lead; its facts take opening it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from environments.tools.corpus.sources import City, Country, Element, cities, countries, elements


@dataclass(frozen=True)
class Document:
    """One page. `weight` is how much it is asked for, as far as one can know: people, mostly."""

    page_id: str
    title: str
    lead: str
    facts: str
    weight: float = 0.0


def documents() -> Iterator[Document]:
    """Every page, always in the same order."""
    for country in countries().values():
        yield _country(country)
        yield _geography(country)
    for city in cities().values():
        yield _city(city)
    for element in elements().values():
        yield _element(element)


def _country(country: Country) -> Document:
    lines = [
        f"Population: {country.population:,}",
        f"Capital: {country.capital}" if country.capital else "",
        f"Currency: {country.currency_name} ({country.currency})" if country.currency else "",
        f"Languages (codes): {', '.join(country.languages)}" if country.languages else "",
        f"Internet domain: {country.domain}" if country.domain else "",
        f"Calling code: {country.phone}" if country.phone else "",
        f"Area, borders and position: see page {geography_id(country.code)}",
    ]
    lead = f"{country.name} is a country or territory in {country.continent}: its people, capital and currency."
    return Document(country_id(country.code), country.name, lead, _joined(lines), 1 + country.population)


def _geography(country: Country) -> Document:
    names = [countries()[code].name for code in country.neighbours if code in countries()]
    lines = [
        f"Area: {country.area_km2:,.10g} square kilometres",
        f"Continent: {country.continent}",
        f"Borders: {', '.join(names) if names else 'no other country by land'}",
        f"Country code: {country.code}",
    ]
    lead = f"The land of {country.name}: its area, continent and borders."
    return Document(
        geography_id(country.code), f"Geography of {country.name}", lead, _joined(lines), 1 + country.population
    )


def _city(city: City) -> Document:
    country = countries()[city.country].name if city.country in countries() else city.country
    lines = [
        f"Population: {city.population:,}",
        f"Country: {country} ({city.country})",
        f"Latitude: {city.latitude}",
        f"Longitude: {city.longitude}",
        f"Time zone: {city.timezone}",
        f"Also called: {', '.join(city.other_names)}" if city.other_names else "",
    ]
    lead = f"{city.name} is a city in {country}."
    return Document(city_id(city.geoname_id), f"{city.name}, {country}", lead, _joined(lines), 1 + city.population)


_ELEMENT = (
    ("Atomic number", "atomic_number", ""), ("Atomic weight", "atomic_weight", ""),
    ("Density", "density", " g/cm3 (gases: g/L)"), ("Specific heat capacity", "specific_heat_capacity", " J/(g K)"),
    ("Thermal conductivity", "thermal_conductivity", " W/(m K)"), ("Electronegativity (Pauling)", "en_pauling", ""),
    ("Abundance in the crust", "abundance_crust", " mg/kg"), ("Abundance in the sea", "abundance_sea", " mg/L"),
    ("Group", "group_id", ""), ("Period", "period", ""), ("Block", "block", ""),
    ("Electronic configuration", "electronic_configuration", ""), ("Discovered by", "discoverers", ""),
    ("Year of discovery", "discovery_year", ""), ("Discovered in", "discovery_location", ""),
    ("Origin of the name", "name_origin", ""), ("Sources", "sources", ""), ("Uses", "uses", ""),
)  # fmt: skip


def _element(element: Element) -> Document:
    lines = [
        f"{label}: {_plain(element.data[column])}{unit}"
        for label, column, unit in _ELEMENT
        if element.data[column] is not None
    ]
    lead = f"{element.name} ({element.symbol}) is a chemical element. {element.data['description'] or ''}".strip()
    return Document(element_id(element.symbol), element.name, lead, _joined(lines), 1e6)


def _plain(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else " ".join(str(value).split())


def _joined(lines: list[str]) -> str:
    return "\n".join(line for line in lines if line)


def country_id(code: str) -> str:
    return f"country:{code}"


def geography_id(code: str) -> str:
    return f"geography:{code}"


def city_id(geoname_id: int) -> str:
    return f"city:{geoname_id}"


def element_id(symbol: str) -> str:
    return f"element:{symbol}"
