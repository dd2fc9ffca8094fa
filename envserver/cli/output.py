"""What commands print: a table for a person or JSON for a program, never both, on standard output.

What comes from outside (a task's text, a sandbox's output) could steer a terminal, so its control characters are
shown as escapes. JSON needs none of that: its encoder escapes everything beyond ASCII. Progress goes to standard
error, and only where that is a terminal.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPED_WIDTH = 200
"""Columns of a table that no terminal shows: wide enough that nothing is cut off."""
_STEERING = {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {ord("\n"), ord("\t")}
"""Control characters, and those that turn the direction of writing."""
_ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _STEERING}


def clean(text: object) -> str:
    """`text` with control characters as escapes; line ends and tabs stay."""
    shown = str(text).translate(_ESCAPES)
    return shown.encode("utf-8", "backslashreplace").decode()  # lone surrogates cannot be printed


def one_line(text: object, width: int = 100) -> str:
    """`text` cleaned, on one line of at most `width` characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PIPED_WIDTH, highlight=False, markup=False)


def show(document: Any, as_json: bool, view: Callable[[], RenderableType | str]) -> None:
    """Print `document` as JSON, or what `view` makes of it."""
    if as_json:
        typer.echo(json.dumps(document))
        return
    console().print(view())


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> RenderableType:
    """A table of cleaned texts; a heading that begins with `>` is of a column aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left")
    for heading in headings:
        made.add_column(heading.lstrip(">"), justify="right" if heading.startswith(">") else "left")
    for row in rows:
        made.add_row(*(Text(clean("" if cell is None else cell)) for cell in row))
    return made


def fields(values: Mapping[str, object]) -> RenderableType:
    """One thing's members, a line each."""
    from rich.table import Table
    from rich.text import Text

    made = Table(show_header=False, box=None, pad_edge=False)
    for name, value in values.items():
        made.add_row(Text(name, style="bold"), Text(clean("" if value is None else value)))
    return made


def size(count: float) -> str:
    """Bytes for a person."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def ago(unix_time: float | None) -> str:
    """How long ago a time is, or how far ahead."""
    if unix_time is None:
        return ""
    seconds = time.time() - unix_time
    span = abs(seconds)
    text = f"{span:.0f} s" if span < 120 else f"{span / 60:.0f} min" if span < 7200 else f"{span / 3600:.1f} h"
    return f"{text} ago" if seconds >= 0 else f"in {text}"


@contextmanager
def byte_progress(what: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """A bar over bytes; yields what is to be told of each chunk's size."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(clean(what), total=total_bytes)
        yield lambda count: bar.advance(task, count)


@contextmanager
def count_progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar over things; yields what is to be called after each."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(clean(what), total=total)
        yield lambda: bar.advance(task)
