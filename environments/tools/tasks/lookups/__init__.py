"""Questions whose facts are on several pages of the corpus, and whose answer is on none."""

from __future__ import annotations

from environments.tools.tasks.lookups import cities, countries, elements, neighbours
from environments.tools.tasks.template import Template

TEMPLATES: tuple[Template, ...] = (
    *countries.TEMPLATES,
    *neighbours.TEMPLATES,
    *cities.TEMPLATES,
    *elements.TEMPLATES,
)
