"""What the program in the sandbox said, read with care: a simulator may break, and an image may be another's.

Types and sizes are checked here; what is inside of codec documents is the client's to decode.
"""

from __future__ import annotations

import math
from typing import Any

from environments.programs import JunkError

TALLY = ("steps", "episodes", "ended_return", "standing_return")
SHOWN = ("observation", "text", "result", "images", "frame")
MANY = ("observations", "rewards", "terminations", "truncations", "reset_observations", "steps", "stopped", "infos")
BEGUN = ("observation_space", "action_space", "max_episode_steps", "actions")

_DOCUMENT = {"description": "A document of the typed codec"}
_TEXT = {"type": "string"}

OBSERVATION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {**_TEXT, "description": "What is to be done; in the first observation"},
        "observation": {**_DOCUMENT, "description": "The environment's own, as a document of the typed codec"},
        "text": {**_TEXT, "description": "The observation in words, with the option `text`"},
        "result": {**_TEXT, "description": "What a tool says"},
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"format": {"const": "png"}, "data": {**_TEXT, "contentEncoding": "base64"}},
            },
        },
        "frame": {**_DOCUMENT, "description": "The frame as an array"},
        "observations": {**_DOCUMENT, "description": "After each of many steps: one array, or a list"},
        "rewards": _DOCUMENT,
        "terminations": _DOCUMENT,
        "truncations": _DOCUMENT,
        "reset_observations": {**_DOCUMENT, "description": "Of the resets between them, in order"},
        "infos": {"type": "array", "items": _DOCUMENT},
        "steps": {"type": "integer", "description": "How many of the actions were taken"},
        "stopped": {
            "enum": ["ended", "time", "size", None],
            "description": "Why not all were: the environment's episode ended, the time or the answer's size ran out",
        },
        "error": {**_TEXT, "description": "What went wrong, and what would be right"},
    },
}


def shown(answer: dict[str, Any], *, many: bool = False) -> dict[str, Any]:
    """The observation's members."""
    return {name: answer[name] for name in (*SHOWN, *(MANY if many else ())) if name in answer}


def begun(answer: dict[str, Any]) -> dict[str, Any]:
    """The first `info`. Raises: JunkError."""
    if missing := [name for name in BEGUN if name not in answer]:
        raise JunkError(f"no {missing[0]}")
    return {**{name: answer[name] for name in BEGUN}, "env_info": answer.get("info")}


def reward(answer: dict[str, Any]) -> float:
    """Raises: JunkError."""
    return _number(answer.get("reward", 0.0))


def flag(answer: dict[str, Any], name: str) -> bool:
    """Raises: JunkError."""
    value = answer.get(name, False)
    if not isinstance(value, bool):
        raise JunkError(f"{name} is no boolean")
    return value


def tally(answer: dict[str, Any]) -> dict[str, float]:
    """What has been earned so far. Raises: JunkError."""
    counted = answer.get("tally")
    if not isinstance(counted, dict):
        raise JunkError("no tally")
    return {name: _number(counted.get(name)) for name in TALLY}


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise JunkError("a number is none")
    return float(value)


def text(answer: dict[str, Any], name: str) -> str | None:
    """A text's member; None where there is none. Raises: JunkError."""
    value = answer.get(name)
    if value is not None and not isinstance(value, str):
        raise JunkError(f"{name} is no text")
    return value
