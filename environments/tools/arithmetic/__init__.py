"""Exact arithmetic with units, on the policy's own text: parsed, bounded, and never evaluated by Python."""

from __future__ import annotations

from environments.tools.arithmetic.evaluate import calculate
from environments.tools.arithmetic.quantity import ArithmeticProblem, Quantity

__all__ = ["ArithmeticProblem", "Quantity", "calculate"]
