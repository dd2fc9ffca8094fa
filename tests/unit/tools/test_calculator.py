"""The calculator: right where it can be checked by other means, exact where it can be, and cheap at any request."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.environment import StepContext
from environments.tools.arithmetic import ArithmeticProblem, calculate, decimal, exactly, written
from environments.tools.kits.calculator import CalculatorKit
from environments.tools.tool import ToolContext, ToolError
from tests.unit.local_sandbox import LocalSandbox


def value(expression: str) -> Fraction | float:
    return calculate(expression).quantity.value


async def said(tmp_path: Path, expression: str) -> str:
    context = ToolContext(LocalSandbox(tmp_path), StepContext(timeout_s=5.0), seed=1)
    return (await CalculatorKit().tools["calculator"].call(context, {"expression": expression})).text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("5314336 / 324220", "16.3911418173\nexactly: 1328584/81055"),
        ("1 + 2 * 3", "7"), ("(1 + 2) * 3", "9"), ("-2 ** 2", "-4"), ("2 ** 3 ** 2", "512"), ("2^-1", "0.5"),
        ("0.1 + 0.2", "0.3"), ("10 % 3", "1"), ("-7 // 2", "-4"), ("-7 % 2", "1"), ("12% * 80", "9.6"),
        ("20% of 50", "10"), ("(3 + 4)%", "0.07"), ("50 % (3)", "2"), ("5% - 3", "-2.95"), ("5 % -3", "-1"),
        ("5! / 3!", "20"), ("1e3", "1000"),
        ("1,234,567 * 2", "2469134"), ("(1,234.5 + 1) * 2", "2471"), ("max(100,200,300)", "300"),
        ("max(1, 000, 2)", "2"),
        ("sqrt(9/4)", "1.5"), ("sqrt(2)", "1.41421356237"), ("cbrt(-27)", "-3"), ("8 ** (1/3)", "2"),
        ("4 ** (1/2)", "2"), ("(-1) ** 10 ** 9", "1"), ("factorial(20)", "2432902008176640000"),
        ("gcd(12, 18, 30)", "6"), ("lcm(4, 6)", "12"), ("comb(10, 3)", "120"), ("perm(5, 2)", "20"),
        ("mean(1, 2, 4)", "2.33333333333\nexactly: 7/3"), ("mean([1, 2], [3])", "2"), ("median(3, 1, 2)", "2"),
        ("median(4, 1, 2, 3)", "2.5"), ("stdev(2, 4, 4, 4, 5, 5, 7, 9)", "2.1380899353"), ("pstdev(1, 3)", "1"),
        ("sum(1, 2, 3)", "6"), ("max(1 km, 5 m)", "1000 m"), ("abs(-3 m)", "3 m"), ("floor(-7/2)", "-4"),
        ("ceil(7/2)", "4"), ("trunc(-3.9)", "-3"), ("round(2.5)", "2"), ("round(2.345, 1)", "2.3"),
        ("round(1250, -2)", "1200"),
        ("percent(20, 80)", "25"), ("percent_change(80, 100)", "25"), ("log(8, 2)", "3"),
        ("ln(10 ** 1000)", "2302.58509299"),
        ("log10(1/1000)", "-3"), ("sin(30 deg)", "0.5"), ("cos(90 deg)", "0"), ("sin(-390\u00b0)", "-0.5"),
        ("tan(45 deg)", "1"),
        ("sin(pi)", "0"), ("cos(pi / 3)", "0.5"), ("asin(0.5) in deg", "30 deg"),
        ("90 deg in rad", "1.57079632679 rad"),
        ("5 km + 300 m in mi", "3.29326731886 mi\nexactly: 165625/50292 mi"), ("5 m^2", "5 m^2"),
        ("5 kg m^-3", "5 kg m^-3"),
        ("convert(5 ft, in)", "60 in"), ("convert('5 ft', 'm')", "1.524 m"), ('convert(5, "ft", "m")', "1.524 m"),
        ("5 in to cm", "12.7 cm"), ("5 ft in in", "60 in"), ("20 degC in degF", "68 degF"),
        ("20 \u00b0C to \u00b0F", "68 degF"),
        ("-40 degF in degC", "-40 degC"), ("0 K in degC", "-273.15 degC"), ("7 g / 2 cm3 in kg/m3", "3500 kg/m3"),
        ("3 m * 2 m", "6 m^2"), ("sqrt(16 m2)", "4 m"), ("100 km / 2 h in km/h", "50 km/h"),
        ("100 km per 2 h in km/h", "50 km/h"),
        ("8 bit in B", "1 B"), ("1 / 0.5 s", "2 s^-1"), ("3 kWh in MJ", "10.8 MJ"), ("3 kg m^2 / s^2 in J", "3 J"),
        ("2 GB / (100 Mbps) in s", "160 s"), ("7.5 km // 2 km", "3"), ("7 m % 2 m", "1 m"),
        ("25 percent in percent", "25 percent"),
        ("2 ** 100", "1.26765060023e30\nexactly: 1267650600228229401496703205376"), ("10 ** 400", "1e400"),
        ("1e20", "100000000000000000000"), ("1/8e9", "1.25e-10"), ("1/800", "0.00125"),
        ("-2/3e20", "-6.66666666667e-21\nexactly: -1/150000000000000000000"),
        ("123456789012.5", "123456789012\nexactly: 246913578025/2"), ("1.0", "1"), ("exp(100)", "2.68811714182e43"),
        ("6 \u00d7 7", "42"), ("2 m\u00b2", "2 m^2"), ("\u03c0", "3.14159265359"), ("3 \u2212 1", "2"),
    ],
)  # fmt: skip
async def test_what_it_says(tmp_path: Path, expression: str, text: str) -> None:
    assert await said(tmp_path, expression) == text


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "the expression is empty"), ("2 *", "a number, a name or '(' is expected, not the end"),
        ("2 + * 3", "not '*' at character 5"), ("(3", "')' is expected, not the end"),
        ("mean([1, 2)", "']' is expected, not ')'"),
        ("3 foo", "'foo' at character 3"), ("3 mil", "it is no unit; did you mean mile"),
        ("foo(3)", "did you mean floor"),
        ("1 / 0", "division by zero ('/' at character 3)"), ("5 % 0", "division by zero"),
        ("0 ** -1", "zero has no negative power"),
        ("0 ** -0.3", "zero has no negative power"), ("5 kg + 3 m", "m cannot be added to kg ('+' at character 6)"),
        ("5 kg in m", "kg cannot be converted to m ('in' at character 6)"),
        ("5 in 3 m", "a unit is expected after 'in'"),
        ("3 m ** 0.5", "a whole number is expected as the power of a unit"), ("(3 m) ** 0.3", "without a unit"),
        ("2 ** (3 m)", "an exponent takes a number without a unit, not one in m"), ("sqrt(2 m)", "has no unit"),
        ("sqrt(-1)", "not real"), ("(-8) ** 0.5", "not real"), ("(-8) ** (1/3)", "there is cbrt"),
        ("m ^ 21", "power of 20"),
        ("ln(0)", "ln is not defined for zero"), ("asin(2)", "asin is not defined for 2"),
        ("log(8)", "ln and log10 take one"),
        ("tan(90 deg)", "right angle"), ("tan(pi / 2)", "right angle"),
        ("sin(1, 2)", "sin takes 1 argument, not 2"), ("mean()", "mean takes at least 1 argument, not 0"),
        ("stdev(1)", "at least 2"),
        ("sin(3 m)", "without a unit"), ("max(1 m, 2 kg)", "kg cannot be put into max beside m"),
        ("gcd(1.5)", "whole numbers"),
        ("9 ** 9 ** 9", "too large"), ("2 ** 20000", "some 3600 digits"), ("factorial(10 ** 9)", "0 to 1000"),
        ("2000!", "0 to 1000"),
        ("comb(10 ** 6, 5 * 10 ** 5)", "0 to 1000"), ("exp(10000)", "1.8e308"), ("10 ** 400 * pi", "1.8e308"),
        ("1 / 10 ** 400 * pi / (1 / 10 ** 400)", "too small"),
        ("1e9999", "too large"), ("1e99999", "is no unit"), ("2 $ 3", "'$' at character 3"),
        ("import os", "'import' at character 1"),
        ("__import__('os')", "there is no function '__import__'"), ("20 degC + 3 degC", "only converted"),
        ("20 degC", "only converted"), ("x degC in K", "only converted"), ("-300 degC in K", "absolute zero"),
        ("(" * 60 + "1" + ")" * 60, "nested"), ("2 ** " * 60 + "1", "nested"), ("1" * 500, "at most 400"),
        ("1000! - " * 80 + "1", "too much work"), ("x = 3", "'='"),
        ("1.2.3", "'.3' at character 4 is not expected there"), ("2(3)", "an operator is missing"),
        ("1,0000", "commas"), ("sum(1,234, 5)", "commas separate arguments"),
        ("sqrt 2", "'(' is expected after 'sqrt'"),
        ("convert(5 km)", "convert takes"), ("distance_km(100, 0, 0, 0)", "latitudes from -90 to 90"),
        ("round(1, 0.5)", "whole number of digits"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told(tmp_path: Path, expression: str, problem: str) -> None:
    with pytest.raises(ToolError) as caught:
        await said(tmp_path, expression)
    assert problem in str(caught.value)


NUMBERS = st.integers(0, 10**6).map(str) | st.decimals(0, 1000, places=3).map(str)


def trees(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signed = children.map(lambda text: f"-({text})")
    return (
        st.tuples(children, st.sampled_from("+ - * / // %".split()), children).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | signed
    )


@given(st.recursive(NUMBERS, trees, max_leaves=12))
def test_it_is_exact_arithmetic(expression: str) -> None:
    """Python's own, on fractions: the expression is of our own making."""
    fractions = "".join(f"F('{part}')" if part[:1].isdigit() else part for part in _parts(expression))
    try:
        right = eval(fractions, {"F": Fraction})
    except ZeroDivisionError:
        with pytest.raises(ArithmeticProblem, match="division by zero"):
            value(expression)
    else:
        assert value(expression) == right


def _parts(expression: str) -> list[str]:
    parts = [""]
    for character in expression:
        if (character in "0123456789.") != (parts[-1][-1:] in "0123456789." and parts[-1] != ""):
            parts.append("")
        parts[-1] += character
    return parts


@given(st.floats(-80, 80), st.floats(-170, 170), st.floats(-80, 80), st.floats(-170, 170))
def test_a_distance_is_that_between_the_unit_vectors(a: float, b: float, c: float, d: float) -> None:
    def vector(latitude: float, longitude: float) -> tuple[float, float, float]:
        phi, theta = math.radians(latitude), math.radians(longitude)
        return math.cos(phi) * math.cos(theta), math.cos(phi) * math.sin(theta), math.sin(phi)

    chord = math.dist(vector(a, b), vector(c, d))
    right = 2 * 6371.0088 * math.asin(min(1.0, chord / 2))
    expression = f"distance_km({a:.12f}, {b:.12f}, {c:.12f}, {d:.12f})"
    assert float(value(expression)) == pytest.approx(right, rel=1e-6, abs=1e-3)


@pytest.mark.parametrize(
    "expression",
    [
        "+".join(f"1/7**{4000 - number}" for number in range(190)),
        "*".join(f"(7**{400 - number}/3**{700 - number})" for number in range(100)),
        "sum(" + ",".join(f"1/7**{4000 - number}" for number in range(190)) + ")",
        "stdev(" + ",".join(f"1/{10**9 + number}" for number in range(170)) + ")",
        "7**4000 % " * 180 + "3",
        "sqrt(7**4000)+" * 140 + "1",
        "factorial(1000)*" * 120 + "1",
        "1000! - " * 240 + "1",
        "-" * 2000,
        "1 m" + " m" * 990,
        "(" * 2000,
        "f(" * 1000,
        "'" * 2000,
        "convert(" + "[" * 1900 + ",m)",
        "1," * 1000,
    ],
)
def test_nothing_takes_long(expression: str) -> None:
    began = time.process_time()
    with suppress(ArithmeticProblem):
        written(calculate(expression[:2000]))
    assert time.process_time() - began < 0.15


def test_the_largest_numbers_are_written() -> None:
    whole = written(calculate("2 ** 11998 / 3"))
    assert whole.startswith("1.90882766958e3611\nexactly: 572648")
    assert len(whole) > 3600


UNITS_MEAN = [
    ("1 mi", "1.609344 km"), ("1 yard", "3 feet"), ("1 nmi", "1852 m"), ("1 acre", "43560 ft2"), ("1 ha", "10000 m2"),
    ("1 mi2", "640 acre"), ("1 gal", "231 inch^3"), ("1 gallon", "8 pints"), ("1 cup", "16 tbsp"), ("1 tbsp", "3 tsp"),
    ("1 imp_gal", "8 imp_pint"), ("1 lb", "16 oz"), ("1 stone", "14 pounds"), ("1 lb", "7000 grains"),
    ("1 long_ton", "2240 lb"),
    ("1 short_ton", "2000 lb"), ("1 week", "168 hours"), ("1 year", "12 months"), ("1 day", "86400 s"),
    ("1 GiB", "1024 MiB"),
    ("1 MB", "8 Mbit"), ("1 kcal", "4184 J"), ("1 kWh", "3600 kJ"), ("1 hp", "550 ft lbf / s"),
    ("1 psi", "1 lbf / inch^2"),
    ("1 atm", "760 torr"), ("1 bar", "100 kPa"), ("1 knot", "1.852 kph"), ("60 mph", "1 mi / min"), ("1 Ah V", "1 Wh"),
    ("1 turn", "360 degrees"), ("60 rpm", "1 Hz"), ("1 V / ohm", "1 A"), ("1 N m", "1 J"), ("1 microgram", "1000 ng"),
    ("1 ML", "1000 m^3"), ("1 bbl", "42 gallons"), ("1 kgf", "9.80665 N"), ("1 BTU", "778.16926 ft lbf"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), UNITS_MEAN)
def test_units_are_what_they_are_defined_by(one: str, other: str) -> None:
    left, right = calculate(one).quantity, calculate(other).quantity
    assert left.dimension == right.dimension
    assert float(left.value) == pytest.approx(float(right.value), rel=1e-7)


@settings(max_examples=300)
@given(st.text(alphabet="0123456789.+-*/%^(), ekmsgin_\u00d7degCsqrtfactorial", max_size=300) | st.text(max_size=200))
def test_no_text_is_anything_but_a_value_or_a_problem(text: str) -> None:
    began = time.process_time()
    try:
        answer = calculate(text)
    except ArithmeticProblem as problem:
        assert len(str(problem)) < 300
    else:
        assert written(answer)
    assert time.process_time() - began < 0.5


@given(st.fractions(min_value=Fraction(1, 10**6), max_value=10**12))
def test_a_decimal_has_twelve_digits(number: Fraction) -> None:
    assert abs(Fraction(decimal(number)) - number) <= abs(number) / 10**11
    exact: Any = exactly(number)
    assert Fraction(exact or decimal(number)) == number
