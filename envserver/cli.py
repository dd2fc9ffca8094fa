"""The command line. Each command imports what it needs when it runs: `envserver --help` should be instant."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

GIB = 1 << 30
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
images_app = typer.Typer(no_args_is_help=True, help="Build, import and list the images that sandboxes are made from.")
app.add_typer(images_app, name="images")

RunDirectory = Annotated[Path, typer.Option("--run", envvar="ENVSERVER_RUN", help="The node's sockets.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Url = Annotated[str, typer.Option(envvar="ENVSERVER_URL", help="Where the server is.")]
Project = Annotated[str, typer.Option(help="The Compose project of the node.")]
DEFAULT_RUN = Path("/run/envserver")
DEFAULT_URL = "http://127.0.0.1:8000"


def _fail(error: Exception) -> typer.Exit:
    typer.echo(f"envserver: {error}", err=True)
    return typer.Exit(1)


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
        raise _fail(ValueError("; ".join(entry["msg"] for entry in error.errors()))) from None
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
        raise _fail(error) from None
    typer.echo(json.dumps(answer))


@app.command()
def demo(url: Url = DEFAULT_URL) -> None:
    """Play five HumanEval episodes on a running node, showing each step, its time and the reward."""
    from envserver.demo import play

    raise typer.Exit(play(url))


@app.command()
def precheck(
    project: Project = "envserver",
    host: Annotated[str, typer.Option(envvar="ENVSERVER_HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="ENVSERVER_PORT")] = 8000,
) -> None:
    """Say what would keep `make up` from starting a node here."""
    from envserver.images.build import BuildError
    from envserver.images.node import check_port

    try:
        check_port(project, host, port)
    except BuildError as error:
        raise _fail(error) from None


@images_app.command("build")
def build_images(
    names: Annotated[list[str] | None, typer.Argument(help="Which; a node's when none is named.")] = None,
    source: Annotated[Path, typer.Option(help="The checkout to build from.")] = Path(),
) -> None:
    """Build what has changed. Needs a Docker Engine."""
    from envserver.images.build import Builder, BuildError

    try:
        Builder(source.resolve(), typer.echo).build(tuple(names or ()))
    except BuildError as error:
        raise _fail(error) from None


@images_app.command("sync")
def sync_images(project: Project = "envserver") -> None:
    """Hand the built images of episodes to a node that Compose runs."""
    from envserver.images.build import BuildError
    from envserver.images.node import compose_container, import_built_images

    try:
        import_built_images(compose_container(project), typer.echo)
    except BuildError as error:
        raise _fail(error) from None


@images_app.command("pull")
def pull_image(
    reference: Annotated[str, typer.Argument(help="A name in a registry: debian:trixie-slim.")],
    name: Annotated[str | None, typer.Option(help="What episodes call it; default: the reference.")] = None,
    project: Project = "envserver",
) -> None:
    """Pull an image with this host's Docker Engine and hand it to the node."""
    from envserver.images.build import BuildError, docker
    from envserver.images.node import compose_container, import_tag

    try:
        docker("pull", "--quiet", reference)
        import_tag(compose_container(project), reference, name or reference)
    except BuildError as error:
        raise _fail(error) from None


@images_app.command("import")
def import_image(
    archive: Annotated[typer.FileBinaryRead, typer.Argument(help="A `docker save` or OCI archive; - is stdin.")],
    name: Annotated[str | None, typer.Option(help="Name it so, instead of as the archive does.")] = None,
    run: RunDirectory = DEFAULT_RUN,
) -> None:
    """Store an image on this node; run it where the launcher's socket is."""
    from envserver.launcher.client import LauncherClient, LauncherRefusedError

    try:
        with LauncherClient(run) as client:
            image = client.import_image(archive, name)
    except (LauncherRefusedError, OSError) as error:
        raise _fail(error) from None
    typer.echo(f"{image['digest']}  {name or ', '.join(image['names'])}")


@images_app.command("ls")
def list_images(run: RunDirectory = DEFAULT_RUN, as_json: AsJson = False) -> None:
    """List the images of this node: digest, size, names."""
    from envserver.launcher.client import LauncherClient

    try:
        with LauncherClient(run) as client:
            images = client.call("images")["images"]
    except OSError as error:
        raise _fail(error) from None
    if as_json:
        typer.echo(json.dumps(images))
        return
    for image in images:
        typer.echo(f"{image['digest'][:19]}  {image['size_bytes'] / 1e6:8.1f} MB  {', '.join(image['names'])}")


def main() -> None:
    """Entry point of the `envserver` program."""
    app()


if __name__ == "__main__":
    main()
