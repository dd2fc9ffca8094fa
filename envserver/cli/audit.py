"""`envserver audit`: check an audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envserver.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="The audit log.")


@app.callback()
def group() -> None:
    """The audit log."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The log, with its .head beside it.")], as_json: AsJson = False
) -> None:
    """Find records that were changed, removed or cut; exit status 1 when there are any."""
    from envserver.access.verify import verify as check
    from envserver.cli.output import show

    report = check(file)
    document = {
        "whole": report.whole, "records": report.records, "last_hash": report.last_hash,
        "findings": report.findings, "notes": report.notes,
    }  # fmt: skip
    verdict = (
        f"{report.records} records, {'whole' if report.whole else 'DAMAGED'}; the last one's hash is {report.last_hash}"
    )
    show(document, as_json, lambda: "\n".join([*report.findings, *report.notes, verdict]))
    raise typer.Exit(0 if report.whole else 1)
