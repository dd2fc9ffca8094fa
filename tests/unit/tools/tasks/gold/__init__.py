"""A scripted policy for each template, by its name: the proof that its tasks can be solved with its tools."""

from __future__ import annotations

from collections.abc import Mapping

from tests.unit.tools.tasks.gold import cities, countries, databases, elements, notes, pictures
from tests.unit.tools.tasks.gold.desk import Policy

POLICIES: Mapping[str, Policy] = {
    **countries.POLICIES,
    **cities.POLICIES,
    **elements.POLICIES,
    **databases.POLICIES,
    **notes.POLICIES,
    **pictures.POLICIES,
}
