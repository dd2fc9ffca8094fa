"""Options that several commands take, each with one name, one variable and one default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunDirectory = Annotated[Path, typer.Option("--run", envvar="ENVSERVER_RUN", help="The node's sockets.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Url = Annotated[str, typer.Option(envvar="ENVSERVER_URL", help="Where the server is.")]
Project = Annotated[str, typer.Option(help="The Compose project of the node.")]
DEFAULT_RUN = Path("/run/envserver")
DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_PROJECT = "envserver"
