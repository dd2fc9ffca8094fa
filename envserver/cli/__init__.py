"""The command line: one module a group of commands, each a Typer app that is put together here.

A module that is imported here imports nothing but Typer, `options` and `output` at its top, and everything else inside
the command that needs it: `envserver --help` should be instant. Commands raise; `main` turns what they raise into one
line and an exit status, see `problems`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from envserver.cli import (
    audit,
    checkpoints,
    doctor,
    episodes,
    groups,
    images,
    keys,
    node,
    play,
    probe,
    tasks,
    top,
    trajectories,
    view,
)
from envserver.cli.output import clean
from envserver.cli.problems import explain

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

# Commands of their own.
app.add_typer(node.app)
app.add_typer(doctor.app)
app.add_typer(play.app)
app.add_typer(probe.app)
app.add_typer(top.app)
app.add_typer(trajectories.replaying)
app.add_typer(view.app)
# Groups of commands under a name.
app.add_typer(episodes.app, name="episodes")
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(groups.app, name="groups")
app.add_typer(trajectories.app, name="trajectories")
app.add_typer(tasks.app, name="tasks")
app.add_typer(images.app, name="images")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `envserver` program; the process's own arguments unless told others."""
    try:
        app(args=arguments)
    except Exception as error:
        problem = explain(error)
        if problem is None:
            raise
        typer.echo(clean(f"envserver: {problem}"), err=True)
        sys.exit(problem.status)
