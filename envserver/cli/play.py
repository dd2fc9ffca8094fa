"""Commands that play episodes on a running node."""

from __future__ import annotations

import typer

from envserver.cli.options import DEFAULT_URL, Url

app = typer.Typer()


@app.command()
def demo(url: Url = DEFAULT_URL) -> None:
    """Play five HumanEval episodes on a running node, showing each step, its time and the reward."""
    from envserver.demo import play

    raise typer.Exit(play(url))
