"""A number with a dimension. Exact for as long as what is done with it is: a fraction, else a float.

Sizes are bounded, so that no step costs much: `9 ** 9 ** 9` is refused, not computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

MAX_BITS = 12_000
"""Of a numerator or denominator: some 3,600 digits, of which Python writes no more than 4,300."""
MAX_DIMENSION = 20

Number = Fraction | float
Dimension = tuple[tuple[str, int], ...]
"""Base units and their powers, sorted, without zeros: (("kg", 1), ("m", -3))."""
NONE: Dimension = ()

TOO_LARGE = f"the result is too large: at most some {MAX_BITS * 3 // 10} digits are computed"
TOO_LARGE_FLOAT = "the result is too large for a number that is not exact: at most about 1.8e308"


class ArithmeticProblem(ValueError):
    """What is wrong with an expression; the message is fit for the policy."""


@dataclass(frozen=True)
class Quantity:
    """A value in base units."""

    value: Number
    dimension: Dimension = NONE

    @property
    def bits(self) -> int:
        """How large it is to compute with."""
        if isinstance(self.value, float):
            return 64
        return self.value.numerator.bit_length() + self.value.denominator.bit_length()

    def plus(self, other: Quantity, sign: int = 1) -> Quantity:
        self.require_alike(other, "added to" if sign > 0 else "subtracted from")
        return bounded(_mixed(lambda a, b: a + sign * b, self.value, other.value), self.dimension)

    def times(self, other: Quantity) -> Quantity:
        dimension = _combined(self.dimension, other.dimension, 1)
        return bounded(_mixed(lambda a, b: a * b, self.value, other.value), dimension)

    def over(self, other: Quantity) -> Quantity:
        if other.value == 0:
            raise ArithmeticProblem("division by zero")
        dimension = _combined(self.dimension, other.dimension, -1)
        return bounded(_mixed(lambda a, b: a / b, self.value, other.value), dimension)

    def floor_over(self, other: Quantity) -> Quantity:
        return bounded(Fraction(math.floor(self.over(other).plain("//"))))

    def modulo(self, other: Quantity) -> Quantity:
        self.require_alike(other, "divided by")
        whole = Quantity(Fraction(math.floor(self.over(other).plain("%"))))
        return self.plus(whole.times(other), -1)

    def power(self, other: Quantity) -> Quantity:
        exponent = other.plain("an exponent")
        if not is_whole(exponent):
            return _real_power(self, exponent)
        whole = int(exponent)
        if self.value == 0 and whole < 0:
            raise ArithmeticProblem("division by zero: zero has no negative power")
        dimension = tuple((unit, power * whole) for unit, power in self.dimension) if whole else NONE
        if isinstance(self.value, float):
            base = self.value
            return bounded(as_real(lambda: base**whole), dimension)
        bits = max(abs(self.value.numerator), self.value.denominator).bit_length() - 1
        if bits * abs(whole) > MAX_BITS:
            raise ArithmeticProblem(TOO_LARGE)
        return bounded(self.value**whole if bits else _power_of_one(self.value, whole), dimension)

    def root(self, degree: int, name: str) -> Quantity:
        """The real one, exact where it is a fraction."""
        if self.value < 0 and degree % 2 == 0:
            raise ArithmeticProblem(f"{name} of a negative number is not real")
        if any(power % degree for _, power in self.dimension):
            raise ArithmeticProblem(f"{name} of {shown(self.dimension)} has no unit")
        dimension = tuple((unit, power // degree) for unit, power in self.dimension)
        if isinstance(self.value, Fraction):
            roots = _whole_root(self.value.numerator, degree), _whole_root(self.value.denominator, degree)
            if roots[0] is not None and roots[1] is not None:
                return Quantity(Fraction(roots[0], roots[1]), dimension)
        value = as_float(self.value)
        return bounded(math.sqrt(value) if degree == 2 else math.cbrt(value), dimension)

    def negated(self) -> Quantity:
        return Quantity(-self.value, self.dimension)

    def plain(self, what: str) -> Number:
        """The value of a number without a unit. Raises: ArithmeticProblem, naming `what` it was to be."""
        if self.dimension:
            raise ArithmeticProblem(f"{what} takes a number without a unit, not one in {shown(self.dimension)}")
        return self.value

    def require_alike(self, other: Quantity, how: str) -> None:
        if self.dimension != other.dimension:
            raise ArithmeticProblem(f"{kind_of(other)} cannot be {how} {kind_of(self)}")


def bounded(value: Number, dimension: Dimension = NONE) -> Quantity:
    """Raises: ArithmeticProblem for what is too large to go on with."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ArithmeticProblem(TOO_LARGE_FLOAT)
    elif max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ArithmeticProblem(TOO_LARGE)
    if any(abs(power) > MAX_DIMENSION for _, power in dimension):
        raise ArithmeticProblem(f"a unit to more than the power of {MAX_DIMENSION} means nothing")
    return Quantity(value, dimension)


def as_float(value: Number) -> float:
    return as_real(lambda: float(value))


def as_real(compute: Callable[[], float]) -> float:
    """Raises: ArithmeticProblem where floats end."""
    try:
        return float(compute())
    except OverflowError:
        raise ArithmeticProblem(TOO_LARGE_FLOAT) from None


def is_whole(value: Number) -> bool:
    return isinstance(value, Fraction) and value.denominator == 1


def kind_of(quantity: Quantity) -> str:
    """For messages: its unit."""
    return shown(quantity.dimension) or "a plain number"


def shown(dimension: Dimension) -> str:
    """As `kg m^-3`."""
    return " ".join(unit if power == 1 else f"{unit}^{power}" for unit, power in dimension)


def _mixed(compute: Callable[[Number, Number], Number], left: Number, right: Number) -> Number:
    """With floats where one of them is not exact."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return compute(left, right)
    one, other = as_float(left), as_float(right)
    if other == 0 and right != 0:
        raise ArithmeticProblem("a number is too small to compute with: at least about 5e-324")
    return compute(one, other)


def _combined(left: Dimension, right: Dimension, sign: int) -> Dimension:
    powers = dict(left)
    for unit, power in right:
        powers[unit] = powers.get(unit, 0) + sign * power
    return tuple(sorted((unit, power) for unit, power in powers.items() if power))


def _power_of_one(value: Fraction, whole: int) -> Fraction:
    """Of 0, 1 or -1, whatever the exponent's size."""
    if value == 0:
        return Fraction(0 if whole else 1)
    return value if whole % 2 else Fraction(1)


def _real_power(base: Quantity, exponent: Number) -> Quantity:
    if exponent == Fraction(1, 2):
        return base.root(2, "a square root")
    value = base.plain("a power that is not whole")
    if value < 0:
        raise ArithmeticProblem("a negative number has no such power among the real numbers (there is cbrt)")
    if value == 0 and exponent < 0:
        raise ArithmeticProblem("division by zero: zero has no negative power")
    one, other = as_float(value), as_float(exponent)
    return bounded(as_real(lambda: one**other))


def _whole_root(value: int, degree: int) -> int | None:
    """If it is whole."""
    size = abs(value)
    root = math.isqrt(size) if degree == 2 else _cube_root(size)
    return (root if value >= 0 else -root) if root**degree == size else None


def _cube_root(value: int) -> int:
    """Rounded down, by Newton's method from above."""
    if value == 0:
        return 0
    root = 1 << -(-value.bit_length() // 3)
    while (better := (2 * root + value // (root * root)) // 3) < root:
        root = better
    return root
