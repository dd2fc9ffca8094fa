"""JSON as policies write it: strict where readers differ about the meaning, forgiving where nobody could.

Refused: keys that appear twice (which one counts differs from reader to reader), NaN and infinities, also as `1e999`,
integers beyond 64 bits (no MessagePack carries them), lone surrogates (no UTF-8 does), and nesting beyond `MAX_DEPTH`.
Forgiven, and reported: line breaks and tabs inside of strings.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from environments.protocols.hints import quoted

MAX_DEPTH = 64
MAX_SIZE = 2_000_000
_WHITESPACE = re.compile(r"[ \t\n\r]*+")


class JsonError(ValueError):
    """The text is no JSON, or JSON that is not taken; the message is fit for the policy."""


def _no_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise JsonError(f"the key {quoted(twice)} appears twice in one object")
    return members


def _no_constant(name: str) -> Any:
    raise JsonError(f"{name} is no JSON number")


_STRICT = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
_LOOSE = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant, strict=False)


def decode_at(text: str, start: int) -> tuple[Any, int, str | None]:
    """The value that begins at `start`, where it ends, and what had to be forgiven. Raises: JsonError."""
    start = skip_whitespace(text, start)
    forgiven = None
    try:
        try:
            value, end = _STRICT.raw_decode(text, start)
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Invalid control character"):
                raise
            value, end = _LOOSE.raw_decode(text, start)
            forgiven = r"a string holds a line break or tab as it is: write \n or \t"
    except json.JSONDecodeError as error:
        raise JsonError(_explain(error, text, start)) from None
    except RecursionError:
        raise JsonError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except JsonError:
        raise
    except ValueError:  # digits beyond what Python converts
        raise JsonError("an integer is beyond 64 bits") from None
    check_value(value, max(MAX_SIZE, len(text)))
    return value, end, forgiven


def decode(text: str) -> tuple[Any, str | None]:
    """The value that is all of the text, and what had to be forgiven. Raises: JsonError."""
    value, end, forgiven = decode_at(text, 0)
    rest = skip_whitespace(text, end)
    if rest < len(text):
        raise JsonError(f"after the value, at character {rest}, comes {quoted(text[rest : rest + 20])}")
    return value, forgiven


def encode(value: Any) -> str:
    """As policies write it: on one line, with every letter as it is."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def skip_whitespace(text: str, start: int) -> int:
    found = _WHITESPACE.match(text, start)
    return found.end() if found else start


def check_value(value: Any, max_size: int = MAX_SIZE) -> None:
    """Raises: JsonError for a value that is not taken; its size are its values and the characters of its texts."""
    level, depth, size = [value], 0, 0
    while level:
        depth += 1
        size += sum(len(each) + 1 if isinstance(each, str | dict | list) else 1 for each in level)
        if depth > MAX_DEPTH:
            raise JsonError(f"it is nested deeper than {MAX_DEPTH} levels")
        if size > max_size:
            raise JsonError(f"it is larger than {max_size} characters and values")
        level = [inner for each in level for inner in _inner_values(each)]


def _inner_values(value: Any) -> Sequence[Any]:
    if isinstance(value, str):
        check_unicode(value)
    elif isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise JsonError(f"a key is {quoted(key)}: keys are strings")
            check_unicode(key)
        return list(value.values())
    elif isinstance(value, list):
        return value
    else:
        _check_plain(value)
    return ()


def _check_plain(value: Any) -> None:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise JsonError("an integer is beyond 64 bits")
    elif not isinstance(value, float):
        raise JsonError(f"{quoted(value)} is no JSON value")
    elif not math.isfinite(value):
        raise JsonError("a number is too large, or not a number")


def check_unicode(text: str) -> None:
    """Raises: JsonError for text that UTF-8 cannot carry."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise JsonError(f"a lone surrogate at character {error.start} is no valid Unicode") from None


def _explain(error: json.JSONDecodeError, text: str, start: int) -> str:
    place = min(error.pos, len(text))
    if place >= len(text) or not text[place:].strip():
        return f"the JSON ends too early: {error.msg[0].lower()}{error.msg[1:]}"
    near = quoted(text[max(start, place - 10) : place + 20])
    hint = "; strings take double quotes" if text[place] == "'" else ""
    return f"{error.msg[0].lower()}{error.msg[1:]} at character {place - start} of the JSON, at {near}{hint}"
