"""Exact arithmetic with units. It runs on the server: an expression costs no more than its length promises."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, ClassVar

from pydantic import Field

from environments.tools.arithmetic import ArithmeticProblem, calculate
from environments.tools.arithmetic.evaluate import MAX_CHARS
from environments.tools.arithmetic.quantity import Number, shown
from environments.tools.kit import Kit
from environments.tools.tool import ToolContext, ToolError, ToolResult, tool

DIGITS = 12
MAX_EXACT_CHARS = 60


class CalculatorKit(Kit):
    """One tool, without state."""

    name: ClassVar[str] = "calculator"

    @tool
    async def calculator(
        self, context: ToolContext, expression: Annotated[str, Field(max_length=MAX_CHARS)]
    ) -> ToolResult:
        """Compute exactly: + - * / // % **, functions such as sqrt, ln, log10, round, mean, median and
        distance_km(lat1, lon1, lat2, lon2), and units, as in '5 km + 300 m in mi'.

        Args:
            expression: Such as '5314336 / 324220', 'sqrt(2) * 3 m', '20 degC in degF' or '12% * 80'.
        """
        try:
            answer = calculate(expression)
        except ArithmeticProblem as problem:
            raise ToolError(f"{problem}") from None
        unit = answer.unit or shown(answer.quantity.dimension)
        text = f"{decimal(answer.quantity.value)} {unit}".strip()
        exact = exactly(answer.quantity.value)
        return ToolResult(f"{text}\nexactly: {exact} {unit}".strip() if exact else text)


def decimal(value: Number) -> str:
    """To twelve digits; without an exponent where that can be read."""
    if isinstance(value, Fraction):
        if value.denominator == 1 and abs(value) < 10**30:
            return str(value.numerator)
        magnitude = len(str(abs(value.numerator))) - len(str(value.denominator))
        if abs(magnitude) > 300:
            return f"about {'-' if value < 0 else ''}10^{magnitude}"
        value = float(value)
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if 1e-6 <= abs(value) < 1e15:
        places = max(0, DIGITS - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:.{places}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{DIGITS}g}"


def exactly(value: Number) -> str | None:
    """The fraction, where the decimal is not already exact and it can be read."""
    if not isinstance(value, Fraction) or Fraction(decimal(value).removeprefix("about ").replace("10^", "1e")) == value:
        return None
    text = f"{value.numerator}/{value.denominator}" if value.denominator != 1 else str(value.numerator)
    return text if len(text) <= MAX_EXACT_CHARS else None
