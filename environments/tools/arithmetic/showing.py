"""A number as text: twelve digits, and the fraction where those are not all of it."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

from environments.tools.arithmetic.evaluate import Answer
from environments.tools.arithmetic.quantity import Number, shown

DIGITS = 12
MAX_PLAIN_DIGITS = 30
"""Whole numbers up to these are written out."""
_ROUNDED = Context(prec=DIGITS, Emax=99_999, Emin=-99_999)


def written(answer: Answer) -> str:
    """A result as a policy reads it: the decimal, and below it the exact value where that is another."""
    unit = answer.unit or shown(answer.quantity.dimension)
    text = f"{decimal(answer.quantity.value)} {unit}".strip()
    exact = exactly(answer.quantity.value)
    return f"{text}\nexactly: {exact} {unit}".strip() if exact else text


def decimal(value: Number) -> str:
    """Rounded to twelve digits; without an exponent where that can be read: 0.00125, 3.2e-07, 1.5e20."""
    if isinstance(value, Fraction) and value.denominator == 1 and abs(value) < 10**MAX_PLAIN_DIGITS:
        return str(value.numerator)
    rounded = _rounded(value).normalize(_ROUNDED)
    if rounded == 0:
        return "0"
    magnitude = rounded.adjusted()
    if -7 <= magnitude < DIGITS:
        return f"{rounded:f}"
    sign, digits, _ = rounded.as_tuple()
    first, rest = str(digits[0]), "".join(map(str, digits[1:]))
    return f"{'-' if sign else ''}{first}{'.' if rest else ''}{rest}e{magnitude}"


def exactly(value: Number) -> str | None:
    """The fraction or the whole number, where the decimal is not all of it."""
    if not isinstance(value, Fraction) or Fraction(decimal(value)) == value:
        return None
    return str(value)


def _rounded(value: Number) -> Decimal:
    if isinstance(value, Fraction):
        return _ROUNDED.divide(Decimal(value.numerator), Decimal(value.denominator))
    return _ROUNDED.plus(Decimal(value))
