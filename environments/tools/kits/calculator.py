"""Exact arithmetic with units. It runs on the server: an expression costs no more than its length promises."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from environments.tools.arithmetic import ArithmeticProblem, calculate, written
from environments.tools.arithmetic.evaluate import MAX_CHARS
from environments.tools.kit import Kit
from environments.tools.tool import ToolContext, ToolError, ToolResult, tool


class CalculatorKit(Kit):
    """One tool, without state."""

    name: ClassVar[str] = "calculator"

    @tool
    async def calculator(
        self, context: ToolContext, expression: Annotated[str, Field(max_length=MAX_CHARS)]
    ) -> ToolResult:
        """Compute exactly: + - * / // % **, functions such as sqrt, ln, log10, sin, round, mean, median and
        distance_km(lat1, lon1, lat2, lon2), and units, as in '5 km + 300 m in mi'.

        Args:
            expression: Such as '5314336 / 324220', 'sqrt(2) * 3 m', '20 degC in degF' or '12% of 80'.
        """
        try:
            return ToolResult(written(calculate(expression)))
        except ArithmeticProblem as problem:
            raise ToolError(str(problem)) from None
