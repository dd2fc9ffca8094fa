"""Commands about the images that sandboxes are made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from envserver.cli.options import DEFAULT_PROJECT, DEFAULT_RUN, AsJson, Project, RunDirectory
from envserver.cli.problems import failed

app = typer.Typer(no_args_is_help=True, help="Build, import and list the images that sandboxes are made from.")


@app.command("build")
def build_images(
    names: Annotated[list[str] | None, typer.Argument(help="Which; a node's when none is named.")] = None,
    source: Annotated[Path, typer.Option(help="The checkout to build from.")] = Path(),
) -> None:
    """Build what has changed. Needs a Docker Engine."""
    from envserver.images.build import Builder, BuildError

    try:
        Builder(source.resolve(), typer.echo).build(tuple(names or ()))
    except BuildError as error:
        raise failed(error) from None


@app.command("sync")
def sync_images(project: Project = DEFAULT_PROJECT) -> None:
    """Hand the built images of episodes to a node that Compose runs."""
    from envserver.images.build import BuildError
    from envserver.images.node import compose_container, import_built_images

    try:
        import_built_images(compose_container(project), typer.echo)
    except BuildError as error:
        raise failed(error) from None


@app.command("pull")
def pull_image(
    reference: Annotated[str, typer.Argument(help="A name in a registry: debian:trixie-slim.")],
    name: Annotated[str | None, typer.Option(help="What episodes call it; default: the reference.")] = None,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Pull an image with this host's Docker Engine and hand it to the node."""
    from envserver.images.build import BuildError, docker
    from envserver.images.node import compose_container, import_tag

    try:
        docker("pull", "--quiet", reference)
        import_tag(compose_container(project), reference, name or reference)
    except BuildError as error:
        raise failed(error) from None


@app.command("import")
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
        raise failed(error) from None
    typer.echo(f"{image['digest']}  {name or ', '.join(image['names'])}")


@app.command("ls")
def list_images(run: RunDirectory = DEFAULT_RUN, as_json: AsJson = False) -> None:
    """List the images of this node: digest, size, names."""
    from envserver.launcher.client import LauncherClient

    try:
        with LauncherClient(run) as client:
            images = client.call("images")["images"]
    except OSError as error:
        raise failed(error) from None
    if as_json:
        typer.echo(json.dumps(images))
        return
    for image in images:
        typer.echo(f"{image['digest'][:19]}  {image['size_bytes'] / 1e6:8.1f} MB  {', '.join(image['names'])}")
