"""The page: a template around one block of data, which is written step by step.

The policy in the page's head names its script by hash, and nothing else that could run: no address can be asked, no
form sent, no markup made of a text (`require-trusted-types-for`), whatever the data hold and wherever a browser or this
page's script should have a fault.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from envserver.view.encoding import encode
from envserver.view.frames import begin_frame, grade_frame, marks, overview, settings, step_frame
from envserver.view.reading import read_trajectory
from envserver.view.room import MAX_STEPS, Cuts, Room
from envserver_sdk.models import Trajectory, TrajectoryStep

HERE = Path(__file__).parent
END_BYTES = 2 << 20
"""Kept for the beginning and the grade, however much the steps hold: they are written last."""


@dataclass(frozen=True)
class Written:
    """What became of a record."""

    episode_id: str
    steps: int
    """In the record."""
    bytes: int
    """Of the page."""
    cuts: Cuts


def save_page(path: Path, pieces: Iterable[bytes], max_bytes: int) -> Written:
    """Write the page of a record that comes in pieces; it appears once it is whole.

    Raises: UnreadableError; OSError; what `pieces` raise.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            written = write_page(file, pieces, max_bytes)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return written


def write_page(file: IO[bytes], pieces: Iterable[bytes], max_bytes: int) -> Written:
    """Raises: as `save_page`."""
    head, tail = template()
    size = file.write(head.encode())
    writing = _Writing(file, Room(max_bytes))
    record = read_trajectory(pieces, writing.step)
    writing.end(record)
    size += writing.size + file.write(tail.encode())
    return Written(record.episode_id, writing.steps, size, writing.room.cuts)


def template() -> tuple[str, str]:
    """What stands before the data, and behind them."""
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = (HERE / "page.html").read_text(encoding="utf-8")
    for name, text in {
        "STYLE": (HERE / "page.css").read_text(encoding="utf-8"), "HASH": f"sha256-{digest}", "SCRIPT": script,
    }.items():  # fmt: skip
        page = page.replace(f"@{name}@", text, 1)
    head, _, tail = page.partition("@DATA@")
    return head, tail


class _Writing:
    """The data, as they come."""

    def __init__(self, file: IO[bytes], room: Room) -> None:
        self.room = room
        self.steps = 0
        self.size = 0
        self._file = file
        self._total = 0.0
        self._write('{"steps":[')

    def step(self, step: TrajectoryStep) -> None:
        self.steps += 1
        self._total += step.reward
        if self.steps > MAX_STEPS:
            self.room.cuts.steps += 1
            return
        frame = step_frame(step, self._total, self.room)
        self._write(("," if self.steps > 1 else "") + encode(frame))

    def end(self, record: Trajectory) -> None:
        self.room.add(END_BYTES)
        begin = begin_frame(record, self.room)
        grade = grade_frame(record.grade, self._total, self.room) if record.grade else None
        rest = {
            "title": f"{record.episode_id}, {record.environment}", "overview": overview(record, self.steps),
            "settings": settings(record, self.room), "marks": marks(record), "begin": begin, "grade": grade,
            "complete": record.complete, "cuts": self.room.cuts.told(),
        }  # fmt: skip
        self._write("]," + encode(rest)[1:])

    def _write(self, text: str) -> None:
        self.size += self._file.write(text.encode("ascii"))
