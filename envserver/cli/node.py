"""Commands that run a node's programs or ask them how they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from envserver.cli.options import DEFAULT_RUN, DEFAULT_URL, AsJson, RunDirectory, Url
from envserver.cli.problems import NODE_REMEDY, CommandError, Exit

GIB = 1 << 30
app = typer.Typer()


@app.command()
def serve(run: RunDirectory = DEFAULT_RUN) -> None:
    """Run the server of a node. Configured by ENVSERVER_* variables; see docs/configuration.md."""
    from pydantic import ValidationError

    from envserver.config import ServerConfig
    from envserver.runtimes.base import Runtime
    from envserver.runtimes.choose import connect
    from envserver.server import run as run_server

    # Relative where it can be: each absolute path leads through the process's root, which may be slow.
    near = Path() if run == Path.cwd() else run

    async def make_runtime() -> Runtime:
        return await connect(near, config.runtime)

    try:
        config = ServerConfig()
    except ValidationError as error:
        reasons = (f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}".lstrip(": ") for entry in error.errors())
        raise CommandError("; ".join(reasons), Exit.USAGE) from None
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
    docker_socket: Annotated[Path, typer.Option(envvar="ENVSERVER_DOCKER_SOCKET", help="A Docker Engine's.")] = Path(
        "/var/run/docker.sock"
    ),
    engine_run: Annotated[
        Path | None, typer.Option(envvar="ENVSERVER_ENGINE_RUN", help="--run as the Engine's host sees it.")
    ] = None,
    oci_runtime: Annotated[
        str | None, typer.Option(envvar="ENVSERVER_OCI_RUNTIME", help="Of the Engine's: runc, crun, runsc, kata.")
    ] = None,
    layers_gib: Annotated[float, typer.Option(envvar="ENVSERVER_LAYERS_GIB", help="Disk for writable layers.")] = 16,
    hibernate_s: Annotated[
        float, typer.Option(envvar="ENVSERVER_HIBERNATE_S", help="To put episodes on disk in, when asked to stop.")
    ] = 20,
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
            docker_socket=docker_socket,
            engine_run=engine_run,
            oci_runtime=oci_runtime or None,
            server_uid=server_uid,
            server_gid=server_gid,
            layers_bytes=int(layers_gib * GIB),
            hibernate_s=hibernate_s,
        )
    )


@app.command()
def health(
    url: Url = DEFAULT_URL,
    launcher_only: Annotated[bool, typer.Option("--launcher", help="Ask the launcher, not the server.")] = False,
    run: RunDirectory = DEFAULT_RUN,
    wait_s: Annotated[float, typer.Option(help="Ask again until it is healthy, for so long.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Ask a node how it is; exit status 3 when it is not ready."""
    from http.client import HTTPException

    from envserver.cli.output import clean, show
    from envserver.health import ask_launcher, ask_server

    try:
        answer = ask_launcher(run, wait_s) if launcher_only else ask_server(url, wait_s)
    except OSError as error:
        where = "" if launcher_only else f"{url}: "
        raise CommandError(where + str(error).removeprefix(where), Exit.UNREACHABLE, NODE_REMEDY) from None
    except (ValueError, HTTPException) as error:  # something answers there that is no server, or it is no address
        raise CommandError(f"{url}: {error}", Exit.UNREACHABLE, NODE_REMEDY) from None
    show(answer, as_json, lambda: clean(", ".join(f"{name} {value}" for name, value in _flat(answer))))


def _flat(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        yield from value.items() if isinstance(value, dict) else ((name, value),)
