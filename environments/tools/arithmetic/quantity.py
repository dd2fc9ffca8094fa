"""A number with a dimension. Exact for as long as what is done with it is: a fraction, else a float that says so.

Sizes are bounded, so that no expression costs more than its length promises: `9 ** 9 ** 9` is refused, not computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

MAX_BITS = 20_000
"""Of a numerator or denominator: some 6,000 digits."""
MAX_EXPONENT = 10_000

Number = Fraction | float
Dimension = tuple[tuple[str, int], ...]
"""Base units and their powers, sorted, without zeros: (("kg", 1), ("m", -3))."""
NONE: Dimension = ()


class ArithmeticProblem(ValueError):
    """What is wrong with an expression; the message is fit for the policy."""


@dataclass(frozen=True)
class Quantity:
    """A value in base units."""

    value: Number
    dimension: Dimension = NONE

    @property
    def exact(self) -> bool:
        return isinstance(self.value, Fraction)

    def plus(self, other: Quantity, sign: int = 1) -> Quantity:
        self._require_alike(other, "added to" if sign > 0 else "subtracted from")
        return bounded(self.value + sign * other.value, self.dimension)

    def times(self, other: Quantity) -> Quantity:
        return bounded(self.value * other.value, _combined(self.dimension, other.dimension, 1))

    def over(self, other: Quantity) -> Quantity:
        if other.value == 0:
            raise ArithmeticProblem("division by zero")
        return bounded(self.value / other.value, _combined(self.dimension, other.dimension, -1))

    def floor_over(self, other: Quantity) -> Quantity:
        return bounded(Fraction(math.floor(self.over(other).plain("//"))), NONE)

    def modulo(self, other: Quantity) -> Quantity:
        self._require_alike(other, "divided by")
        whole = math.floor(self.over(other).plain("%"))
        return bounded(self.value - whole * other.value, self.dimension)

    def power(self, other: Quantity) -> Quantity:
        exponent = other.plain("the exponent")
        if not (isinstance(exponent, Fraction) and exponent.denominator == 1):
            return _real_power(self.plain("a power that is not whole"), exponent)
        whole = int(exponent)
        dimension = tuple((unit, power * whole) for unit, power in self.dimension) if whole else NONE
        if self.value == 0 and whole < 0:
            raise ArithmeticProblem("division by zero")
        if isinstance(self.value, float):
            return bounded(_float(lambda: float(self.value) ** whole), dimension)
        bits = max(self.value.numerator.bit_length(), self.value.denominator.bit_length())
        if abs(whole) > MAX_EXPONENT or bits * abs(whole) > MAX_BITS:
            raise ArithmeticProblem(f"the power is too large: at most some {MAX_BITS * 3 // 10} digits are computed")
        return bounded(self.value**whole, dimension)

    def negated(self) -> Quantity:
        return Quantity(-self.value, self.dimension)

    def plain(self, what: str) -> Number:
        """The value of a number without a unit. Raises: ArithmeticProblem, naming `what` it was to be."""
        if self.dimension:
            raise ArithmeticProblem(f"{what} takes a number without a unit, not one in {shown(self.dimension)}")
        return self.value

    def _require_alike(self, other: Quantity, how: str) -> None:
        if self.dimension != other.dimension:
            mine, theirs = (shown(each.dimension) or "a plain number" for each in (self, other))
            raise ArithmeticProblem(f"{theirs} cannot be {how} {mine}")


def bounded(value: Number, dimension: Dimension = NONE) -> Quantity:
    """Raises: ArithmeticProblem for what is too large to go on with."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ArithmeticProblem("the result is too large")
    elif max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ArithmeticProblem(f"the result has too many digits: at most some {MAX_BITS * 3 // 10} are computed")
    return Quantity(value, dimension)


def shown(dimension: Dimension) -> str:
    """As `kg m^-3`."""
    return " ".join(unit if power == 1 else f"{unit}^{power}" for unit, power in dimension)


def _combined(left: Dimension, right: Dimension, sign: int) -> Dimension:
    powers = dict(left)
    for unit, power in right:
        powers[unit] = powers.get(unit, 0) + sign * power
    return tuple(sorted((unit, power) for unit, power in powers.items() if power))


def _real_power(base: Number, exponent: Number) -> Quantity:
    if base < 0:
        raise ArithmeticProblem("a negative number has no such power among the real numbers")
    if base == 0 and exponent <= 0:
        raise ArithmeticProblem("division by zero")
    return bounded(_float(lambda: float(base) ** float(exponent)))


def _float(compute: object) -> float:
    try:
        return float(compute())  # type: ignore[operator]
    except OverflowError:
        raise ArithmeticProblem("the result is too large") from None
