"""Tables as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

FOLDER = "/workspace"


def as_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return buffer.getvalue().encode()
