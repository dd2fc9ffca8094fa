"""The command line: one module a group of commands, each a Typer app that is put together here.

A module that is imported here imports nothing but Typer, `options` and `output` at its top, and everything else inside
the command that needs it: `envserver --help` should be instant. Commands raise; `main` turns what they raise into one
line and an exit status, see `problems`.
"""

from __future__ import annotations

import typer

from envserver.cli import images, node, play

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

# Commands of their own.
app.add_typer(node.app)
app.add_typer(play.app)
# Groups of commands under a name.
app.add_typer(images.app, name="images")


def main() -> None:
    """Entry point of the `envserver` program."""
    app()
