"""Values that are written as Java or JavaScript text, in the forms that the data's answers have.

A policy gives such an argument as a string, `new int[]{1, 2}` say. What is no literal (a variable, an expression) stays
the text that it is. Reading takes time linear in the text for each level of brackets, and levels are capped.
"""

from __future__ import annotations

import re
from typing import Any

MAX_DEPTH = 8
LISTS = ("Array", "ArrayList", "array", "Set", "Queue", "Stack")
MAPS = ("HashMap", "Hashtable", "dict")

_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "\"'`"
_INTEGER = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SUFFIXES = {"long": "lL", "float": "fF", "Bigint": "n"}
"""What a number of this type ends with; JavaScript's float has none."""


def read(text: str, language: str, kind: str, items: str | None = None) -> Any:
    """The value of `text` for a parameter of the type `kind`; the text itself where it is none."""
    return _read(text.strip(), language, kind, items, 0)


def _read(text: str, language: str, kind: str | None, items: str | None, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return text
    if kind in LISTS:
        parts = _elements(text, language)
        return text if parts is None else [_read(part, language, items, None, depth + 1) for part in parts]
    if kind in MAPS:
        pairs = _pairs(text, language)
        if pairs is None:
            return text
        return {_unquoted(key): _read(value, language, None, None, depth + 1) for key, value in pairs}
    if kind in ("String", "char"):
        return _unquoted(text)
    if kind in (None, "any"):
        return text if kind == "any" and depth == 0 else _guess(text, language, depth)
    return _scalar(text, language, kind)


def _scalar(text: str, language: str, kind: str) -> Any:
    if kind in ("boolean", "Boolean"):
        return {"true": True, "false": False}.get(text, text)
    suffix = "" if language == "javascript" and kind == "float" else _SUFFIXES.get(kind, "")
    if suffix and text[-1:] not in suffix:
        return text
    digits = text[:-1] if suffix else text
    if kind in ("float", "double"):
        return float(digits) if _DECIMAL.fullmatch(digits) else text
    return int(digits) if _INTEGER.fullmatch(digits) else text


def _guess(text: str, language: str, depth: int) -> Any:
    """Of an element whose type nobody says."""
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text.rstrip("lLn")):
        return int(text.rstrip("lLn"))
    if _DECIMAL.fullmatch(text.rstrip("fF")):
        return float(text.rstrip("fF"))
    for kind in (LISTS[0], MAPS[0]):
        if not isinstance(value := _read(text, language, kind, None, depth + 1), str):
            return value
    return _unquoted(text)


def _elements(text: str, language: str) -> list[str] | None:
    if language == "javascript":
        inner = _inside(text, "[", "]")
        return _split(inner) if inner is not None else _call(text, "new Array(")
    if not text.startswith(("new ", "Arrays.asList(", "List.of(")):
        return None
    head, brace, body = text.partition("{")
    if brace and head.rstrip().endswith("]") and body.endswith("}"):
        return _split(body[:-1])
    for opening in ("Arrays.asList(", "List.of("):
        at = text.find(opening)
        if at >= 0:
            return _call(text[at:].rstrip().removesuffix("))") + ")" if at else text, opening)
    if "List<" not in head:
        return None
    return _flat(_statements(text, "add(")) if brace else []


def _pairs(text: str, language: str) -> list[tuple[str, str]] | None:
    if language == "javascript":
        inner = _inside(text, "{", "}")
        if inner is None:
            return None
        found = [_split(member, ":") for member in _split(inner)]
        return [(member[0], ":".join(member[1:])) for member in found]
    if not text.startswith("new ") or "Map<" not in text.partition("{")[0]:
        return None
    members = _statements(text, "put(") if "{" in text else []
    return None if members is None else [(each[0], each[-1]) for each in members]


def _flat(members: list[list[str]] | None) -> list[str] | None:
    return None if members is None else [each[0] for each in members]


def _statements(text: str, opening: str) -> list[list[str]] | None:
    """The arguments of each `add(...)` or `put(...)` between double braces; None if there is anything else."""
    outer = _inside(text.partition("{")[2].strip(), "{", "}")
    inner = None if outer is None else outer.strip().removesuffix("}")
    calls = [] if inner is None else [_call(statement, opening) for statement in _split(inner, ";")]
    return None if inner is None or inner == outer else [each for each in calls if each]


def _call(text: str, opening: str) -> list[str] | None:
    inner = _inside(text.strip(), opening, ")")
    return None if inner is None else _split(inner)


def _inside(text: str, opening: str, closing: str) -> str | None:
    if text.startswith(opening) and text.endswith(closing) and len(text) >= len(opening) + len(closing):
        return text[len(opening) : -len(closing)]
    return None


def _split(text: str, separator: str = ",") -> list[str]:
    """The parts between separators that stand in no bracket and no quotes; none of nothing."""
    parts, begin, depth, quote = [], 0, 0, ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        elif character == separator and depth == 0:
            parts.append(text[begin:at].strip())
            begin = at + 1
    last = text[begin:].strip()
    return [*parts, last] if last or (parts and separator == ":") else parts


def _unquoted(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in _QUOTES
    return text[1:-1] if quoted else text
