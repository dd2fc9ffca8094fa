"""Commands that play episodes on a running node: to show it, and to measure it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from envserver.cli.options import DEFAULT_URL, ApiKey, AsJson, Url
from envserver.cli.problems import CommandError

app = typer.Typer()


@app.command()
def demo(url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Play episodes of every environment on a running node, showing each step, its time and the reward."""
    from envserver.demo import play

    raise typer.Exit(play(url, api_key, as_json=as_json))


@app.command()
def bench(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    beside: Annotated[list[str] | None, typer.Option(help="Another node, measured in the same run.")] = None,
    short: Annotated[bool, typer.Option(help="Few rounds: shows that it works, not how fast.")] = False,
    file: Annotated[Path | None, typer.Option(help="Write the JSON here too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the promises on a running node, beside bare namespaces and Docker in the same run."""
    from envserver.cli.remote import connect

    try:
        from benchmarks.bench import SHORT, Sizes, run
    except ModuleNotFoundError as error:
        raise CommandError(f"the benchmarks are not installed here: {error}; run it from a checkout") from None
    with connect(url, api_key) as client:
        client.health()  # the benchmarks would wait long for a server that is not there
    report = run([url, *(beside or ())], SHORT if short else Sizes(), api_key)
    document = json.dumps(report.as_dict())
    if file:
        file.write_text(document)
    if as_json:
        typer.echo(document)
    else:
        report.print()
