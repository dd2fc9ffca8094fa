"""Commands that run a node's programs or ask them how they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from envserver.cli.options import DEFAULT_PROJECT, DEFAULT_RUN, DEFAULT_URL, Project, RunDirectory, Url
from envserver.cli.problems import failed

GIB = 1 << 30
app = typer.Typer()


@app.command()
def serve(run: RunDirectory = DEFAULT_RUN) -> None:
    """Run the server of a node. Configured by ENVSERVER_* variables; see docs/http.md."""
    from pydantic import ValidationError

    from envserver.config import ServerConfig
    from envserver.runtimes.base import Runtime
    from envserver.runtimes.crun import CrunRuntime
    from envserver.server import run as run_server

    async def make_runtime() -> Runtime:
        return await CrunRuntime.connect(run)

    try:
        config = ServerConfig()
    except ValidationError as error:
        raise failed(ValueError("; ".join(entry["msg"] for entry in error.errors()))) from None
    run_server(config, make_runtime)


@app.command()
def launcher(
    data: Annotated[Path, typer.Option(envvar="ENVSERVER_DATA", help="Layers and checkpoints; a disk.")] = Path(
        "/var/lib/envserver"
    ),
    images: Annotated[Path | None, typer.Option(envvar="ENVSERVER_IMAGES", help="Images, if not in --data.")] = None,
    run: RunDirectory = DEFAULT_RUN,
    agent: Annotated[Path, typer.Option(envvar="ENVSERVER_AGENT", help="The guest agent's program.")] = Path(
        "/usr/lib/envserver/agent"
    ),
    server_uid: Annotated[int, typer.Option(envvar="ENVSERVER_SERVER_UID", help="Who may call.")] = 990,
    server_gid: Annotated[int, typer.Option(envvar="ENVSERVER_SERVER_GID", help="Who may reach sandboxes.")] = 990,
    layers_gib: Annotated[float, typer.Option(envvar="ENVSERVER_LAYERS_GIB", help="Disk for writable layers.")] = 16,
    supervised: Annotated[bool, typer.Option(help="Start again whatever ends it; for PID 1.")] = False,
) -> None:
    """Run the privileged half of a node."""
    if supervised:
        from envserver.launcher.supervisor import supervise

        raise typer.Exit(supervise([argument for argument in sys.argv[1:] if argument != "--supervised"]))
    from envserver.launcher.node import NodeConfig
    from envserver.launcher.service import run_forever

    run_forever(
        NodeConfig(
            data=data,
            images=images,
            run=run,
            agent=agent,
            server_uid=server_uid,
            server_gid=server_gid,
            layers_bytes=int(layers_gib * GIB),
        )
    )


@app.command()
def health(
    url: Url = DEFAULT_URL,
    launcher_only: Annotated[bool, typer.Option("--launcher", help="Ask the launcher, not the server.")] = False,
    run: RunDirectory = DEFAULT_RUN,
    wait_s: Annotated[float, typer.Option(help="Ask again until it is healthy, for so long.")] = 0,
) -> None:
    """Ask a node how it is; exit status 1 when it is not ready."""
    from envserver.health import ask_launcher, ask_server

    try:
        answer = ask_launcher(run, wait_s) if launcher_only else ask_server(url, wait_s)
    except OSError as error:
        raise failed(error) from None
    typer.echo(json.dumps(answer))


@app.command()
def precheck(
    project: Project = DEFAULT_PROJECT,
    host: Annotated[str, typer.Option(envvar="ENVSERVER_HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="ENVSERVER_PORT")] = 8000,
) -> None:
    """Say what would keep `make up` from starting a node here."""
    from envserver.images.build import BuildError
    from envserver.images.node import check_port

    try:
        check_port(project, host, port)
    except BuildError as error:
        raise failed(error) from None
