"""Commands about the images that sandboxes are made from. Their errors are `BuildError` and the launcher's."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envserver.cli.options import DEFAULT_PROJECT, DEFAULT_RUN, AsJson, Project, RunDirectory

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

app = typer.Typer(no_args_is_help=True, help="Build, import and list the images that sandboxes are made from.")


class _Counted:
    """A file that reports what is read of it."""

    def __init__(self, file: IO[bytes], told: Callable[[int], None]) -> None:
        self._file = file
        self._told = told

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._told(len(data))
        return data


class _Report:
    """Lines of progress: on standard output for a person, collected for JSON."""

    def __init__(self, as_json: bool) -> None:
        self.lines: list[str] = []
        self._as_json = as_json

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if not self._as_json:
            typer.echo(line)

    def finish(self) -> None:
        import json

        if self._as_json:
            typer.echo(json.dumps({"report": self.lines}))


@app.command("build")
def build_images(
    names: Annotated[list[str] | None, typer.Argument(help="Which; a node's when none is named.")] = None,
    source: Annotated[Path, typer.Option(help="The checkout to build from.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Build what has changed. Needs a Docker Engine."""
    from envserver.images.build import Builder

    report = _Report(as_json)
    Builder(source.resolve(), report).build(tuple(names or ()))
    report.finish()


@app.command("sync")
def sync_images(project: Project = DEFAULT_PROJECT, as_json: AsJson = False) -> None:
    """Hand the built images of episodes to a node that Compose runs."""
    from envserver.cli.output import byte_progress
    from envserver.images.node import compose_container, import_built_images

    report = _Report(as_json)
    import_built_images(compose_container(project), report, progress=byte_progress)
    report.finish()


@app.command("pull")
def pull_image(
    reference: Annotated[str, typer.Argument(help="A name in a registry: debian:trixie-slim.")],
    name: Annotated[str | None, typer.Option(help="What episodes call it; default: the reference.")] = None,
    project: Project = DEFAULT_PROJECT,
    as_json: AsJson = False,
) -> None:
    """Pull an image with this host's Docker Engine and hand it to the node."""
    from envserver.cli.output import byte_progress, show
    from envserver.images.build import docker
    from envserver.images.node import compose_container, import_tag

    container = compose_container(project)
    docker("pull", "--quiet", reference)
    import_tag(container, reference, name or reference, progress=byte_progress)
    document = {"reference": reference, "name": name or reference}
    show(document, as_json, lambda: f"{document['name']}: imported into the node")


@app.command("import")
def import_image(
    archive: Annotated[typer.FileBinaryRead, typer.Argument(help="A `docker save` or OCI archive; - is stdin.")],
    name: Annotated[str | None, typer.Option(help="Name it so, instead of as the archive does.")] = None,
    run: RunDirectory = DEFAULT_RUN,
    as_json: AsJson = False,
) -> None:
    """Store an image on this node; run it where the launcher's socket is."""
    from typing import cast

    from envserver.cli.output import byte_progress, clean, show
    from envserver.launcher.client import LauncherClient

    with LauncherClient(run) as client, byte_progress("importing", _size_bytes(archive)) as told:
        image = client.import_image(cast("IO[bytes]", _Counted(archive, told)), name)
    names = [name] if name else image["names"]
    show({**image, "names": names}, as_json, lambda: clean(f"{image['digest']}  {', '.join(names)}"))


def _size_bytes(file: IO[bytes]) -> int | None:
    if file is sys.stdin.buffer:
        return None
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@app.command("ls")
def list_images(run: RunDirectory = DEFAULT_RUN, as_json: AsJson = False) -> None:
    """List the images of this node: digest, size, names."""
    from envserver.cli.output import show, size, table
    from envserver.launcher.client import LauncherClient

    with LauncherClient(run) as client:
        images = client.call("images")["images"]
    rows = [(image["digest"][:19], size(image["size_bytes"]), ", ".join(image["names"])) for image in images]
    show(images, as_json, lambda: table(("digest", ">size", "names"), rows))
