"""The calculator: right where it can be checked by other means, exact where it can be, and cheap at any request."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.environment import StepContext
from environments.tools.arithmetic import ArithmeticProblem, calculate
from environments.tools.kits.calculator import CalculatorKit, decimal, exactly
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
        ("20% of 50", "10"), ("1,234,567 * 2", "2469134"), ("1e3", "1000"), ("sqrt(9/4)", "1.5"),
        ("sqrt(2)", "1.41421356237"), ("factorial(20)", "2432902008176640000"), ("gcd(12, 18, 30)", "6"),
        ("mean(1, 2, 4)", "2.33333333333\nexactly: 7/3"), ("median(3, 1, 2)", "2"), ("round(2.5)", "2"),
        ("5 km + 300 m in mi", "3.29326731886 mi\nexactly: 165625/50292 mi"), ("20 degC in degF", "68 degF"),
        ("-40 degF in degC", "-40 degC"), ("0 K in degC", "-273.15 degC"), ("7 g / 2 cm3 in kg/m3", "3500 kg/m3"),
        ("3 m * 2 m", "6 m^2"), ("sqrt(16 m2)", "4 m"), ("100 km / 2 h in km/h", "50 km/h"), ("8 bit in B", "1 B"),
        ("1 / 0.5 s", "2 s^-1"), ("10 ** 400", "about 10^400"), ("6 \u00d7 7", "42"),
    ],
)  # fmt: skip
async def test_what_it_says(tmp_path: Path, expression: str, text: str) -> None:
    assert await said(tmp_path, expression) == text


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "the expression is empty"), ("2 *", "expected at the end"), ("(3", "')' is expected at the end"),
        ("3 foo", "'foo' at character 3"), ("foo(3)", "did you mean floor"), ("1 / 0", "division by zero"),
        ("0 ** -1", "division by zero"), ("5 kg + 3 m", "m cannot be added to kg"),
        ("5 kg in m", "cannot be converted"),
        ("3 m ** 0.5", "without a unit"), ("sqrt(-1)", "not real"), ("(-8) ** 0.5", "negative number"),
        ("ln(0)", "not defined"), ("sin(1, 2)", "takes 1 arguments, not 2"), ("sin(3 m)", "without a unit"),
        ("9 ** 9 ** 9", "too large"), ("factorial(10 ** 9)", "0 to 1500"), ("exp(10000)", "too large"),
        ("1e9999", "too many digits"), ("2 $ 3", "'$' at character 3"), ("import os", "'import'"),
        ("__import__('os')", "is no part"), ("20 degC + 3 degC", "only converted"), ("-300 degC in K", "absolute zero"),
        ("(" * 60 + "1" + ")" * 60, "nested"), ("2 ** " * 60 + "1", "nested"), ("1" * 500, "at most 400"),
        ("x = 3", "'='"), ("1.2.3", "not expected"),
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


@settings(max_examples=300)
@given(st.text(alphabet="0123456789.+-*/%^(), ekmsgin_\u00d7degCsqrtfactorial", max_size=300) | st.text(max_size=200))
def test_no_text_is_anything_but_a_value_or_a_problem(text: str) -> None:
    began = time.process_time()
    try:
        answer = calculate(text)
    except ArithmeticProblem as problem:
        assert len(str(problem)) < 300
    else:
        assert decimal(answer.quantity.value)
        exactly(answer.quantity.value)
    assert time.process_time() - began < 0.5


@given(st.fractions(min_value=Fraction(1, 10**6), max_value=10**12))
def test_a_decimal_has_twelve_digits(number: Fraction) -> None:
    assert float(decimal(number)) == pytest.approx(float(number), rel=1e-11)
    exact: Any = exactly(number)
    assert exact is None or Fraction(exact) == number
