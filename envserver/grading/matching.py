"""Whether an answer in words is the right one: numbers, texts, sets and lists, by rules that take linear time.

An answer ends with what it says: the last number, or what stands on the last line. So a policy that lists every
candidate is right only if it would have been right with the last one alone. Citations such as `observation[2]` are no
part of it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

MAX_LINE = 400
"""Characters of a last line that can be an answer; a longer one is an essay."""
MAX_EXTRA_WORDS = 12
"""Around a text that is looked for."""
MAX_DIGITS = 60

CITATION = re.compile(r"\[?observation\[(\d{1,6})\]\]?", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![\w.,])[-+\u2212]?(?:\d{1,3}(?:[, \u00a0\u202f]\d{3})+|\d+)?(?:\.\d+)?(?<=\d)(?:[eE][-+]?\d{1,3})?"
    r"(?![\d_]|[.,]\d|(?:st|nd|rd|th)\b)"
)
_WORD = re.compile(r"\w+", re.UNICODE)
_PREFIX = re.compile(r"^\W*(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*[:=]?\s*", re.IGNORECASE)
_ARTICLES = frozenset({"a", "an", "the"})
_SEPARATORS = re.compile(r"\s*(?:,|;|\n|\band\b|->|\u2192|>)\s*", re.IGNORECASE)


def matches(answer: str, right: Mapping[str, Any]) -> bool:
    """Whether `answer` is right by `right`, a rule told apart by `kind`. Raises: ValueError for a rule that is none.

    {"kind": "number", "value": 3.7, "relative_tolerance": 0.01, "absolute_tolerance": 0}
    {"kind": "text", "accepted": ["Lyon"]}
    {"kind": "set", "values": ["Lyon", "Nice"]}         in any order
    {"kind": "list", "values": ["Lyon", "Nice"]}        in this order
    """
    check = _KINDS.get(right.get("kind", ""))
    if check is None:
        raise ValueError(f"an answer's kind is {right.get('kind')!r}, must be one of {', '.join(_KINDS)}")
    return check(CITATION.sub(" ", answer).strip(), right)


def _is_number(answer: str, right: Mapping[str, Any]) -> bool:
    said, value = last_number(answer), Fraction(str(right["value"]))
    if said is None:
        return False
    allowed = max(
        abs(value) * Fraction(str(right.get("relative_tolerance", 0))),
        Fraction(str(right.get("absolute_tolerance", 0))),
    )
    return abs(said - value) <= allowed


def last_number(text: str) -> Fraction | None:
    """The last number in a text; thousands may be told apart by commas or spaces, `km2` holds none."""
    found = deque((each[0] for each in _NUMBER.finditer(text[-MAX_LINE * 10 :])), maxlen=1)
    if not found or len(found[0]) > MAX_DIGITS:
        return None
    plain = re.sub(r"[, \u00a0\u202f]", "", found[0]).replace("\u2212", "-")
    number = Fraction(plain)
    return number if math.isfinite(float(plain)) else None


def _is_text(answer: str, right: Mapping[str, Any]) -> bool:
    words = _words(_last_line(answer))
    return any(_says(words, _words(accepted)) for accepted in right["accepted"])


def _says(words: list[str], wanted: list[str]) -> bool:
    """Whether the wanted words stand in a row, with few around them."""
    if not wanted or len(words) > len(wanted) + MAX_EXTRA_WORDS:
        return False
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))


def _is_set(answer: str, right: Mapping[str, Any]) -> bool:
    return sorted(_items(answer)) == sorted(_plain(str(value)) for value in right["values"])


def _is_list(answer: str, right: Mapping[str, Any]) -> bool:
    return _items(answer) == [_plain(str(value)) for value in right["values"]]


def _items(answer: str) -> list[str]:
    line = _last_line(answer)
    _, colon, behind = line.rpartition(":")
    items = _SEPARATORS.split(behind if colon else line)
    return [plain for item in items if (plain := _plain(item))]


def _last_line(answer: str) -> str:
    lines = [line for line in answer.splitlines() if line.strip()]
    line = lines[-1].strip() if lines else ""
    return _PREFIX.sub("", line) if len(line) <= MAX_LINE else ""


def _plain(text: str) -> str:
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    """Lower case, without accents, articles and punctuation."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return [word for word in _WORD.findall(bare) if word not in _ARTICLES]


_KINDS: Mapping[str, Callable[[str, Mapping[str, Any]], bool]] = {
    "number": _is_number,
    "text": _is_text,
    "set": _is_set,
    "list": _is_list,
}
