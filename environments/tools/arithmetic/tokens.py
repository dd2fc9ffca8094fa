"""What an expression is written in: numbers, names and signs, each with its place for what is said of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from environments.tools.arithmetic.quantity import ArithmeticProblem

MAX_NUMBER_CHARS = 400

_EXPONENT = r"(?:[eE][-+]?\d{1,4}(?!\w))?"
_REST = r"|(?P<name>[A-Za-zµΩÅ_]\w*)|(?P<sign>\*\*|//|[-+*/%^(),\[\]!])|(?P<quote>[\"'])|(?P<wrong>\S))"
_TOKEN = re.compile(rf"\s*(?:(?P<number>\d+(?:\.\d*)?{_EXPONENT}|\.\d+{_EXPONENT})" + _REST)
_GROUPED = re.compile(r"\s*(?P<number>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?)")
_ARGUMENTS = re.compile(r"[^()\[\]]*")
_GROUP = re.compile(r"\d,\d{3}(?!\d)")
_LOOKALIKES = str.maketrans(
    {
        "\u00d7": "*", "\u00b7": "*", "\u22c5": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-", "\u00b2": "^2",
        "\u00b3": "^3", "\u03c0": " pi ", "\u00b0": " deg", "\u03bc": "\u00b5", "\u2126": "\u03a9", "\u212b": "\u00c5",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Token:
    """`kind` is number, name or sign, or end for what comes after the last."""

    kind: str
    text: str
    place: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"{self.text[:40]!r} at character {self.place + 1}"


def tokens_of(text: str) -> list[Token]:
    """What is quoted is as if it stood in brackets, `convert(5 km, mi)` is `5 km in mi`. Raises: ArithmeticProblem."""
    text = text.translate(_LOOKALIKES)
    return [*_bracketed(_conversion(list(_cut(text)))), Token("end", "", len(text))]


def _cut(text: str) -> Iterator[Token]:
    """Commas group the digits of a number, but not among arguments, where they separate."""
    calls, last, place = [False], "", 0
    while match := (None if calls[-1] else _GROUPED.match(text, place)) or _TOKEN.match(text, place):
        kind, place = match.lastgroup or "", match.end()
        token = Token(kind, match[kind], match.start(kind))
        if kind == "wrong":
            raise ArithmeticProblem(f"{token} is no part of an expression")
        if kind == "number" and len(token.text) > MAX_NUMBER_CHARS:
            raise ArithmeticProblem(f"a number has at most {MAX_NUMBER_CHARS} characters")
        if token.text in ("(", "["):
            calls.append(last == "name" or token.text == "[")
            if calls[-1]:
                _require_plain_commas(text, place)
        elif token.text in (")", "]") and len(calls) > 1:
            calls.pop()
        last = kind
        yield token


def _require_plain_commas(text: str, start: int) -> None:
    """`sum(1,234, 5)` could be two numbers or three. Looks at what follows up to the next bracket."""
    part = _ARGUMENTS.match(text, start)
    assert part
    if _GROUP.search(part[0]) and ", " in part[0]:
        raise ArithmeticProblem("commas separate arguments: write 1234 for 1,234, or no blank behind any comma")


def _conversion(tokens: list[Token]) -> list[Token]:
    if [token.text for token in tokens[:2]] != ["convert", "("] or tokens[-1].text != ")":
        return tokens
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens[2:-1]:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
        if token.text == "," and depth == 0:
            parts.append([])
        elif token.kind != "quote":
            parts[-1].append(token)
    if len(parts) not in (2, 3):
        raise ArithmeticProblem("convert takes what is converted and a unit: convert(5 km, mi)")
    return [*[token for part in parts[:-1] for token in part], Token("name", "in", tokens[1].place), *parts[-1]]


def _bracketed(tokens: Sequence[Token]) -> list[Token]:
    found, opened = [], False
    for token in tokens:
        if token.kind == "quote":
            opened = not opened
            token = replace(token, kind="sign", text="(" if opened else ")")
        found.append(token)
    return found
