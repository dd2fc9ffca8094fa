"""`envserver doctor`: what a node needs of its host, what is missing, and what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from envserver.cli.options import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    DEFAULT_PROJECT,
    AsJson,
    Host,
    Port,
    Project,
)

app = typer.Typer()

_MARKS = {"ok": "ok", "warn": "WARN", "fail": "FAIL"}


@app.command()
def doctor(
    project: Project = DEFAULT_PROJECT,
    host: Host = DEFAULT_HOST,
    port: Port = DEFAULT_PORT,
    url: Annotated[str | None, typer.Option(envvar="ENVSERVER_URL", help="Default: from host and port.")] = None,
    layers_gib: Annotated[float, typer.Option(envvar="ENVSERVER_LAYERS_GIB", help="Disk for writable layers.")] = 16,
    purpose: Annotated[
        str, typer.Option("--for", help="`up`: only what `make up` needs, silent when all is well.")
    ] = "all",
    as_json: AsJson = False,
) -> None:
    """Check engine, kernel, cgroups, CRIU, devices, disk, port and node; exit status 1 when a check fails."""
    from envserver.cli.output import show, table
    from envserver.doctor import Host as Machine
    from envserver.doctor import Level, Purpose, Settings, diagnose

    if purpose not in list(Purpose):
        raise typer.BadParameter(f"{purpose!r} is none of {', '.join(Purpose)}", param_hint="--for")
    shown_host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # where it can be asked from here
    settings = Settings(project, host, port, url or f"http://{shown_host}:{port}", layers_gib)
    findings = list(diagnose(Machine(), settings, Purpose(purpose)))
    failed = any(finding.level is Level.FAIL for finding in findings)
    if purpose == Purpose.UP and not as_json:
        for finding in findings:
            if finding.level is not Level.OK:
                typer.echo(f"envserver: {finding.name}: {finding.detail}; {finding.remedy}", err=True)
    else:
        rows = [(f.name, _MARKS[f.level], f.detail, f.remedy) for f in findings]
        document = {"ok": not failed, "checks": [finding.as_dict() for finding in findings]}
        show(document, as_json, lambda: table(("check", "", "found", "remedy"), rows))
    raise typer.Exit(1 if failed else 0)
