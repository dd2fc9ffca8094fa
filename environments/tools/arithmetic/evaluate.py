"""Reading an expression: a tokenizer, and a recursive descent that computes as it reads.

conversion  sum ("in" | "to") unit expression
sum         product     signed (("*" | "/" | "//" | "%" | "of") signed)*      12% of 80
product     signed (("*" | "/" | "//" | "%") signed)*
signed      ("-" | "+") signed | power
power       postfix ("**" | "^") signed            to the right
postfix     atom unit*                             5 km, 3 kg
atom        number "%"? | name "(" sum ("," sum)* ")" | name | "(" sum ")"
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from fractions import Fraction

from environments.tools.arithmetic.functions import CONSTANTS, FUNCTIONS
from environments.tools.arithmetic.quantity import ArithmeticProblem, Quantity, bounded, shown
from environments.tools.arithmetic.units import OFFSETS, UNITS

MAX_CHARS = 2000
MAX_DEPTH = 50
MAX_NUMBER_CHARS = 400

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,4}(?!\w))?|\.\d+)"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>\*\*|//|[-+*/%^(),])|(?P<wrong>\S))"
)
_LOOKALIKES = str.maketrans({"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-", "\u00b2": "2", "\u00b3": "3"})


@dataclass(frozen=True)
class Answer:
    """A result, and the unit that it was asked for in."""

    quantity: Quantity
    unit: str = ""


def calculate(text: str) -> Answer:
    """The value of an expression. Raises: ArithmeticProblem, naming the place."""
    if len(text) > MAX_CHARS:
        raise ArithmeticProblem(f"the expression has {len(text)} characters, at most {MAX_CHARS} are read")
    return _Reader(text.translate(_LOOKALIKES)).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = [
            (found.lastgroup or "", found[found.lastgroup or 0], found.start(found.lastgroup or 0))
            for found in _TOKEN.finditer(text)
        ]
        self._at = 0
        self._depth = 0
        for kind, token, place in self._tokens:
            if kind == "wrong":
                raise ArithmeticProblem(f"{token!r} at character {place + 1} is no part of an expression")

    def read(self) -> Answer:
        if not self._tokens:
            raise ArithmeticProblem("the expression is empty")
        if (moved := self._temperature()) is not None:
            return moved
        result = self._sum()
        answer = Answer(result)
        if self._peek() in ("in", "to"):
            self._at += 1
            answer = self._converted(result)
        if self._at < len(self._tokens):
            raise ArithmeticProblem(f"{self._peek()!r} at {self._place()} is not expected there")
        return answer

    def _temperature(self) -> Answer | None:
        """`20 degC in degF`, which is no multiplication."""
        names = [token for _, token, _ in self._tokens if token in OFFSETS]
        if not names:
            return None
        value = self._signed() if self._peek() in ("-", "+") else self._atom()
        source, word, target = (self._next() for _ in range(3))
        if source not in {*OFFSETS, "K"} or word not in ("in", "to") or target not in {*OFFSETS, "K"} or self._peek():
            raise ArithmeticProblem("temperatures are only converted: '20 degC in degF', with degC, degF or K")
        (from_factor, from_offset), (to_factor, to_offset) = (
            {**OFFSETS, "K": (Fraction(1), Fraction(0))}[name] for name in (source, target)
        )
        kelvin = Fraction(value.plain("a temperature")) * from_factor + from_offset
        if kelvin < 0:
            raise ArithmeticProblem("that is below absolute zero")
        return Answer(bounded((kelvin - to_offset) / to_factor), target)

    def _converted(self, result: Quantity) -> Answer:
        start = self._at
        unit = self._sum()
        name = "".join(token for _, token, _ in self._tokens[start : self._at])
        if unit.dimension != result.dimension:
            mine, theirs = (shown(each.dimension) or "a plain number" for each in (result, unit))
            raise ArithmeticProblem(f"{mine} cannot be converted to {theirs}")
        return Answer(result.over(unit), name)

    def _sum(self) -> Quantity:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ArithmeticProblem(f"the expression is nested more than {MAX_DEPTH} deep")
        result = self._product()
        while (sign := self._peek()) in ("+", "-"):
            self._at += 1
            result = result.plus(self._product(), 1 if sign == "+" else -1)
        self._depth -= 1
        return result

    def _product(self) -> Quantity:
        result = self._signed()
        while (sign := self._peek()) in ("*", "/", "//", "%", "of"):
            self._at += 1
            other = self._signed()
            times, over = result.times, result.over
            compute = {"*": times, "of": times, "/": over, "//": result.floor_over, "%": result.modulo}[sign]
            result = compute(other)
        return result

    def _signed(self) -> Quantity:
        minus = False
        while (sign := self._peek()) in ("-", "+"):
            self._at += 1
            minus ^= sign == "-"
        result = self._power()
        return result.negated() if minus else result

    def _power(self) -> Quantity:
        base = self._postfix()
        if self._peek() in ("**", "^"):
            self._at += 1
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise ArithmeticProblem(f"the expression is nested more than {MAX_DEPTH} deep")
            base = base.power(self._signed())
            self._depth -= 1
        return base

    def _postfix(self) -> Quantity:
        result = self._atom()
        while self._kind() == "name" and self._peek() in UNITS and not self._calls():
            result = result.times(UNITS[self._next()])
        return result

    def _atom(self) -> Quantity:
        kind, place, token = self._kind(), self._place(), self._next()
        if kind == "number":
            return self._number(token)
        if kind == "name":
            return self._call(token, place) if self._peek() == "(" else self._named(token, place)
        if token == "(":
            result = self._sum()
            self._expect(")")
            return result
        raise ArithmeticProblem(
            f"a number, a name or '(' is expected at {place}" + (f", not {token!r}" if token else "")
        )

    def _number(self, token: str) -> Quantity:
        if len(token) > MAX_NUMBER_CHARS:
            raise ArithmeticProblem(f"a number has at most {MAX_NUMBER_CHARS} characters")
        value = bounded(Fraction(token.replace(",", "")))
        if self._peek() == "%" and not self._operand_follows():
            self._at += 1
            return value.over(Quantity(Fraction(100)))
        return value

    def _operand_follows(self) -> bool:
        """Whether `%` is between two operands, and so a remainder; else it is a percentage."""
        following = self._tokens[self._at + 1 : self._at + 2]
        return (
            bool(following)
            and (following[0][0] in ("number", "name") or following[0][1] == "(")
            and following[0][1] not in ("in", "to", "of")
        )

    def _call(self, name: str, place: str) -> Quantity:
        if name not in FUNCTIONS:
            raise ArithmeticProblem(f"there is no function {name[:40]!r} (at {place}); {_near(name, list(FUNCTIONS))}")
        self._expect("(")
        arguments = [self._sum()]
        while self._peek() == ",":
            self._at += 1
            arguments.append(self._sum())
        self._expect(")")
        return FUNCTIONS[name](arguments)

    def _named(self, name: str, place: str) -> Quantity:
        found = CONSTANTS.get(name) or UNITS.get(name)
        if found is None:
            raise ArithmeticProblem(
                f"{name[:40]!r} at {place} is neither a constant nor a unit; {_near(name, [*CONSTANTS, *UNITS])}"
            )
        return found

    def _calls(self) -> bool:
        following = self._tokens[self._at + 1 : self._at + 2]
        return bool(following) and following[0][1] == "(" and self._peek() in FUNCTIONS

    def _expect(self, token: str) -> None:
        place, found = self._place(), self._next()
        if found != token:
            raise ArithmeticProblem(f"{token!r} is expected at {place}" + (f", not {found!r}" if found else ""))

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _place(self) -> str:
        return f"character {self._tokens[self._at][2] + 1}" if self._at < len(self._tokens) else "the end"


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name[:40], known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"such as {', '.join(known[:8])}"
