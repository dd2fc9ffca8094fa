"""Reading an expression: a recursive descent that computes as it reads.

conversion  sum (("in" | "to") unit expression)?
sum         product (("+" | "-") product)*
product     signed (("*" | "/" | "//" | "%" | "of" | "per") signed)*        12% of 80
signed      ("-" | "+")* power
power       postfix (("**" | "^") signed)?                                  to the right
postfix     atom ("%" | "!")* (unit (("**" | "^") whole number)?)*          5 km, 3 kg m^2
atom        number | name "(" arguments ")" | constant | unit | "(" sum ")"
arguments   (sum | "[" arguments "]") ("," ...)*

A percent sign is a remainder where an operand follows, else a percentage. Before a sign it depends on a blank: 5% - 3
is a percentage, 5 % -3 a remainder.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from environments.tools.arithmetic.functions import CONSTANTS, FUNCTIONS
from environments.tools.arithmetic.quantity import NONE, ArithmeticProblem, Quantity, bounded, kind_of
from environments.tools.arithmetic.tokens import Token, tokens_of
from environments.tools.arithmetic.units import ANGLE, COMMON, OFFSETS, RADIAN, UNITS

MAX_CHARS = 2000
MAX_DEPTH = 50
MAX_WORK = 5000
"""In operations on numbers of up to a thousand bits; the time that one takes grows with the square of their size."""
CONVERSION = ("in", "to")
HUNDREDTH = Quantity(Fraction(1, 100))


@dataclass(frozen=True)
class Answer:
    """A result, and the unit that it was asked for in: the value is in that unit, else in base units."""

    quantity: Quantity
    unit: str = ""


def calculate(text: str) -> Answer:
    """The value of an expression. Raises: ArithmeticProblem, naming the place."""
    if len(text) > MAX_CHARS:
        raise ArithmeticProblem(f"the expression has {len(text)} characters, at most {MAX_CHARS} are read")
    return _Reader(tokens_of(text)).read()


class _Reader:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._work = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    @property
    def _following(self) -> Token:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def read(self) -> Answer:
        if self._token.kind == "end":
            raise ArithmeticProblem("the expression is empty")
        if any(token.text in OFFSETS for token in self._tokens):
            return self._temperature()
        answer = Answer(self._sum())
        if self._token.text in CONVERSION:
            answer = self._converted(answer.quantity)
        if self._token.kind != "end":
            raise ArithmeticProblem(self._unexpected())
        return answer

    def _unexpected(self) -> str:
        hint = ""
        if self._token.text == ",":
            hint = ": arguments are separated by commas, and thousands only as in 1,234,567"
        elif self._token.kind == "name" and self._token.text not in CONVERSION:
            hint = f": it is no unit; {_near(self._token.text, COMMON)}"
        elif self._token.kind in ("name", "number") or self._token.text == "(":
            hint = ": an operator is missing before it"
        return f"{self._token} is not expected there{hint}"

    def _temperature(self) -> Answer:
        """`20 degC in degF`, which is no multiplication."""
        start = self._token
        value = self._signed_number()
        source, word, target, end = (self._next() for _ in range(4))
        scales = {**OFFSETS, "K": (Fraction(1), Fraction(0))}
        if source.text not in scales or word.text not in CONVERSION or target.text not in scales or end.kind != "end":
            raise ArithmeticProblem("temperatures are only converted: '20 degC in degF', with degC, degF or K")
        (from_factor, from_offset), (to_factor, to_offset) = scales[source.text], scales[target.text]
        kelvin = value * from_factor + from_offset
        if kelvin < 0:
            raise ArithmeticProblem(f"{start} is below absolute zero")
        return Answer(bounded((kelvin - to_offset) / to_factor), target.text)

    def _signed_number(self) -> Fraction:
        sign = 1
        while self._token.text in ("+", "-"):
            sign *= -1 if self._next().text == "-" else 1
        token = self._next()
        if token.kind != "number":
            raise ArithmeticProblem("temperatures are only converted: '20 degC in degF', with degC, degF or K")
        return sign * bounded_number(token)

    def _converted(self, result: Quantity) -> Answer:
        word, start = self._next(), self._at
        if self._token.kind == "number":
            raise ArithmeticProblem(f"a unit is expected after {word}, not {self._token}")
        unit = self._sum()
        if result.dimension == NONE and unit.dimension == ANGLE:
            result = result.times(RADIAN)
        if unit.dimension != result.dimension:
            raise ArithmeticProblem(f"{kind_of(result)} cannot be converted to {kind_of(unit)} ({word})")
        return Answer(self._computed(word, lambda: result.over(unit)), _written(self._tokens[start : self._at]))

    def _computed(self, token: Token, compute: Callable[[], Quantity]) -> Quantity:
        """One operation: says where it failed, and ends an expression that costs too much."""
        try:
            result = compute()
        except ArithmeticProblem as problem:
            raise ArithmeticProblem(f"{problem} ({token})") from None
        self._work += 1 + (result.bits // 1000) ** 2
        if self._work > MAX_WORK:
            raise ArithmeticProblem("the expression takes too much work: too many operations on numbers of many digits")
        return result

    def _deeper(self, read: Callable[[], Quantity]) -> Quantity:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ArithmeticProblem(f"the expression is nested more than {MAX_DEPTH} deep ({self._token})")
        result = read()
        self._depth -= 1
        return result

    def _sum(self) -> Quantity:
        result = self._product()
        while self._token.text in ("+", "-"):
            sign, left = self._next(), result
            right = self._product()
            result = self._computed(sign, lambda: left.plus(right, 1 if sign.text == "+" else -1))  # noqa: B023
        return result

    def _product(self) -> Quantity:
        result = self._signed()
        while self._token.text in ("*", "/", "//", "%", "of", "per"):
            sign, left = self._next(), result
            right = self._signed()
            compute = {
                "*": left.times,
                "of": left.times,
                "/": left.over,
                "per": left.over,
                "//": left.floor_over,
                "%": left.modulo,
            }[sign.text]
            result = self._computed(sign, lambda: compute(right))  # noqa: B023
        return result

    def _signed(self) -> Quantity:
        minus = False
        while self._token.text in ("-", "+"):
            minus ^= self._next().text == "-"
        result = self._power()
        return result.negated() if minus else result

    def _power(self) -> Quantity:
        base = self._postfix()
        if self._token.text in ("**", "^"):
            sign = self._next()
            exponent = self._deeper(self._signed)
            return self._computed(sign, lambda: base.power(exponent))
        return base

    def _postfix(self) -> Quantity:
        number = self._token.kind == "number"
        result = self._atom()
        while self._token.text == "!" or (self._token.text == "%" and not self._operand_follows()):
            sign, of = self._next(), result
            compute = of.times if sign.text == "%" else lambda _: FUNCTIONS["factorial"]([of])  # noqa: B023
            result = self._computed(sign, lambda: compute(HUNDREDTH))  # noqa: B023
        if number and self._token.text == "in" and self._is_inch():
            self._at += 1
            result = result.times(UNITS["inch"])
        while self._token.text in UNITS and not self._calls():
            sign, of, unit = self._token, result, self._unit()
            result = self._computed(sign, lambda: of.times(unit))  # noqa: B023
        return result

    def _operand_follows(self) -> bool:
        following, before = self._following, self._tokens[self._at - 1]
        if following.text in ("of", "per", *CONVERSION):
            return False
        if following.text in ("+", "-"):  # 5% - 3, but 5 % -3
            return before.place + len(before.text) < self._token.place
        return following.kind in ("number", "name") or following.text in ("(", "[")

    def _is_inch(self) -> bool:
        """`in` behind a number is the unit, unless another one follows that the number is to be converted to."""
        return self._following.text in CONVERSION or self._following.kind in ("sign", "end")

    def _unit(self) -> Quantity:
        unit = UNITS[self._next().text]
        if self._token.text not in ("**", "^"):
            return unit
        sign = self._next()
        minus = self._token.text == "-"
        self._at += minus
        token = self._next()
        if token.kind != "number" or not token.text.isdigit():
            raise ArithmeticProblem(f"a whole number is expected as the power of a unit, not {token}")
        exponent = Quantity(-bounded_number(token) if minus else bounded_number(token))
        return self._computed(sign, lambda: unit.power(exponent))

    def _calls(self) -> bool:
        return self._following.text == "(" and self._token.text in FUNCTIONS

    def _atom(self) -> Quantity:
        token = self._next()
        if token.kind == "number":
            return Quantity(bounded_number(token))
        if token.kind == "name":
            return self._call(token) if self._token.text == "(" else self._named(token)
        if token.text == "(":
            result = self._deeper(self._sum)
            self._expect(")")
            return result
        raise ArithmeticProblem(f"a number, a name or '(' is expected, not {token}")

    def _call(self, name: Token) -> Quantity:
        function = FUNCTIONS.get(name.text)
        if function is None:
            raise ArithmeticProblem(f"there is no function {name}; {_near(name.text, list(FUNCTIONS))}")
        self._at += 1
        arguments = self._arguments(")")
        return self._computed(name, lambda: function(arguments))

    def _arguments(self, end: str) -> list[Quantity]:
        """Up to and with the closing bracket. A list in square brackets counts as its members."""
        found: list[Quantity] = []
        while self._token.text != end or found:
            if self._token.text == "[":
                self._at += 1
                found += self._arguments("]")
            else:
                found.append(self._deeper(self._sum))
            if self._token.text != ",":
                break
            self._at += 1
        self._expect(end)
        return found

    def _named(self, name: Token) -> Quantity:
        if name.text == "in":
            return UNITS["inch"]
        found = CONSTANTS.get(name.text) or UNITS.get(name.text)
        if found is None and name.text in FUNCTIONS:
            raise ArithmeticProblem(f"'(' is expected after {name}")
        if found is None:
            near = _near(name.text, [*CONSTANTS, *COMMON])
            raise ArithmeticProblem(f"{name} is neither a constant nor a unit; {near}")
        return found

    def _expect(self, text: str) -> None:
        token = self._next()
        if token.text != text:
            raise ArithmeticProblem(f"{text!r} is expected, not {token}")

    def _next(self) -> Token:
        token = self._token
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token


def bounded_number(token: Token) -> Fraction:
    """Raises: ArithmeticProblem for one of too many digits."""
    value = bounded(Fraction(token.text.replace(",", ""))).value
    assert isinstance(value, Fraction)
    return value


def _written(tokens: Sequence[Token]) -> str:
    """A unit as it was written, with blanks between names."""
    text = ""
    for token in tokens:
        apart = text[-1:].isalnum() and token.kind in ("name", "number")
        text += f" {token.text}" if apart else token.text
    return text.removeprefix("(").removesuffix(")") if text.count("(") == 1 and text.startswith("(") else text


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name[:40], known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"such as {', '.join(known[:8])}"
