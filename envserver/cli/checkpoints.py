"""Commands about saved states of episodes: list them, fork them, remove them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from envserver.cli.options import DEFAULT_PAGE, DEFAULT_URL, AllPages, ApiKey, AsJson, Cursor, PageSize, Url

if TYPE_CHECKING:
    from rich.console import RenderableType

    from envserver_sdk import Client, Episode
    from envserver_sdk.models import CheckpointInfo

app = typer.Typer(no_args_is_help=True, help="List, fork and remove checkpoints of episodes.")

CheckpointId = Annotated[str, typer.Argument(help="As `envserver checkpoints ls` shows it.")]


@app.command("ls")
def list_checkpoints(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    episode: Annotated[str | None, typer.Option(help="Only those of this episode.")] = None,
    cursor: Cursor = None,
    limit: PageSize = DEFAULT_PAGE,
    all_pages: AllPages = False,
    as_json: AsJson = False,
) -> None:
    """List checkpoints in the order of their making."""
    from envserver.cli.output import show
    from envserver.cli.remote import connect

    found: list[CheckpointInfo] = []
    with connect(url, api_key) as client:
        while True:
            page = client.checkpoints(episode_id=episode, cursor=cursor, limit=limit)
            found += page.checkpoints
            cursor = page.next_cursor
            if cursor is None or not all_pages:
                break
    document = {"checkpoints": [info.model_dump(mode="json") for info in found], "next_cursor": cursor}
    show(document, as_json, lambda: _table(found, cursor))


def _table(found: list[CheckpointInfo], cursor: str | None) -> RenderableType:
    from envserver.cli.output import ago, one_line, size, table

    headings = ("checkpoint", "kind", "episode", ">generation", ">step", ">size", ">pause ms", "made", "by", "label")
    rows = [
        (
            info.checkpoint_id, info.kind, info.episode_id, info.generation, info.step_index, size(info.bytes),
            f"{info.pause_ms:.1f}", ago(info.created_at), "itself" if info.automatic else "call",
            one_line(info.label or ""),
        )
        for info in found
    ]  # fmt: skip
    return table(headings, rows, title=f"more: --cursor {cursor}" if cursor else None)


@app.command("rm")
def remove_checkpoints(
    checkpoint_ids: Annotated[list[str], typer.Argument(help="Which.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Remove checkpoints; episodes that were forked from them live on."""
    from envserver.cli.output import show, table
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        removed = [_remove(client, checkpoint_id) for checkpoint_id in checkpoint_ids]
    rows = [(info["checkpoint_id"], info["kind"], info["episode_id"]) for info in removed]
    show(removed, as_json, lambda: table(("removed", "kind", "episode"), rows))


def _remove(client: Client, checkpoint_id: str) -> dict[str, Any]:
    checkpoint = client.checkpoint(checkpoint_id)
    checkpoint.delete()
    return checkpoint.info.model_dump(mode="json")


@app.command("fork")
def fork_checkpoint(
    checkpoint_id: CheckpointId,
    n: Annotated[int, typer.Option("--n", min=1, max=1024, help="So many episodes, all of them or none.")] = 1,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Begin episodes that go on from a checkpoint."""
    from envserver.cli.output import show
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        episodes = client.checkpoint(checkpoint_id).fork(n)
        documents = [begun(episode) for episode in episodes]
    show(documents, as_json, lambda: begun_table(documents))


def begun(episode: Episode) -> dict[str, Any]:
    """Where an episode stands that has just begun."""
    names = ("episode_id", "generation", "step_index", "observation", "info")
    return {name: getattr(episode, name) for name in names}


def begun_table(documents: list[dict[str, Any]], title: str | None = None) -> RenderableType:
    import json

    from envserver.cli.output import one_line, table

    rows = [
        (each["episode_id"], each["generation"], each["step_index"], one_line(json.dumps(each["observation"])))
        for each in documents
    ]
    return table(("episode", ">generation", ">step", "observation"), rows, title)
