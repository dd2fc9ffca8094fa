"""`envserver view`: an episode as one HTML page that plays it back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from envserver.cli.options import DEFAULT_URL, ApiKey, AsJson, Url
from envserver.cli.problems import CommandError

app = typer.Typer()

EpisodeId = Annotated[
    str | None,
    typer.Argument(help="Open or closed. Of a file with one episode it can be left out.", show_default=False),
]
From = Annotated[Path | None, typer.Option("--file", help="Read it from exported JSON Lines, not from a server.")]
Output = Annotated[Path | None, typer.Option(help="The page; default: EPISODE_ID.html here.")]
Generation = Annotated[int | None, typer.Option(min=1, help="An earlier world than the current one.")]
MaxBytes = Annotated[
    int | None,
    typer.Option(min=1 << 20, help="About so much goes into it, and it tells what does not; default: 192 MiB."),
]
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@app.command("view")
def view(
    episode_id: EpisodeId = None,
    file: From = None,
    output: Output = None,
    generation: Generation = None,
    max_bytes: MaxBytes = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Write a page that plays an episode back: one HTML file that needs no server and no network."""
    from dataclasses import asdict

    from envserver.cli.output import clean, show, size
    from envserver.view.page import save_page
    from envserver.view.reading import UnreadableError

    chosen = _bytes(max_bytes)
    try:
        with _source(episode_id, file, generation, url, api_key) as (name, pieces):
            path = output or Path(f"{name if _FILE_NAME.fullmatch(name) else 'episode'}.html")
            written = save_page(path, pieces, chosen)
    except UnreadableError as error:
        raise CommandError(f"{file or episode_id}: {error}") from None
    left_out = "".join(f"\n  left out: {each}" for each in written.cuts.told())
    document = {"file": str(path), **asdict(written)}
    show(document, as_json, lambda: clean(f"{path}: {written.steps} steps, {size(written.bytes)}{left_out}"))


def _bytes(asked: int | None) -> int:
    from envserver.view.room import DEFAULT_BYTES, MAX_BYTES

    if asked is not None and asked > MAX_BYTES:
        raise typer.BadParameter(f"{asked}: no browser takes more than {MAX_BYTES}", param_hint="--max-bytes")
    return asked or DEFAULT_BYTES


@contextmanager
def _source(
    episode_id: str | None, file: Path | None, generation: int | None, url: str, api_key: str | None
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """The episode's id, and its record as it comes. Raises: UnreadableError, Problem, ConnectionFailed, OSError."""
    from envserver.cli.remote import stream
    from envserver.view.exports import find, pieces_of

    if file is not None:
        with file.open("rb") as opened:
            line = find(opened, episode_id, generation)
            yield line.episode_id, pieces_of(opened, line)
    elif episode_id is not None:
        query = {} if generation is None else {"generation": generation}
        with stream(url, api_key, f"/v1/episodes/{_quoted(episode_id)}/trajectory", query) as pieces:
            yield episode_id, pieces
    else:
        raise typer.BadParameter("name an episode, or a file with --file", param_hint="EPISODE_ID")


def _quoted(episode_id: str) -> str:
    from urllib.parse import quote

    return quote(episode_id, safe="")
