"""Unicode text: what counts as such, and how some is made."""

from __future__ import annotations

import numpy as np

ASCII = (0x20, 0x7F)
ALPHABETS = (
    *(ASCII,) * 3, (0x09, 0x0B), (0xA0, 0x250), (0x370, 0x400), (0x4E00, 0x9FFF), (0x1F300, 0x1F600),
)  # fmt: skip
"""Where made characters come from, half-open; ASCII thrice, since most text is. None is a surrogate."""


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: no lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def sample_text(rng: np.random.Generator, least: int, most: float) -> str:
    """From `least` to `most` characters, both included."""
    length = int(rng.integers(least, int(most) + 1))
    alphabets = rng.integers(len(ALPHABETS), size=length)
    return "".join(chr(int(rng.integers(*ALPHABETS[number]))) for number in alphabets)
