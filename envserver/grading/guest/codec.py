"""How values travel between a candidate, the server and a harness: JSON in which every type keeps its name.

    None, True, False, str     as JSON
    int                        as JSON up to 64 bits, else ["i", hexadecimal]
    float                      ["f", float.hex(), "inf", "-inf" or "nan"]
    complex                    ["c", real, imaginary], each as for float
    bytes, bytearray           ["b", hexadecimal], ["B", hexadecimal]
    list, tuple                ["l", [...]], ["t", [...]]
    set, frozenset             ["s", [...]], ["z", [...]]
    dict                       ["d", [[key, value], ...]] in its order; keys of any hashable type above
    range                      ["r", start, stop, step]

Types are matched exactly: a subclass, whose methods could lie to a comparison, is refused like a generator, a callable,
a cycle or any other object. Sharing is not kept: a list that occurs twice arrives as two. Depth, and the size of sets
and dictionaries (colliding keys cost quadratic time), are capped here; whoever sends caps the bytes.

One file for both ends: it runs in sandboxes too, imports little and needs Python 3.8.
"""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 800_000
MAX_DEPTH = 64
MAX_KEYS = 10_000
MAX_INT_DIGITS = 100_000
MAX_TEXT = 400

SEQUENCES: dict[str, Any] = {"l": list, "t": tuple, "s": set, "z": frozenset}
CONTAINERS = frozenset("ltszd")
TAGS: dict[Any, str] = {kind: tag for tag, kind in SEQUENCES.items()}
EXCEPTIONS = frozenset(
    [
        "ArithmeticError",
        "AssertionError",
        "AttributeError",
        "BufferError",
        "EOFError",
        "Exception",
        "FileExistsError",
        "FileNotFoundError",
        "FloatingPointError",
        "ImportError",
        "IndentationError",
        "IndexError",
        "InterruptedError",
        "IsADirectoryError",
        "KeyError",
        "LookupError",
        "MemoryError",
        "ModuleNotFoundError",
        "NameError",
        "NotADirectoryError",
        "NotImplementedError",
        "OSError",
        "OverflowError",
        "PermissionError",
        "RecursionError",
        "ReferenceError",
        "RuntimeError",
        "RuntimeWarning",
        "StopAsyncIteration",
        "StopIteration",
        "SyntaxError",
        "SystemError",
        "TabError",
        "TimeoutError",
        "TypeError",
        "UnboundLocalError",
        "UnicodeDecodeError",
        "UnicodeEncodeError",
        "UnicodeError",
        "UnicodeTranslateError",
        "UserWarning",
        "ValueError",
        "Warning",
        "ZeroDivisionError",
    ]
)
"""What a candidate may raise across the border; others arrive as the nearest of their bases here."""


class Refused(ValueError):
    """The value cannot travel; the message says why."""


def encode(value: Any) -> Any:
    """The JSON tree that stands for `value`. Raises: Refused."""
    return _encode(value, 0, set())


def _encode(value: Any, depth: int, open_ids: set[int]) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return _encode_int(value)
    if kind is float:
        return ["f", _float_text(value)]
    if kind is complex:
        return ["c", _float_text(value.real), _float_text(value.imag)]
    if kind is bytes or kind is bytearray:
        return ["b" if kind is bytes else "B", value.hex()]
    if kind is range:
        return ["r", *(_encode_int(number) for number in (value.start, value.stop, value.step))]
    if kind is dict or kind in TAGS:
        return _encode_container(value, depth, open_ids)
    raise Refused(f"{kind.__name__[:100]} objects cannot be passed, only plain builtin values")


def _encode_container(value: Any, depth: int, open_ids: set[int]) -> Any:
    if id(value) in open_ids:
        raise Refused("a value that contains itself cannot be passed")
    if depth >= MAX_DEPTH:
        raise Refused(f"values nested deeper than {MAX_DEPTH} cannot be passed")
    if type(value) in (dict, set, frozenset) and len(value) > MAX_KEYS:
        raise Refused(f"sets and dictionaries of more than {MAX_KEYS} entries cannot be passed")
    open_ids.add(id(value))
    if type(value) is dict:
        pairs = value.items()
        tree = ["d", [[_encode(k, depth + 1, open_ids), _encode(v, depth + 1, open_ids)] for k, v in pairs]]
    else:
        tree = [TAGS[type(value)], [_encode(item, depth + 1, open_ids) for item in value]]
    open_ids.remove(id(value))
    return tree


def _encode_int(value: int) -> Any:
    if -(2**63) <= value < 2**63:
        return value
    text = format(value, "x")
    if len(text) > MAX_INT_DIGITS:
        raise Refused(f"integers of more than {MAX_INT_DIGITS} hexadecimal digits cannot be passed")
    return ["i", text]


def _float_text(value: float) -> str:
    return value.hex()  # "inf", "-inf" and "nan" too


def decode(tree: Any) -> Any:
    """The value that a JSON tree stands for: plain builtins, whatever was sent. Raises: Refused."""
    return _decode(tree, 0)


def _decode(tree: Any, depth: int) -> Any:
    kind = type(tree)
    if tree is None or kind is bool or kind is str:
        return tree
    if kind is int:
        return _small(tree)
    if kind is not list or not tree or type(tree[0]) is not str:
        raise Refused("not a value")
    tag, parts = tree[0], tree[1:]
    if len(parts) != {"c": 2, "r": 3}.get(tag, 1):
        raise Refused("wrong number of parts")
    if tag in CONTAINERS:
        return _decode_container(tag, parts[0], depth)
    return _decode_scalar(tag, parts)


def check(tree: Any) -> None:
    """Verify that `decode` would accept the tree, without building sets or dictionaries from it.

    Hostile keys can make building one slow; the server checks what it relays and builds nothing. Raises: Refused.
    """
    _check(tree, 0, False)


def _check(tree: Any, depth: int, hashable: bool) -> None:
    if type(tree) is not list or not tree or type(tree[0]) is not str or tree[0] not in CONTAINERS:
        if hashable and type(tree) is list and tree and tree[0] == "B":
            raise Refused("a key or element is not hashable")
        _decode(tree, depth)
        return
    tag = tree[0]
    if len(tree) != 2 or type(tree[1]) is not list:
        raise Refused("not a list of items")
    if depth >= MAX_DEPTH:
        raise Refused("nested too deep")
    if hashable and tag in "lsd":
        raise Refused("a key or element is not hashable")
    if tag in "szd" and len(tree[1]) > MAX_KEYS:
        raise Refused("too many entries")
    for item in tree[1]:
        if tag == "d":
            key, value = _pair(item)
            _check(key, depth + 1, True)
            _check(value, depth + 1, False)
        else:
            _check(item, depth + 1, hashable or tag in "sz")


def _decode_scalar(tag: str, parts: list[Any]) -> Any:
    if tag == "r":
        if parts[2] == 0:
            raise Refused("a range's step is zero")
        return range(*(_integer(part) for part in parts))
    if tag == "i":
        return _big(parts)
    for part in parts:
        if type(part) is not str:
            raise Refused("a part is no text")
    if tag == "f":
        return _float(parts[0])
    if tag == "c":
        return complex(_float(parts[0]), _float(parts[1]))
    if tag in ("b", "B"):
        return _bytes(parts[0]) if tag == "b" else bytearray(_bytes(parts[0]))
    raise Refused("unknown tag")


def _decode_container(tag: str, items: Any, depth: int) -> Any:
    if type(items) is not list:
        raise Refused("not a list of items")
    if depth >= MAX_DEPTH:
        raise Refused("nested too deep")
    if tag in "lt":
        return SEQUENCES[tag]([_decode(item, depth + 1) for item in items])
    if len(items) > MAX_KEYS:
        raise Refused("too many entries")
    try:
        if tag == "d":
            pairs = [_pair(item) for item in items]
            return {_decode(k, depth + 1): _decode(v, depth + 1) for k, v in pairs}
        return SEQUENCES[tag]([_decode(item, depth + 1) for item in items])
    except TypeError:
        raise Refused("a key or element is not hashable") from None


def _pair(item: Any) -> list[Any]:
    if type(item) is not list or len(item) != 2:
        raise Refused("not a pair of key and value")
    return item


def _small(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise Refused("an integer of more than 64 bits must be tagged")
    return value


def _integer(part: Any) -> int:
    if type(part) is int:
        return _small(part)
    if type(part) is list and len(part) == 2 and part[0] == "i":
        return _big(part[1:])
    raise Refused("not an integer")


def _big(parts: list[Any]) -> int:
    text = parts[0]
    if type(text) is not str or len(text) > MAX_INT_DIGITS + 1:
        raise Refused("not an integer's digits")
    digits = text[1:] if text.startswith("-") else text
    if not digits or digits.strip("0123456789abcdef"):
        raise Refused("not hexadecimal digits")
    return int(text, 16)


def _float(text: str) -> float:
    if text in ("inf", "-inf", "nan"):
        return float(text)
    if len(text) > 40 or text.lower().lstrip("-")[:2] != "0x":
        raise Refused("not a float")
    try:
        return float.fromhex(text)
    except (ValueError, OverflowError):
        raise Refused("not a float") from None


def _bytes(text: str) -> bytes:
    if text.strip("0123456789abcdef") or len(text) % 2:
        raise Refused("not hexadecimal digits")
    return bytes.fromhex(text)


def dump(tree: Any) -> bytes:
    """A frame as bytes. Raises: Refused when it is too long."""
    data = json.dumps(tree, separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(data) > MAX_BYTES:
        raise Refused(f"values of more than {MAX_BYTES} bytes cannot be passed")
    return data


def load(data: bytes) -> Any:
    """A frame from hostile bytes; its values are not checked yet. Raises: Refused."""
    if len(data) > MAX_BYTES:
        raise Refused("too long")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Refused("not JSON") from None
