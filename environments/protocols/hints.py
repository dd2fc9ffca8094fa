"""Words for messages about names and values that are wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

MAX_SHOWN_CHARS = 64
MAX_NAMED = 60
"""In one list."""
_MAX_COMPARED = 64
"""Names are compared pairwise, in time quadratic in their lengths: only so many of the likeliest, only so long ones."""


def quoted(value: Any) -> str:
    """A value as a message shows it: short, on one line, of plain printable characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= MAX_SHOWN_CHARS else value[:MAX_SHOWN_CHARS] + "…")
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, int | float):
        return _number(value)
    return f"a {type(value).__name__}"


def _number(value: float) -> str:
    if isinstance(value, int) and value.bit_length() > 128:
        return "a huge number"  # its digits may be more than Python is willing to print
    return repr(value)


def names(values: Iterable[Any]) -> str:
    """Names, or whatever values there are, in their order; of many it says how many more there are."""
    listed = list(values)
    more = f" and {len(listed) - MAX_NAMED} more" if len(listed) > MAX_NAMED else ""
    return (", ".join(map(quoted, listed[:MAX_NAMED])) or "none") + more


def there_are(known: Collection[str]) -> str:
    """What to say of what there is, where nothing that there is may have been meant."""
    return f"there are {names(known)}" if known else "there are none"


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Those of the known names that may have been meant, the likeliest first."""
    if len(name) > MAX_SHOWN_CHARS:
        return []
    likeliest = sorted(known, key=lambda each: (-_in_common(each, name), abs(len(each) - len(name))))
    candidates = {each.casefold(): each for each in likeliest[:_MAX_COMPARED] if len(each) <= MAX_SHOWN_CHARS}
    return [candidates[each] for each in get_close_matches(name.casefold(), candidates, n=3)]


def _in_common(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, others) in pairs if mine != others), min(len(one), len(other)))


def did_you_mean(name: Any, known: Collection[str]) -> str:
    """What to say after `there is no ...`."""
    near = nearest(name, known) if isinstance(name, str) else []
    if near:
        return f"did you mean {' or '.join(map(quoted, near))}?"
    return there_are(known)
