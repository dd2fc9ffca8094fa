"""Observations in words, for policies that read: an environment's own text where it has one, named numbers else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MAX_NUMBERS = 64
"""Arrays with more are summed up."""
MAX_TEXT = 20_000

_TINTED = re.compile("\x1b\\[([0-9;]*)m(.*?)\x1b\\[0?m", re.DOTALL)
_ESCAPED = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


def show(observation: Any, names: Sequence[str] = ()) -> str:
    """Each part under its name where `names` has one for each; a number, a text or an array as it is."""
    parts = _parts(observation, names)
    text = "\n".join(f"{name}: {number(value)}" for name, value in parts) if parts else number(observation)
    return clean(text)


def _parts(observation: Any, names: Sequence[str]) -> list[tuple[str, Any]]:
    if isinstance(observation, Mapping):
        return [(str(key), value) for key, value in observation.items()]
    if isinstance(observation, tuple | list | np.ndarray) and np.ndim(observation) != 0:
        if len(names) == len(observation):
            return list(zip(names, observation, strict=True))
    elif len(names) == 1:
        return [(names[0], observation)]
    return []


def number(value: Any) -> str:
    """One value, short."""
    if isinstance(value, np.ndarray) and value.ndim:
        if value.size > MAX_NUMBERS:
            summary = (
                f", from {value.min():g} to {value.max():g}, mean {value.mean():g}" if value.dtype.kind in "iuf" else ""
            )
            return f"an array of {value.dtype} of shape {list(value.shape)}{summary}"
        return str(np.round(value, 4).tolist() if value.dtype.kind == "f" else value.tolist())
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {number(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(number(item) for item in value) + "]"
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}"
    return str(value)


def untinted(text: str) -> str:
    """A terminal's text with its colours as tags, `<red>S</red>`: often nothing else says where one stands."""
    return _ESCAPED.sub("", _TINTED.sub(lambda found: _tagged(found[1], found[2]), text))


def _tagged(attributes: str, text: str) -> str:
    for number in attributes.split(";"):
        if re.fullmatch("[34][0-7]", number):
            colour = _COLOURS[int(number[1])]
            return f"<{colour}>{text}</{colour}>"
    return text


def clean(text: str) -> str:
    """Valid Unicode, and not without end."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n[... {len(text) - MAX_TEXT} characters omitted ...]"
