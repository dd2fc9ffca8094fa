"""Amounts are whole cents, and every site writes them in one way."""

from __future__ import annotations


def euros(cents: int) -> str:
    return f"€{cents // 100:,}.{cents % 100:02}"


def cents_of(text: str) -> int | None:
    """Of `12`, `12.5`, `€1,012.50`; None for anything else, and for anything below zero."""
    plain = text.strip().removeprefix("€").strip().replace(",", "")
    whole, point, part = plain.partition(".")
    digits = whole + part
    if not digits.isascii() or not digits.isdigit() or len(whole) > 7 or len(part) > 2 or not whole:
        return None
    if point and not part:
        return None
    return int(whole) * 100 + int(part.ljust(2, "0"))
