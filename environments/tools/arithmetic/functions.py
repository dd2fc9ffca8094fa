"""What can be called in an expression. Exact where the result is: `sqrt(9/4)` is 3/2."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from environments.tools.arithmetic.quantity import MAX_BITS, ArithmeticProblem, Number, Quantity, bounded

EARTH_RADIUS_KM = Fraction("6371.0088")
"""Mean radius R1 of the GRS 80 ellipsoid."""
MAX_FACTORIAL = 1500

Function = Callable[[Sequence[Quantity]], Quantity]


def _real(name: str, compute: Callable[..., float], count: int = 1) -> Function:
    """A function of floats."""

    def call(arguments: Sequence[Quantity]) -> Quantity:
        _require_count(name, arguments, count, count)
        values = [_as_float(each.plain(name)) for each in arguments]
        try:
            return bounded(float(compute(*values)))
        except ArithmeticProblem:
            raise
        except OverflowError:
            raise ArithmeticProblem(f"{name}: the result is too large") from None
        except ValueError:
            raise ArithmeticProblem(f"{name} is not defined there") from None

    return call


def _require_count(name: str, arguments: Sequence[Quantity], least: int, most: int | None) -> None:
    if len(arguments) < least or (most is not None and len(arguments) > most):
        takes = str(least) if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        raise ArithmeticProblem(f"{name} takes {takes} arguments, not {len(arguments)}")


def _sqrt(arguments: Sequence[Quantity]) -> Quantity:
    _require_count("sqrt", arguments, 1, 1)
    (of,) = arguments
    if of.value < 0:
        raise ArithmeticProblem("sqrt of a negative number is not real")
    if any(power % 2 for _, power in of.dimension):
        raise ArithmeticProblem("sqrt of that unit is no unit")
    dimension = tuple((unit, power // 2) for unit, power in of.dimension)
    if isinstance(of.value, Fraction):
        roots = math.isqrt(of.value.numerator), math.isqrt(of.value.denominator)
        if (roots[0] ** 2, roots[1] ** 2) == (of.value.numerator, of.value.denominator):
            return Quantity(Fraction(*roots), dimension)
    return bounded(math.sqrt(_as_float(of.value)), dimension)


def _as_float(value: Number) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ArithmeticProblem("the number is too large for that") from None


def _chosen(name: str, choose: Callable[[Sequence[Number]], Number]) -> Function:
    """A function of alike quantities that gives one of their kind."""

    def call(arguments: Sequence[Quantity]) -> Quantity:
        _require_count(name, arguments, 1, None)
        for each in arguments:
            arguments[0].plus(each)  # raises where the units differ
        return bounded(choose([each.value for each in arguments]), arguments[0].dimension)

    return call


def _sum(values: Sequence[Number]) -> Number:
    total: Number = Fraction(0)
    for value in values:
        total = total + value
    return total


def _magnitude(values: Sequence[Number]) -> Number:
    return -values[0] if values[0] < 0 else values[0]


def _median(values: Sequence[Number]) -> Number:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _rounded(name: str, compute: Callable[[Number], int]) -> Function:
    def call(arguments: Sequence[Quantity]) -> Quantity:
        _require_count(name, arguments, 1, 1)
        return bounded(Fraction(compute(arguments[0].plain(name))))

    return call


def _round(arguments: Sequence[Quantity]) -> Quantity:
    """Half to even, as Python and IEEE 754 do."""
    _require_count("round", arguments, 1, 2)
    digits = arguments[1].plain("round") if len(arguments) == 2 else Fraction(0)
    if not (isinstance(digits, Fraction) and digits.denominator == 1 and abs(digits) <= 100):
        raise ArithmeticProblem("round takes a whole number of digits, at most 100")
    return bounded(Fraction(round(Fraction(arguments[0].plain("round")), int(digits))))


def _factorial(arguments: Sequence[Quantity]) -> Quantity:
    _require_count("factorial", arguments, 1, 1)
    of = arguments[0].plain("factorial")
    if not (isinstance(of, Fraction) and of.denominator == 1 and 0 <= of <= MAX_FACTORIAL):
        raise ArithmeticProblem(f"factorial takes a whole number from 0 to {MAX_FACTORIAL}")
    return bounded(Fraction(math.factorial(int(of))))


def _gcd(arguments: Sequence[Quantity]) -> Quantity:
    _require_count("gcd", arguments, 1, None)
    values = [each.plain("gcd") for each in arguments]
    if not all(isinstance(value, Fraction) and value.denominator == 1 for value in values):
        raise ArithmeticProblem("gcd takes whole numbers")
    return Quantity(Fraction(math.gcd(*(int(value) for value in values))))


def _haversine(latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float) -> float:
    """Great-circle distance in kilometres between two points in degrees."""
    phi_1, phi_2 = math.radians(latitude_1), math.radians(latitude_2)
    across = math.sin((phi_2 - phi_1) / 2) ** 2
    along = math.sin(math.radians(longitude_2 - longitude_1) / 2) ** 2
    return (
        2 * float(EARTH_RADIUS_KM) * math.asin(math.sqrt(min(1.0, across + math.cos(phi_1) * math.cos(phi_2) * along)))
    )


def _log(number: float, base: float) -> float:
    return math.log(number) / math.log(base)


def _cbrt(number: float) -> float:
    return math.copysign(abs(number) ** (1 / 3), number)


FUNCTIONS: Mapping[str, Function] = {
    "sqrt": _sqrt,
    "cbrt": _real("cbrt", _cbrt),
    **{
        name: _real(name, getattr(math, name)) for name in ("exp", "sin", "cos", "tan", "asin", "acos", "atan", "log10")
    },
    "ln": _real("ln", math.log),
    "log": _real("log", _log, 2),
    "radians": _real("radians", math.radians),
    "degrees": _real("degrees", math.degrees),
    "distance_km": _real("distance_km", _haversine, 4),
    "min": _chosen("min", min),
    "max": _chosen("max", max),
    "sum": _chosen("sum", _sum),
    "mean": _chosen("mean", lambda values: _sum(values) / len(values)),
    "median": _chosen("median", _median),
    "abs": _chosen("abs", _magnitude),
    "floor": _rounded("floor", math.floor),
    "ceil": _rounded("ceil", math.ceil),
    "round": _round,
    "factorial": _factorial,
    "gcd": _gcd,
}
CONSTANTS: Mapping[str, Quantity] = {"pi": Quantity(math.pi), "e": Quantity(math.e)}
assert MAX_FACTORIAL * math.log2(MAX_FACTORIAL) < MAX_BITS
