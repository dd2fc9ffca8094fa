"""What all questions about pictures have in common: one picture, the tools for it, and that it has to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from environments.tools.tasks.pictures.canvas import PALETTE, Canvas
from environments.tools.tasks.template import Question

PATH = "/workspace/picture.png"
LOOKING = ("look", "crop", "zoom", "measure", "colour_at", "find_colour")
"""One of them, whichever suits the policy: some see, others only read."""


def question(
    prompt: str, answer: Mapping[str, Any], canvas: Canvas, *, par_calls: int, computes: bool = True
) -> Question:
    return Question(
        f"Look at the picture {PATH}. {prompt}",
        answer,
        ("image", "calculator") if computes else ("image",),
        (LOOKING, "calculator") if computes else (LOOKING,),
        par_calls,
        evidence=((f"file:{PATH}",),),
        files={PATH: canvas.png()},
    )


def named(colour: str) -> str:
    """A colour of the palette, so that it is told apart by eye and by number."""
    return f"{colour} ({PALETTE[colour]})"
