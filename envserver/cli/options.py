"""Options that several commands take, each with one name, one variable and one default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunDirectory = Annotated[Path, typer.Option("--run", envvar="ENVSERVER_RUN", help="The node's sockets.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Url = Annotated[str, typer.Option(envvar="ENVSERVER_URL", help="Where the server is.")]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="ENVSERVER_API_KEY", show_envvar=True, help="The server's key, where it asks for one."),
]
Project = Annotated[str, typer.Option(help="The Compose project of the node.")]
Host = Annotated[str, typer.Option(envvar="ENVSERVER_HOST", help="The address that the server is to listen on.")]
Port = Annotated[int, typer.Option(envvar="ENVSERVER_PORT", min=0, max=65535, help="Its port.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where the last page ended.")]
PageSize = Annotated[int, typer.Option("--limit", min=1, max=1000, help="Entries of one page.")]
AllPages = Annotated[bool, typer.Option("--all", help="Every page.")]
DEFAULT_RUN = Path("/run/envserver")
DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_PROJECT = "envserver"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_PAGE = 100
