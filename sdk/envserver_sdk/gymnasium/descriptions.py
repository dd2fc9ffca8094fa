"""Gymnasium's spaces as JSON and back: what the first `info` of a hosted environment says of its spaces.

    Box(-1, 1, (2,), float32)   {"space": "Box", "dtype": "<f4", "shape": [2], "low": ..., "high": ...}
    Discrete(5, start=-2)       {"space": "Discrete", "dtype": "<i8", "n": 5, "start": -2}
    Dict(a=..., b=...)          {"space": "Dict", "spaces": [["a", ...], ["b", ...]]}

Values are documents of `codec`, so bounds come back bit for bit; those that are alike everywhere are written once. Like
`codec`, this file is also sent into sandboxes, which have Gymnasium and nothing of ours: it imports nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from envserver_sdk.gymnasium import codec

Document = dict[str, Any]
Space = spaces.Space[Any]


def describe(space: Space) -> Document:
    """The space as strict JSON. Raises: TypeError for a space that is none of Gymnasium's own."""
    describer = _DESCRIBERS.get(type(space))
    if describer is None:
        raise TypeError(
            f"{type(space).__name__} is none of Gymnasium's own spaces: {', '.join(t.__name__ for t in _DESCRIBERS)}"
        )
    return {"space": type(space).__name__, **describer(space)}


def rebuild(document: Document) -> Space:
    """A space equal to the one that was described. Raises: ValueError when the document is not of `describe`."""
    try:
        return _BUILDERS[document["space"]](document)
    except (KeyError, TypeError, AssertionError) as error:
        raise ValueError(f"not the description of a space: {error!r}") from error


def _describe_box(space: spaces.Box) -> Document:
    document = {
        "dtype": space.dtype.str, "shape": list(space.shape), "low": _bound(space.low), "high": _bound(space.high)
    }  # fmt: skip
    if space.dtype.kind != "f":  # a float's infinity says so itself
        for name in ("bounded_below", "bounded_above"):
            mask = getattr(space, name)
            if not mask.all():
                document[name] = _bound(mask)
    return document


def _bound(array: np.ndarray[Any, Any]) -> Any:
    alike = array.size > 0 and array.tobytes() == array.flat[0].tobytes() * array.size
    return codec.encode(array.flat[0] if alike else array)


def _build_box(document: Document) -> spaces.Box:
    dtype, shape = np.dtype(document["dtype"]), tuple(document["shape"])
    low, high = (np.full(shape, codec.decode(document[name]), dtype) for name in ("low", "high"))
    box: spaces.Box = spaces.Box(low, high, shape, dtype)
    for name in ("bounded_below", "bounded_above"):
        if name in document:
            setattr(box, name, np.full(shape, codec.decode(document[name]), np.bool_))
    return box


def _describe_discrete(space: spaces.Discrete) -> Document:
    return {"dtype": _dtype(space).str, "n": codec.encode(int(space.n)), "start": codec.encode(int(space.start))}


def _build_discrete(document: Document) -> spaces.Discrete:
    n, start = codec.decode(document["n"]), codec.decode(document["start"])
    dtype: Any = np.dtype(document["dtype"])
    if dtype == np.int64:  # Gymnasium 1.0 knows no other
        return spaces.Discrete(n, start=start)
    return spaces.Discrete(n, start=start, dtype=dtype)


def _describe_multi_discrete(space: spaces.MultiDiscrete) -> Document:
    return {"dtype": _dtype(space).str, "nvec": codec.encode(space.nvec), "start": codec.encode(space.start)}


def _build_multi_discrete(document: Document) -> spaces.MultiDiscrete:
    dtype: Any = np.dtype(document["dtype"])
    return spaces.MultiDiscrete(codec.decode(document["nvec"]), dtype, start=codec.decode(document["start"]))


def _dtype(space: Space) -> np.dtype[Any]:
    return np.dtype(space.dtype)


def _describe_text(space: spaces.Text) -> Document:
    # In the order of the space, which its samples depend on.
    charset = codec.encode("".join(space.character_list))
    return {"min_length": space.min_length, "max_length": space.max_length, "charset": charset}


def _build_text(document: Document) -> spaces.Text:
    lengths = {name: document[name] for name in ("min_length", "max_length")}
    return spaces.Text(**lengths, charset=codec.decode(document["charset"]))


def _describe_dict(space: spaces.Dict) -> Document:
    return {"spaces": [[codec.encode(key), describe(inner)] for key, inner in space.spaces.items()]}


def _build_dict(document: Document) -> spaces.Dict:
    return spaces.Dict([(codec.decode(key), rebuild(inner)) for key, inner in document["spaces"]])


def _describe_graph(space: spaces.Graph) -> Document:
    edges = None if space.edge_space is None else describe(space.edge_space)
    return {"nodes": describe(space.node_space), "edges": edges}


def _build_graph(document: Document) -> spaces.Graph:
    edges = None if document["edges"] is None else rebuild(document["edges"])
    return spaces.Graph(rebuild(document["nodes"]), edges)


_DESCRIBERS: Mapping[type, Callable[[Any], Document]] = {
    spaces.Box: _describe_box,
    spaces.Discrete: _describe_discrete,
    spaces.MultiBinary: lambda space: {"n": space.n if isinstance(space.n, int) else list(space.n)},
    spaces.MultiDiscrete: _describe_multi_discrete,
    spaces.Text: _describe_text,
    spaces.Dict: _describe_dict,
    spaces.Tuple: lambda space: {"spaces": [describe(inner) for inner in space.spaces]},
    spaces.Sequence: lambda space: {"items": describe(space.feature_space), "stack": space.stack},
    spaces.Graph: _describe_graph,
    spaces.OneOf: lambda space: {"spaces": [describe(inner) for inner in space.spaces]},
}

_BUILDERS: Mapping[str, Callable[[Document], Space]] = {
    "Box": _build_box,
    "Discrete": _build_discrete,
    "MultiBinary": lambda document: spaces.MultiBinary(document["n"]),
    "MultiDiscrete": _build_multi_discrete,
    "Text": _build_text,
    "Dict": _build_dict,
    "Tuple": lambda document: spaces.Tuple([rebuild(inner) for inner in document["spaces"]]),
    "Sequence": lambda document: spaces.Sequence(rebuild(document["items"]), stack=document["stack"]),
    "Graph": _build_graph,
    "OneOf": lambda document: spaces.OneOf([rebuild(inner) for inner in document["spaces"]]),
}
