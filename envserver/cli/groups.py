"""Commands about groups: episodes of one task that begin in the same state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from envserver.cli.options import DEFAULT_URL, ApiKey, AsJson, Url

if TYPE_CHECKING:
    from rich.console import RenderableType

    from envserver_sdk import Client
    from envserver_sdk.models import GroupInfo

app = typer.Typer(no_args_is_help=True, help="Begin, look at and close groups of episodes.")

GroupId = Annotated[str, typer.Argument(help="As `envserver groups create` shows it.")]


@app.command("create")
def create_group(
    environment: Annotated[str, typer.Argument(help="As in `envserver episodes list`.")],
    n: Annotated[int, typer.Option("--n", min=1, max=1024, help="So many episodes, all of them or none.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    task_set: Annotated[str | None, typer.Option(help="Left out: the environment's first.")] = None,
    task: Annotated[str | None, typer.Option(help="Left out: chosen by the seed.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="One for all.")] = None,
    ttl_s: Annotated[float | None, typer.Option(min=1, help="Their life.")] = None,
    finished: Annotated[int | None, typer.Option(min=1, help="Once so many have finished,")] = None,
    grace_s: Annotated[float, typer.Option(min=0, help="the others are truncated after so long.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Begin a group. It lives on after this command, until it is closed or its leases end."""
    from envserver.cli.checkpoints import begun, begun_table
    from envserver.cli.output import show
    from envserver.cli.remote import connect

    stragglers = None if finished is None else {"finished": finished, "grace_s": grace_s}
    with connect(url, api_key) as client:
        group = client.group(
            environment, n=n, stragglers=stragglers, task_set=task_set, task=task, seed=seed, ttl_s=ttl_s
        )
        members = [begun(episode) for episode in group]
        document = {"group_id": group.group_id, "kind": group.kind, "episodes": members}
    show(document, as_json, lambda: begun_table(members, f"group {group.group_id}"))


@app.command("show")
def show_group(group_id: GroupId, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Show a group's members."""
    from envserver.cli.output import show
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        info = client.attach_group(group_id).status()
    show(info.model_dump(mode="json"), as_json, lambda: _table([info]))


@app.command("close")
def close_groups(
    group_ids: Annotated[list[str], typer.Argument(help="Which.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Close every member of groups; closing a closed one is no error."""
    from envserver.cli.output import show
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        closed = [_close(client, group_id) for group_id in group_ids]
    documents: list[dict[str, Any]] = [info.model_dump(mode="json") for info in closed]
    show(documents, as_json, lambda: _table(closed))


def _close(client: Client, group_id: str) -> GroupInfo:
    group = client.attach_group(group_id)
    group.close()
    return group.status()


def _table(groups: list[GroupInfo]) -> RenderableType:
    from envserver.cli.output import table

    headings = ("group", "episode", "state", ">generation", ">steps", ">reward", "reason")
    rows = [
        (
            group.group_id, info.episode_id, info.state, info.generation, info.step_index, f"{info.reward:g}",
            info.reason,
        )
        for group in groups
        for info in group.episodes
    ]  # fmt: skip
    return table(headings, rows)
