"""Values as strict JSON and back, without losing their types: what `to_jsonable` of the spaces writes.

Plain JSON stands for itself. What JSON has no word for becomes an object with the one reserved member `$type`:

    b"\\0"              {"$type": "bytes", "base64": "AA=="}
    (1, 2)             {"$type": "tuple", "items": [1, 2]}
    {1: "a"}           {"$type": "dict", "items": [[1, "a"]]}
    float("inf")       {"$type": "float", "value": "inf"}
    2**64              {"$type": "int", "hex": "0x10000000000000000"}
    "\\ud800"           {"$type": "str", "base64": ...}                          UTF-8 that lets surrogates pass
    np.zeros(2)        {"$type": "array", "dtype": "<f8", "shape": [2], "base64": ...}
    np.float32(1)      {"$type": "scalar", "dtype": "<f4", "base64": ...}
    GraphInstance(...) {"$type": "graph", "items": [nodes, edges, edge_links]}

A dictionary with a key that is no string, or with a member `$type` of its own, is written as its items, so every value
has one reading. Integers that a double cannot hold are tagged, because other readers of JSON would round them.

This file is also sent into sandboxes, which have Gymnasium and nothing of ours: it imports nothing else.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import GraphInstance

TAG = "$type"
MAX_DEPTH = 200
"""Of nesting; it also ends a value that contains itself."""
MAX_EXACT_INT = 2**53 - 1
"""The largest n such that a double holds every integer up to it."""


def encode(value: Any) -> Any:
    """The value as strict JSON: no NaN, no lone surrogate, no integer beyond `MAX_EXACT_INT`.

    Raises: TypeError for a type that could not come back as itself (also a subclass, such as an enum's member);
    ValueError past `MAX_DEPTH`.
    """
    return _encode(value, 0)


def decode(document: Any) -> Any:
    """The value that `encode` was given. Raises: ValueError when the document is not of its making."""
    try:
        return _decode(document)
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ValueError(f"not a document of this codec: {error!r}") from error


def dumps(value: Any) -> str:
    """`encode`, as text."""
    return json.dumps(encode(value), allow_nan=False, ensure_ascii=False)


def loads(text: str) -> Any:
    """`decode` of a text. Raises: ValueError."""
    return decode(json.loads(text))


def _encode(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"the value nests deeper than {MAX_DEPTH}")
    if isinstance(value, np.generic):
        return _encode_scalar(value, depth)
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise TypeError(
            f"{type(value).__name__} has no exact JSON; pass one of {', '.join(t.__name__ for t in _WRITERS)}"
        )
    return writer(value, depth + 1)


def _encode_int(value: int, _: int) -> Any:
    return value if abs(value) <= MAX_EXACT_INT else {TAG: "int", "hex": hex(value)}


def _encode_float(value: float, _: int) -> Any:
    return value if math.isfinite(value) else {TAG: "float", "value": repr(value)}


def _encode_str(value: str, _: int) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return {TAG: "str", "base64": _text(value.encode("utf-8", "surrogatepass"))}
    return value


def _encode_list(value: list[Any], depth: int) -> Any:
    return [_encode(item, depth) for item in value]


def _encode_dict(value: dict[Any, Any], depth: int) -> Any:
    if TAG not in value and all(type(key) is str and type(_encode_str(key, depth)) is str for key in value):
        return {key: _encode(item, depth) for key, item in value.items()}
    return {TAG: "dict", "items": [[_encode(key, depth), _encode(item, depth)] for key, item in value.items()]}


def _encode_array(value: np.ndarray[Any, Any], depth: int) -> Any:
    document = {TAG: "array", "dtype": _dtype_name(value.dtype), "shape": list(value.shape)}
    if value.dtype.hasobject:
        return {**document, "items": [_encode(item, depth) for item in value.flat]}
    return {**document, "base64": _text(value.tobytes())}


def _encode_scalar(value: np.generic, depth: int) -> Any:
    if isinstance(value, np.str_ | np.bytes_):  # as an array's bytes they would lose trailing NULs
        plain = str(value) if isinstance(value, np.str_) else bytes(value)
        return {TAG: "scalar", "dtype": value.dtype.kind, "value": _encode(plain, depth + 1)}
    return {TAG: "scalar", "dtype": _dtype_name(value.dtype), "base64": _text(value.tobytes())}


def _dtype_name(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "V":
        raise TypeError(f"dtype {dtype} is structured or void; pass its fields as arrays of their own")
    return dtype.str


_WRITERS: Mapping[type, Callable[[Any, int], Any]] = {
    type(None): lambda value, _: value,
    bool: lambda value, _: value,
    int: _encode_int,
    float: _encode_float,
    str: _encode_str,
    bytes: lambda value, _: {TAG: "bytes", "base64": _text(value)},
    list: _encode_list,
    tuple: lambda value, depth: {TAG: "tuple", "items": _encode_list(value, depth)},
    dict: _encode_dict,
    np.ndarray: _encode_array,
    GraphInstance: lambda value, depth: {TAG: "graph", "items": _encode_list(list(value), depth)},
}


def _decode(document: Any) -> Any:
    if isinstance(document, list):
        return [_decode(item) for item in document]
    if not isinstance(document, dict):
        return document
    if TAG not in document:
        return {key: _decode(item) for key, item in document.items()}
    reader = _READERS.get(document[TAG])
    if reader is None:
        raise ValueError(f"{TAG} is {document[TAG]!r}, must be one of {', '.join(_READERS)}")
    return reader(document)


def _decode_array(document: dict[str, Any]) -> np.ndarray[Any, Any]:
    dtype, shape = np.dtype(document["dtype"]), tuple(document["shape"])
    if not dtype.hasobject:
        return np.frombuffer(_bytes(document), dtype).reshape(shape).copy()
    array = np.empty(len(document["items"]), dtype)
    for number, item in enumerate(document["items"]):
        array[number] = _decode(item)
    return array.reshape(shape)


def _decode_scalar(document: dict[str, Any]) -> Any:
    if document["dtype"] in ("U", "S"):
        return (np.str_ if document["dtype"] == "U" else np.bytes_)(_decode(document["value"]))
    return np.frombuffer(_bytes(document), np.dtype(document["dtype"]))[0]


_READERS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "bytes": lambda document: _bytes(document),
    "tuple": lambda document: tuple(_decode(item) for item in document["items"]),
    "dict": lambda document: {_decode(key): _decode(item) for key, item in document["items"]},
    "float": lambda document: float(document["value"]),
    "int": lambda document: int(document["hex"], 16),
    "str": lambda document: _bytes(document).decode("utf-8", "surrogatepass"),
    "array": _decode_array,
    "scalar": _decode_scalar,
    "graph": lambda document: GraphInstance(*(_decode(item) for item in document["items"])),
}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(document: dict[str, Any]) -> bytes:
    return base64.b64decode(document["base64"], validate=True)
