"""What can be called in an expression. Exact where the result is: `sqrt(9/4)` is 3/2, `cos(60 deg)` 1/2."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from environments.tools.arithmetic.quantity import (
    MAX_BITS,
    TOO_LARGE,
    ArithmeticProblem,
    Number,
    Quantity,
    as_float,
    as_real,
    bounded,
    is_whole,
)
from environments.tools.arithmetic.units import ANGLE

EARTH_RADIUS_KM = 6371.0088
"""Mean radius R1 of the GRS 80 ellipsoid."""
MAX_FACTORIAL = 1000
SNAP = 4e-16
"""What sine and cosine of a multiple of pi/2 miss zero by, for each radian of the argument."""

Function = Callable[[Sequence[Quantity]], Quantity]


def _checked(name: str, least: int, most: int | None, function: Callable[..., Quantity], hint: str = "") -> Function:
    """A function of `least` to `most` arguments."""

    def call(arguments: Sequence[Quantity]) -> Quantity:
        if len(arguments) < least or (most is not None and len(arguments) > most):
            takes = str(least) if least == most else f"at least {least}" if most is None else f"{least} to {most}"
            plural = "" if takes.endswith("1") else "s"
            raise ArithmeticProblem(f"{name} takes {takes} argument{plural}, not {len(arguments)}{hint}")
        return function(*arguments)

    return call


def _real(name: str, compute: Callable[..., float], count: int = 1, hint: str = "") -> Function:
    """A function of floats."""

    def function(*arguments: Quantity) -> Quantity:
        values = [as_float(each.plain(name)) for each in arguments]
        try:
            return bounded(as_real(lambda: compute(*values)))
        except ArithmeticProblem:
            raise
        except (ValueError, ZeroDivisionError):
            given = ", ".join(f"{value:.6g}" for value in values)
            raise ArithmeticProblem(f"{name} is not defined for {given}") from None

    return _checked(name, count, count, function, hint)


def _logarithm(name: str, compute: Callable[[int], float]) -> Function:
    """Of numbers of any size, whose logarithms floats can hold all the same."""

    def function(of: Quantity) -> Quantity:
        value = of.plain(name)
        if value <= 0:
            raise ArithmeticProblem(f"{name} is not defined for {'zero' if value == 0 else 'a negative number'}")
        if isinstance(value, Fraction) and of.bits > 1000:
            return bounded(compute(value.numerator) - compute(value.denominator))
        return bounded(compute(float(value)))  # type: ignore[arg-type]

    return _checked(name, 1, 1, function)


def _turned(name: str, compute: Callable[[float], float], exact: Mapping[int, Fraction]) -> Function:
    """Sine or cosine: of an angle in a unit, or of a plain number, which means radians. `exact` is by degrees."""

    def function(angle: Quantity) -> Quantity:
        if angle.dimension == ANGLE:
            turned = angle.value % 360
            if turned in exact:
                return Quantity(exact[int(turned)])
            radians = math.radians(turned)
        else:
            radians = as_float(angle.plain(name))
        value = compute(radians)
        return bounded(0.0 if abs(value) < SNAP * abs(radians) and abs(radians) > 1 else value)

    return _checked(name, 1, 1, function)


_HALF = Fraction(1, 2)
_ONE = Fraction(1)
_SINES = {0: 0 * _ONE, 30: _HALF, 90: _ONE, 150: _HALF, 180: 0 * _ONE, 210: -_HALF, 270: -_ONE, 330: -_HALF}
_sin = _turned("sin", math.sin, _SINES)
_cos = _turned("cos", math.cos, {(degrees - 90) % 360: value for degrees, value in _SINES.items()})


def _tan(angle: Quantity) -> Quantity:
    if angle.dimension == ANGLE and angle.value % 180 in (45, 135):
        return Quantity(Fraction(1 if angle.value % 180 == 45 else -1))
    below = _cos([angle])
    if below.value == 0:
        raise ArithmeticProblem("tan is not defined at a right angle")
    return _sin([angle]).over(below)


def _alike(name: str, choose: Callable[[Sequence[Quantity]], Quantity]) -> Function:
    """A function of quantities of one kind that gives one of their kind."""

    def function(*arguments: Quantity) -> Quantity:
        for each in arguments[1:]:
            if each.dimension != arguments[0].dimension:
                arguments[0].require_alike(each, f"put into {name} beside")
        return choose(arguments)

    return _checked(name, 1, None, function)


def _number(value: int) -> Quantity:
    return Quantity(Fraction(value))


def _sum(of: Sequence[Quantity]) -> Quantity:
    total = of[0]
    for each in of[1:]:
        total = total.plus(each)
    return total


def _mean(of: Sequence[Quantity]) -> Quantity:
    return _sum(of).over(_number(len(of)))


def _median(of: Sequence[Quantity]) -> Quantity:
    ordered, half = sorted(of, key=lambda each: each.value), len(of) // 2
    return ordered[half] if len(of) % 2 else _mean(ordered[half - 1 : half + 1])


def _deviation(of: Sequence[Quantity], free: int, name: str) -> Quantity:
    """The root of the mean square distance from the mean; of a sample one less is divided by."""
    if len(of) <= free:
        raise ArithmeticProblem(f"{name} takes at least {free + 1} arguments, not {len(of)}")
    mean = _mean(of)
    squares = [each.plus(mean, -1).power(_number(2)) for each in of]
    return _sum(squares).over(_number(len(of) - free)).root(2, name)


def _rounded(name: str, compute: Callable[[Number], int]) -> Function:
    return _checked(name, 1, 1, lambda of: bounded(Fraction(compute(of.plain(name)))))


def _round(of: Quantity, places: Quantity = Quantity(Fraction(0))) -> Quantity:  # noqa: B008  # it is frozen
    """Half to even, as Python and IEEE 754 do."""
    digits = places.plain("round")
    if not (is_whole(digits) and -100 <= digits <= 100):
        raise ArithmeticProblem("round takes a whole number of digits, from -100 to 100")
    return bounded(Fraction(round(Fraction(of.plain("round")), int(digits))))


def _whole(
    name: str, compute: Callable[..., int], least: int, most: int | None, largest: int | None = None
) -> Function:
    """A function of whole numbers, from 0 to `largest` where there is one."""

    def function(*arguments: Quantity) -> Quantity:
        values = [each.plain(name) for each in arguments]
        fits = all(is_whole(value) and (largest is None or 0 <= value <= largest) for value in values)
        if not fits:
            raise ArithmeticProblem(f"{name} takes whole numbers" + (f" from 0 to {largest}" if largest else ""))
        return bounded(Fraction(compute(*map(int, values))))

    return _checked(name, least, most, function)


def _lcm(*of: int) -> int:
    least = 1
    for value in of:
        least = math.lcm(least, value)
        if least.bit_length() > MAX_BITS:
            raise ArithmeticProblem(TOO_LARGE)
    return least


def _haversine(latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float) -> float:
    """Great-circle distance in kilometres between two points in degrees."""
    if max(abs(latitude_1), abs(latitude_2)) > 90:
        raise ArithmeticProblem(
            "distance_km takes latitudes from -90 to 90: latitude, longitude of one point, then the other"
        )
    phi_1, phi_2 = math.radians(latitude_1), math.radians(latitude_2)
    across = math.sin((phi_2 - phi_1) / 2) ** 2
    along = math.sin(math.radians(longitude_2 - longitude_1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, across + math.cos(phi_1) * math.cos(phi_2) * along)))


def _percent(part: Quantity, whole: Quantity) -> Quantity:
    part.require_alike(whole, "a percentage of")
    return part.over(whole).times(_number(100))


def _change(old: Quantity, new: Quantity) -> Quantity:
    return _percent(new.plus(old, -1), old)


_OF_FLOATS = ("asin", "acos", "atan", "sinh", "cosh", "tanh", "radians", "degrees")
FUNCTIONS: Mapping[str, Function] = {
    "sqrt": _checked("sqrt", 1, 1, lambda of: of.root(2, "sqrt")),
    "cbrt": _checked("cbrt", 1, 1, lambda of: of.root(3, "cbrt")),
    "exp": _real("exp", math.exp),
    "ln": _logarithm("ln", math.log),
    "log10": _logarithm("log10", math.log10),
    "log2": _logarithm("log2", math.log2),
    "log": _real("log", math.log, 2, ": the number and the base; ln and log10 take one"),
    "sin": _sin,
    "cos": _cos,
    "tan": _checked("tan", 1, 1, _tan),
    "atan2": _real("atan2", math.atan2, 2),
    **{name: _real(name, getattr(math, name)) for name in _OF_FLOATS},
    "distance_km": _real("distance_km", _haversine, 4),
    "min": _alike("min", lambda of: min(of, key=lambda each: each.value)),
    "max": _alike("max", lambda of: max(of, key=lambda each: each.value)),
    "sum": _alike("sum", _sum),
    "mean": _alike("mean", _mean),
    "median": _alike("median", _median),
    "stdev": _alike("stdev", lambda of: _deviation(of, 1, "stdev")),
    "pstdev": _alike("pstdev", lambda of: _deviation(of, 0, "pstdev")),
    "abs": _checked("abs", 1, 1, lambda of: of.negated() if of.value < 0 else of),
    "floor": _rounded("floor", math.floor),
    "ceil": _rounded("ceil", math.ceil),
    "trunc": _rounded("trunc", math.trunc),
    "round": _checked("round", 1, 2, _round),
    "factorial": _whole("factorial", math.factorial, 1, 1, MAX_FACTORIAL),
    "comb": _whole("comb", math.comb, 2, 2, MAX_FACTORIAL),
    "perm": _whole("perm", math.perm, 2, 2, MAX_FACTORIAL),
    "gcd": _whole("gcd", math.gcd, 1, None),
    "lcm": _whole("lcm", _lcm, 1, None),
    "percent": _checked("percent", 2, 2, _percent, ": a part and the whole"),
    "percent_change": _checked("percent_change", 2, 2, _change, ": the old value and the new"),
}
CONSTANTS: Mapping[str, Quantity] = {"pi": Quantity(math.pi), "e": Quantity(math.e), "tau": Quantity(math.tau)}
assert MAX_FACTORIAL * math.log2(MAX_FACTORIAL) < MAX_BITS
