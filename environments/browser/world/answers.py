"""Whether an answer, or what was written to somebody, is the right one.

Word for word, but for case, spaces, quotes and the signs of money. Prompts say what an answer looks like, so nothing is
looked for inside of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from environments.browser.world.money import cents_of

MAX_ANSWER = 2000
_ENDS = " \t\n\r.!\"'`*\u2018\u2019\u201c\u201d"
_BETWEEN = re.compile(r"[,;\n]")
_CURRENCIES = ("euros", "euro", "eur", "€")


def text(*accepted: str) -> dict[str, Any]:
    return {"kind": "text", "accepted": list(accepted)}


def product(title: str, noun: str) -> dict[str, Any]:
    """Its title ends with what all goods of its category are called, which may be left out."""
    return text(title, title.removesuffix(f" {noun}"))


def names(values: Iterable[str]) -> dict[str, Any]:
    """In any order, with commas between them."""
    return {"kind": "names", "values": list(values)}


def whole(value: int) -> dict[str, Any]:
    return {"kind": "whole", "value": value}


def decimal(value: str, unit: str) -> dict[str, Any]:
    """Such as `4.0` of `stars`; the unit may be said with it, or left out."""
    return {"kind": "decimal", "value": value, "unit": unit}


def amount(cents: int) -> dict[str, Any]:
    """In euros."""
    return {"kind": "amount", "cents": cents}


def is_right(answer: str, rule: Mapping[str, Any]) -> bool:
    """Takes a time that only grows as the answer does, and none for a long one."""
    check: Callable[[str, Mapping[str, Any]], bool] = _KINDS[rule["kind"]]
    return len(answer) <= MAX_ANSWER and check(answer, rule)


def plain(said: str) -> str:
    """What two texts have in common that say the same."""
    return " ".join(unicodedata.normalize("NFKC", said).casefold().split()).strip(_ENDS)


def _is_text(answer: str, rule: Mapping[str, Any]) -> bool:
    return plain(answer) in [plain(accepted) for accepted in rule["accepted"]]


def _is_names(answer: str, rule: Mapping[str, Any]) -> bool:
    said = [name for part in _BETWEEN.split(answer) if (name := plain(part))]
    return sorted(said) == sorted(plain(value) for value in rule["values"])


def _is_whole(answer: str, rule: Mapping[str, Any]) -> bool:
    digits = plain(answer).replace(",", "").replace(" ", "")
    return digits.isascii() and digits.isdigit() and len(digits) < 20 and int(digits) == int(rule["value"])


def _is_decimal(answer: str, rule: Mapping[str, Any]) -> bool:
    unit = rule["unit"]
    said = plain(answer).removesuffix(unit).removesuffix(unit.removesuffix("s")).strip()
    return said.isascii() and _without_last_zeros(said) == _without_last_zeros(rule["value"])


def _without_last_zeros(number: str) -> str | None:
    """None for what is no number."""
    whole, _, part = number.partition(".")
    return f"{whole}.{part.rstrip('0')}" if whole.isdigit() and (not part or part.isdigit()) else None


def _is_amount(answer: str, rule: Mapping[str, Any]) -> bool:
    said = plain(answer)
    for currency in _CURRENCIES:
        said = said.removeprefix(currency).removesuffix(currency).strip()
    return cents_of(said) == int(rule["cents"])


_KINDS: Mapping[str, Callable[[str, Mapping[str, Any]], bool]] = {
    "text": _is_text,
    "names": _is_names,
    "whole": _is_whole,
    "decimal": _is_decimal,
    "amount": _is_amount,
}
