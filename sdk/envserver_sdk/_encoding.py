"""What is sent, as JSON or MessagePack: refused here where it is neither, since a server could not say whose it was."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from envserver_sdk.errors import NotJson

_SHOWN_CHARS = 100
_PACKED_INTS = range(-(1 << 63), 1 << 64)
_TOO_LARGE = "an integer beyond 64 bits, which MessagePack has no room for; a client without `binary` sends it"


def encode(value: Any) -> bytes:
    """The value as JSON; scalars of NumPy and the like become numbers where that is exact. Raises: NotJson."""
    try:
        encoded = to_json(value, fallback=_plain)
        if b"NaN" in encoded or b"Infinity" in encoded:
            from_json(encoded, allow_inf_nan=False)  # they may stand in a text
    except (ValueError, TypeError, RecursionError) as error:
        raise NotJson(_first_fault(value) or f"this is no JSON: {error}") from None
    return encoded


def call_frame(call_id: int, method: str, params: Mapping[str, Any], *, binary: bool) -> str | bytes:
    """One call, as JSON text or as MessagePack of the same meaning. Raises: NotJson."""
    encoded = encode(params)
    if not binary:
        return f'{{"id":{call_id},"method":"{method}","params":{encoded.decode()}}}'
    import msgpack

    try:
        frame: bytes = msgpack.packb({"id": call_id, "method": method, "params": from_json(encoded)})
    except (OverflowError, ValueError) as error:
        raise NotJson(_first_fault(params, packed=True) or f"this is no MessagePack: {error}") from None
    return frame


def _plain(value: Any) -> Any:
    """Raises: TypeError for what is no single number or text."""
    item = _item(value)
    if item is value:
        raise TypeError(f"{type(value).__name__} is no JSON value")
    return item


def _item(value: Any) -> Any:
    item = value.item() if getattr(value, "shape", None) == () else None
    return item if isinstance(item, bool | int | float | str) else value


def _first_fault(value: Any, *, packed: bool = False) -> str | None:
    try:
        for path, leaf in _leaves(value, ""):
            if fault := _fault(_item(leaf), packed):
                return f"{_shown(path) or 'the value'} is {fault}"
    except RecursionError:
        return "the value is nested too deep, or holds itself"
    return None


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Members and their names, under where they stand."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield f"a name in {path}" if path else "a name", name
            yield from _leaves(member, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{number}]")
    else:
        yield path, value


def _fault(leaf: Any, packed: bool) -> str | None:
    """What it is that cannot be sent."""
    if isinstance(leaf, float) and not math.isfinite(leaf):
        return f"{float(leaf)}, which is no JSON number"
    if packed and isinstance(leaf, int) and int(leaf) not in _PACKED_INTS:
        return _TOO_LARGE
    try:
        to_json(leaf)
    except (ValueError, TypeError, RecursionError):
        if isinstance(leaf, str):
            return "a text with half of a surrogate pair, which stands for no character"
        hint = "; `.tolist()` makes a list of it" if hasattr(leaf, "tolist") else ""
        return f"of type {type(leaf).__name__}, which is no JSON value{hint}"
    return None


def _shown(path: str) -> str:
    shown = path if len(path) <= _SHOWN_CHARS else f"{path[:_SHOWN_CHARS]}…"
    return shown.encode(errors="backslashreplace").decode()
