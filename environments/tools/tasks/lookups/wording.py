"""What all lookups have in common."""

from __future__ import annotations

from collections.abc import Sequence

KITS = ("search", "calculator")
TOOLS = ("open_page", "calculator")
"""Of these kits: a page that is seen by `retrieve` alone is no worse, where an episode has that."""
FIGURES = "Take the figures from the pages that a search finds."


def listed(names: Sequence[str]) -> str:
    return ", ".join(names)
