"""Exact arithmetic with units, on the policy's own text: parsed, bounded, and never evaluated by Python.

`tokens.py` cuts the text, `evaluate.py` reads and computes, `quantity.py` has the numbers and their bounds,
`functions.py` and `units.py` are tables, `showing.py` writes a result.
"""

from __future__ import annotations

from environments.tools.arithmetic.evaluate import Answer, calculate
from environments.tools.arithmetic.quantity import ArithmeticProblem, Quantity
from environments.tools.arithmetic.showing import decimal, exactly, written

__all__ = ["Answer", "ArithmeticProblem", "Quantity", "calculate", "decimal", "exactly", "written"]
