"""What detectors found, in lists that have an end: a page must not hide what was found of the policy behind its own."""

from __future__ import annotations

from collections.abc import Sequence

from environments.environment import JsonObject


def first_of_each(notes: Sequence[JsonObject], most: int) -> list[JsonObject]:
    """At most so many, in their order; the first of each detector is always among them."""
    kinds = {note["detector"]: place for place, note in reversed(list(enumerate(notes)))}
    firsts = set(kinds.values())
    others = [place for place in range(len(notes)) if place not in firsts]
    return [notes[place] for place in sorted([*firsts, *others[: max(0, most - len(firsts))]])]
