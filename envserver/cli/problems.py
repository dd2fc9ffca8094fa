"""How a command fails: one line on standard error and an exit status."""

from __future__ import annotations

import typer


def failed(error: Exception) -> typer.Exit:
    """Say what went wrong; the result is to be raised."""
    typer.echo(f"envserver: {error}", err=True)
    return typer.Exit(1)
