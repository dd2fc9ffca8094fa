"""`envserver probe`: tries on this node what hostile code would try, and says what held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envserver.cli.options import DEFAULT_RUN, AsJson, RunDirectory

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.console import Group

    from envserver.probes import Report

app = typer.Typer()


@app.command()
def probe(
    run: RunDirectory = DEFAULT_RUN,
    runtime: Annotated[str, typer.Option(help="crun, docker, or auto: what a server would use.")] = "auto",
    category: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only probes of these names; may be repeated.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the report to this file, too.")] = None,
    image: Annotated[str, typer.Option(help="One with Python.")] = "code",
    as_json: AsJson = False,
) -> None:
    """Run the containment probes against this node; exit status 1 when a control does not hold."""
    import asyncio

    from envserver.cli.output import show

    names = _chosen(category or [], only or [])
    if runtime not in ("auto", "crun", "docker"):
        raise typer.BadParameter(f"{runtime!r} is none of auto, crun, docker", param_hint="--runtime")
    report = asyncio.run(_run(run, runtime, names, image))
    if markdown is not None:
        markdown.write_text(report.markdown())
    show(report.as_dict(), as_json, lambda: _view(report))
    raise typer.Exit(0 if report.holds else 1)


def _chosen(categories: Collection[str], only: Collection[str]) -> list[str]:
    from envserver.probes import CATALOGUE, Category

    if unknown := sorted(set(categories) - set(Category)):
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(Category)}", param_hint="--category")
    if unknown := sorted(set(only) - set(CATALOGUE)):
        raise typer.BadParameter(f"there is no probe {unknown[0]!r}", param_hint="--only")
    return [
        name
        for name, probe in CATALOGUE.items()
        if (not categories or probe.category in categories) and (not only or name in only)
    ]


async def _run(directory: Path, wanted: str, names: list[str], image: str) -> Report:
    from envserver.cli.output import count_progress
    from envserver.cli.problems import CommandError, Exit
    from envserver.probes import Settings
    from envserver.probes import run as run_probes
    from envserver.runtimes.base import SandboxError
    from envserver.runtimes.choose import connect

    try:
        runtime = await connect(directory, wanted, wait_s=0)
        try:
            with count_progress("probing", len(names)) as told:
                return await run_probes(runtime, directory, Settings(names, image), told)
        finally:
            await runtime.close()
    except SandboxError as error:
        raise CommandError(str(error), Exit.UNREACHABLE, "run it where the launcher's socket is") from error


def _view(report: Report) -> Group:
    from rich.console import Group

    from envserver.cli.output import fields, table

    headings = ("probe", "it tries to", "result", "outcome", "control")
    tables = [
        table(headings, map(report.cells, results), title=str(category)) for category, results in report.by_category()
    ]
    totals = {word: str(count) for word, count in report.totals().items()}
    measured = {f"neighbour_{name}": value for name, value in report.neighbour.as_dict().items()}
    return Group(*tables, fields({**report.facts(), **totals, **measured, "duration_s": f"{report.duration_s:.1f}"}))
