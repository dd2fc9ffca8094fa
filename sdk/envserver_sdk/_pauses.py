"""How long to wait between two attempts."""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST_S = 0.05
LAST_S = 2.0


def pauses() -> Iterator[float]:
    """Seconds, twice as many each time up to `LAST_S`, with chance in them so that clients come apart. Never ends."""
    pause_s = FIRST_S
    while True:
        yield pause_s * random.uniform(0.5, 1.0)
        pause_s = min(LAST_S, pause_s * 2)
