"""Countries: quotients and rankings of people and land, which are on two pages each."""

from __future__ import annotations

from environments.tools.corpus.pages import country_id, geography_id
from environments.tools.tasks.lookups.facts import density, plain_countries
from environments.tools.tasks.template import NUMBER, Question, Template, chosen, number

KITS = ("search", "calculator")
TOOLS = ("open_page", "calculator")
FIGURES = "Take the figures from the pages that search_web finds."
FIRST = "NO"
"""The example of the documentation."""
EACH = 16


def _density_keys() -> list[str]:
    return [FIRST, *chosen("density", plain_countries().keys() - {FIRST}, EACH - 1)]


def _density(code: str) -> Question:
    country = plain_countries()[code]
    return Question(
        f"How many people live on one square kilometre of {country.name}, on average? {FIGURES} {NUMBER}",
        number(density(country)),
        KITS,
        TOOLS,
        par_calls=4,
        evidence=((country_id(code),), (geography_id(code),)),
    )


TEMPLATES = (Template("density", _density_keys, _density),)
